"""The stand-in's login dialog, its tokens, and the lists of Pages. Source: platforms.md §2.1."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Redirect, Template

from appliance.models import Role
from appliance.oauth_clients import PRACTICE_ID, PRACTICE_SECRET
from web.auth import needs
from web.practice.meta import people
from web.practice.meta.meta import OPT, Call, Edge, Edges, meta_of, pick
from web.practice.meta.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from web.practice.meta.meta import AnyRequest, Meta

# As with Facebook, whoever connects accounts sees this page, with their session: who says yes here
# gets a token.
SEE = needs(Role.ADMIN)
# The app's own token. Source: developers.facebook.com, "Access tokens", App access tokens.
APP_TOKEN = f"{PRACTICE_ID['meta']}|{PRACTICE_SECRET}"
_REQUIRED = ("client_id", "redirect_uri", "scope")


@get("/{version:str}/dialog/oauth", opt=SEE, sync_to_thread=True, include_in_schema=False)
def ask_for_consent(
    request: Request[Any, Any, State], version: FromPath[str]
) -> Response[Any] | Template | Redirect:
    """Who is it, and may it? ``choose`` is the answer; the browser goes back with a code.

    Only back to this box: nobody is sent elsewhere by a stand-in.
    """
    meta = meta_of(request)
    asked = {name: value for name, value in request.query_params.items() if value}
    if missing := [name for name in _REQUIRED if name not in asked]:
        return _plain(f"The parameter {missing[0]} is required.")
    if asked["client_id"] != PRACTICE_ID["meta"]:
        return _plain("App not found: the stand-in knows this box alone.")
    if not asked["redirect_uri"].startswith(f"{meta.settings.base_url}/"):
        return _plain("URL blocked: the stand-in only leads back to this box.")
    chosen = asked.pop("choose", None)
    if chosen is None:
        return Template("practice/consent.html", context=_context(meta, version, asked))
    back = {"state": asked["state"]} if "state" in asked else {}
    if people.person(chosen):
        scopes = [name for name in asked["scope"].replace(",", " ").split() if name]
        if declined := asked.get("decline"):
            scopes = [name for name in scopes if name not in declined.split(",")]
        back["code"] = people.give_code(meta.ground, chosen, asked["redirect_uri"], scopes)
    else:
        back |= {"error": "access_denied", "error_reason": "user_denied"}
    return Redirect(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=302)


def _context(meta: Meta, version: str, asked: dict[str, str]) -> dict[str, Any]:
    address = f"{meta.base}/{version}/dialog/oauth?"
    return {
        "platform": "Facebook",
        "choices": [
            (one["name"], address + urlencode({**asked, "choose": one["id"]}))
            for one in people.PEOPLE
        ],
        "refuse": address + urlencode({**asked, "choose": "nobody"}),
        "wants": [name for name in asked["scope"].replace(",", " ").split() if name],
    }


def _plain(text: str) -> Response[Any]:
    return Response(text, status_code=400, media_type="text/plain")


@get("/{version:str}/oauth/access_token", opt=OPT, sync_to_thread=True, include_in_schema=False)
def give_token(request: Request[Any, Any, State], version: FromPath[str]) -> Response[Any]:
    """A code, or a person's token, for a token. Meta takes this by GET."""
    meta = meta_of(request)
    query = {name: str(value) for name, value in request.query_params.items()}

    def do(_: int | None) -> dict[str, Any]:
        _require_client(query)
        match query.get("grant_type", "authorization_code"):
            case "client_credentials":
                return {"access_token": APP_TOKEN, "token_type": "bearer"}
            case "fb_exchange_token":
                given = people.exchange(meta.ground, query.get("fb_exchange_token", ""))
                if given is None:
                    raise invalid_token()
                return given
            case "authorization_code":
                redirect = query.get("redirect_uri", "")
                given = people.redeem(meta.ground, query.get("code", ""), redirect)
                if given is None:
                    raise Refusal(100, 36009, "This authorization code has been used.")
                return given
        raise Refusal(100, None, "Unsupported grant_type")

    known = (
        meta.ground.get("code", query.get("code", "")) is not None
        or people.look_up(meta.ground, query.get("fb_exchange_token", "")) is not None
    )
    return meta.answer(request, "oauth.token", do, known=known, grant=query.get("grant_type", ""))


def _require_client(query: Mapping[str, str]) -> None:
    """That the box asks: nobody else is known here. Raises Refusal."""
    if not query.get("client_id"):
        raise Refusal(101, None, "Missing client_id parameter.")
    if query["client_id"] != PRACTICE_ID["meta"]:
        raise Refusal(101, None, "Error validating application. Cannot get application info.")
    if not query.get("client_secret"):
        raise Refusal(1, None, "Missing client secret.")
    if not hmac.compare_digest(query["client_secret"].encode(), PRACTICE_SECRET.encode()):
        raise Refusal(1, None, "Error validating client secret.")


