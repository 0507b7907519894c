"""The stand-in's consent page, and where codes become tokens. Source: platforms.md §1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.response import Redirect, Template

from appliance.models import Role
from appliance.oauth_clients import PRACTICE_ID
from web.auth import needs
from web.practice.google import grants
from web.practice.google.google import AFTER, BEFORE, OPT, google_of, misbehave

if TYPE_CHECKING:
    from web.practice.google.google import AnyRequest, Google
    from web.practice.ground import Fault

# As with Google, whoever connects accounts sees this page, with their session: who says yes here
# gets a token.
SEE = needs(Role.ADMIN)
# Ways to say yes that lead into trouble later: the traps that people should learn to see.
TESTING, UNTICKED = "testing", "unticked"
# Of a token or a code and what belongs to it, from anybody.
MAX_FORM_BYTES = 16 * 1024
_REQUIRED = ("client_id", "redirect_uri", "response_type", "scope")


@get("/o/oauth2/v2/auth", opt=SEE, sync_to_thread=True, include_in_schema=False)
def ask_for_consent(request: Request[Any, Any, State]) -> Response[Any] | Template | Redirect:
    """Which channel, and may it? ``choose`` is the answer; the browser goes back with a code.

    Only back to this box: nobody is sent elsewhere by a stand-in.
    """
    google = google_of(request)
    asked = {name: value for name, value in request.query_params.items() if value}
    missing = [name for name in _REQUIRED if name not in asked]
    if missing or asked["response_type"] != "code":
        return _plain(f"Error 400: invalid_request. Missing: {', '.join(missing) or 'code'}.")
    if asked["client_id"] != PRACTICE_ID["google"]:
        return _plain("Error 401: invalid_client. The OAuth client was not found.", 401)
    if not asked["redirect_uri"].startswith(f"{google.settings.base_url}/"):
        return _plain("Error 400: redirect_uri_mismatch. The stand-in only leads back to this box.")
    choice = asked.pop("choose", None)
    if choice is None:
        return Template("practice/consent.html", context=_context(google, asked))
    back = {"state": asked["state"]} if "state" in asked else {}
    chosen, _, how = choice.partition("~")
    known = {channel["id"] for channel in grants.CHANNELS}
    if chosen in known:
        if how == UNTICKED:
            asked["scope"] = asked["scope"].split()[0]
        back["code"] = grants.give_code(google.ground, chosen, asked, testing=how == TESTING)
        back["scope"] = asked["scope"]
    else:
        back["error"] = "access_denied"
    return Redirect(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=302)


def _context(google: Google, asked: dict[str, str]) -> dict[str, Any]:
    address = f"{google.base}/o/oauth2/v2/auth?"
    first = grants.CHANNELS[0]["id"]
    choices = [(channel["title"], channel["id"]) for channel in grants.CHANNELS]
    choices += [
        ("Practice on YouTube, of an app in “Testing”: 7 days", f"{first}~{TESTING}"),
        ("Practice on YouTube, with boxes left unticked", f"{first}~{UNTICKED}"),
    ]
    return {
        "platform": "YouTube",
        "choices": [
            (words, address + urlencode({**asked, "choose": value})) for words, value in choices
        ],
        "refuse": address + urlencode({**asked, "choose": "nobody"}),
        "wants": [scope.rpartition("/")[2] for scope in asked["scope"].split()],
    }


@post(
    "/token",
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=MAX_FORM_BYTES,
)
async def give_token(request: Request[Any, Any, State]) -> Response[Any]:
    google = google_of(request)
    form = await _form(request)
    fault = _noted(google, request, "oauth.token", form)
    if fault is not None and fault.kind in BEFORE:
        return _token_fault(fault.kind, fault.value) or misbehave(fault)
    if not grants.is_client(form):
        return _error(401, "invalid_client", "The OAuth client was not found.")
    if form.get("grant_type") == "authorization_code":
        tokens = grants.redeem(google.ground, form)
    elif form.get("grant_type") == "refresh_token":
        tokens = grants.refresh(google.ground, form)
    else:
        return _error(400, "unsupported_grant_type", "Invalid grant_type")
    if fault is not None:
        return misbehave(fault)
    if tokens is None:
        return _error(400, "invalid_grant", "Token has been expired or revoked.")
    return Response(tokens, headers={"Cache-Control": "no-store"})


@post(
    "/revoke",
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=MAX_FORM_BYTES,
)
async def revoke_token(request: Request[Any, Any, State]) -> Response[Any]:
    google = google_of(request)
    form = await _form(request)
    fault = _noted(google, request, "oauth.revoke", form)
    if fault is not None and fault.kind in BEFORE:
        return _token_fault(fault.kind, fault.value) or misbehave(fault)
    gone = grants.revoke(google.ground, form.get("token", ""))
    if fault is not None:
        return misbehave(fault)
    return Response({}) if gone else _error(400, "invalid_token", "Token expired or revoked")


def _noted(
    google: Google, request: AnyRequest, endpoint: str, form: dict[str, str]
) -> Fault | None:
    """Note the call and take a fault for it: only for who brings something that was given here."""
    brought = (
        ("code", "code"),
        ("grant", "refresh_token"),
        ("grant", "token"),
        ("access", "token"),
    )
    if not any(google.ground.get(kind, form[name]) for kind, name in brought if name in form):
        return None
    google.note(request, endpoint, form=sorted(form))
    return google.ground.take_fault(endpoint, *BEFORE, *AFTER)


async def _form(request: AnyRequest) -> dict[str, str]:
    """Of a form-encoded body; {} for anything else (JSON isn't taken)."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("application/x-www-form-urlencoded"):
        return {}
    raw = await request.body()
    return dict(parse_qsl(raw.decode("utf-8", "replace")))


def _token_fault(kind: str, value: str) -> Response[Any] | None:
    if kind == "expire":
        return _error(400, "invalid_grant", "Token has been expired or revoked.")
    if kind == "refuse":
        word = value or "invalid_grant"
        return _error(401 if word == "invalid_client" else 400, word, f"{word} (told to refuse)")
    return None


def _error(status: int, error: str, description: str) -> Response[Any]:
    """Source: RFC 6749 §5.2."""
    return Response({"error": error, "error_description": description}, status_code=status)


def _plain(text: str, status: int = 400) -> Response[Any]:
    return Response(text, status_code=status, media_type="text/plain")