@get("/{version:str}/debug_token", opt=OPT, sync_to_thread=True, include_in_schema=False)
def debug_token(request: Request[Any, Any, State], version: FromPath[str]) -> Response[Any]:
    """What a token is worth, for whoever has the app's own (its id and secret) or a person's."""
    meta = meta_of(request)
    token = str(request.query_params.get("input_token", ""))

    def do(_: int | None) -> dict[str, Any]:
        bearer = token_of(request)
        is_app = hmac.compare_digest(bearer.encode(), APP_TOKEN.encode())
        if not is_app and people.look_up(meta.ground, bearer) is None:
            raise invalid_token()
        found = people.look_up(meta.ground, token)
        if found is None:
            return {"data": {"is_valid": False, "scopes": []}}
        ends = int(datetime.fromisoformat(found.expires_at).timestamp()) if found.expires_at else 0
        return {
            "data": {
                "is_valid": True,
                "type": "PAGE" if found.page else "USER",
                "profile_id": found.page or found.person,
                "user_id": found.person,
                "scopes": list(found.scopes),
                "expires_at": ends,
                "data_access_expires_at": 0,
            }
        }

    known = any(people.look_up(meta.ground, one) for one in (token, token_of(request)))
    return meta.answer(request, "debug_token", do, known=known)


def token_of(request: AnyRequest) -> str:
    """From the header, as Bearer or OAuth; Meta takes it as a parameter, too."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind in ("Bearer", "OAuth") and token:
        return token.strip()
    return str(request.query_params.get("access_token", ""))


def invalid_token() -> Refusal:
    return Refusal(190, None, "Invalid OAuth access token - Cannot parse access token", status=401)


def _me(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    return pick(node, call.params.get("fields", "id,name"))


def _permissions(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    return {"data": [{"permission": name, "status": "granted"} for name in call.caller.scopes]}


def _revoke(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    people.revoke(meta.ground, call.caller.person)
    return {"success": True}


def _accounts(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    """The Pages of a person, in pages."""
    if "pages_show_list" not in call.caller.scopes:
        return {"data": []}
    pages = [page for page in meta.ground.all("page") if page["person"] == call.caller.person]
    limit = max(1, min(100, int(call.params.get("limit", "25") or 25)))
    after = call.params.get("after", "")
    begin = next((at + 1 for at, page in enumerate(pages) if page["id"] == after), 0)
    shown = pages[begin : begin + limit]
    fields = call.params.get("fields", "id,name,access_token")
    answer: dict[str, Any] = {"data": [_page_shape(meta, call, page, fields) for page in shown]}
    if begin + limit < len(pages):
        path = f"{meta.base}/v25.0/me/accounts?after={shown[-1]['id']}"
        answer["paging"] = {"cursors": {"after": shown[-1]["id"]}, "next": path}
    return answer


def _businesses(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    return {"data": []}


def _page(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    if node["person"] != call.caller.person:
        raise Refusal(
            10, None, "(#10) This endpoint requires the 'pages_read_engagement' permission"
        )
    return _page_shape(meta, call, node, call.params.get("fields", "id,name"))


def _page_shape(meta: Meta, call: Call, page: dict[str, Any], fields: str) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "id": page["id"],
        "name": page["name"],
        "tasks": page["tasks"],
        "link": f"https://www.facebook.com/{page['id']}",
        "access_token": people.page_token(meta.ground, page["id"], call.caller),
    }
    if page["instagram"]:
        linked = meta.ground.get("ig_user", page["instagram"]) or {}
        inside = "{" in fields
        shape["instagram_business_account"] = (
            pick(linked, "id,username,name") if inside else {"id": page["instagram"]}
        )
    return pick(shape, fields)


def _instagram(meta: Meta, call: Call, node: dict[str, Any]) -> dict[str, Any]:
    return pick(node, call.params.get("fields", "id,username"))


EDGES: Edges = {
    ("GET", "person", ""): Edge("me", _me, page=False),
    ("GET", "person", "permissions"): Edge("permissions", _permissions, page=False),
    ("DELETE", "person", "permissions"): Edge("permissions.delete", _revoke, page=False),
    ("GET", "person", "accounts"): Edge("accounts", _accounts, page=False),
    ("GET", "person", "businesses"): Edge("accounts", _businesses, page=False),
    ("GET", "page", ""): Edge("page", _page, page=False),
    ("GET", "ig_user", ""): Edge("page", _instagram, page=False),
}
