"""Sign-in with Facebook, for Pages and the Instagram accounts that belong to them, in one go.

The person's token is exchanged for a long one, and that for one of each Page; a Page's token is
what all posting uses. Source: developers.facebook.com/docs/facebook-login/guides/access-tokens;
platforms.md §2.1, §3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from appliance.clock import now
from appliance.connections import Found
from appliance.text import clean_line
from tasks.connect.asking import Desk, Reply, ask
from tasks.connect.errors import ConnectRefused, SignInLost, SignInUnreachable
from tasks.connect.provider import ScopeNeed
from tasks.publish.graph_errors import GRAPH_ERRORS, Fate, as_int, find_row
from tasks.publish.remotes import Service, address_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A long token lives about 60 days and can be exchanged for a new one while it lives.
EXCHANGE_AFTER = timedelta(days=30)
_INSTAGRAM = "instagram_business_account"
_PAGE_FIELDS = f"id,name,link,access_token,tasks,{_INSTAGRAM}{{id,username,name}}"
_MAX_PAGES = 20  # of answers, a hundred Pages each
# Source: developers.facebook.com/docs/pages-api/overview (tasks)
_TASK = "CREATE_CONTENT"

SCOPES: tuple[ScopeNeed, ...] = (
    ScopeNeed("pages_show_list", "See your Pages"),
    ScopeNeed("pages_read_engagement", "Read the Page"),
    ScopeNeed("pages_manage_posts", "Post to the Page"),
    ScopeNeed("business_management", "See Pages of a business portfolio", required=False),
    ScopeNeed("instagram_basic", "See the Instagram account", required=False),
    ScopeNeed("instagram_content_publish", "Post to Instagram", required=False),
    ScopeNeed("pages_manage_engagement", "Comment as the Page", required=False),
    ScopeNeed("instagram_manage_comments", "Comment on Instagram", required=False),
    ScopeNeed("instagram_manage_insights", "Count views on Instagram", required=False),
)
_FOR_INSTAGRAM = ("instagram_basic", "instagram_content_publish")


class Meta:
    """The provider "meta"."""

    refresh_is_vital = False  # a Page's token works on without

    scopes = SCOPES

    def dialog(self, desk: Desk, *, state: str, challenge: str) -> str:
        """Facebook's web sign-in has no PKCE; ``state`` and the secret guard the code."""
        query = {
            "client_id": desk.client.id,
            "redirect_uri": desk.redirect,
            "response_type": "code",
            "scope": ",".join(scope.name for scope in self.scopes),
            # Asks again for what somebody has declined before.
            "auth_type": "rerequest",
            "state": state,
        }
        place = address_of(desk.settings, Service.FACEBOOK_DIALOG, practice=desk.practice)
        return f"{place}/{desk.settings.graph_version}/dialog/oauth?{urlencode(query)}"

    def redeem(self, desk: Desk, code: str, verifier: str) -> list[Found]:
        short = _token(desk, {"redirect_uri": desk.redirect, "code": code}, secrets=(code,))
        login = _exchanged(desk, str(short["access_token"]))
        granted = _granted(desk, login)
        missing = [scope for scope in self.scopes if scope.name not in granted]
        if required := [scope.words for scope in missing if scope.required]:
            raise ConnectRefused(
                f"At Facebook not everything was allowed. Missing: {', '.join(required)}. "
                "Connect again and allow all of it.",
                code="scope",
            )
        person = _get(desk, "/me", login["user_token"], fields="id,name")
        login["user_id"] = str(person.get("id", ""))
        shared = {
            "login": clean_line(str(person.get("name") or "")),
            "login_id": login["user_id"],
            "missing": [scope.words for scope in missing],
        }
        pages = list(_pages(desk, login["user_token"]))
        if not pages:
            raise ConnectRefused(
                "This Facebook account has no Page that it let the app see. Create a Page, or "
                "connect again and choose one in Facebook's list.",
                code="no_page",
            )
        found = []
        for page in pages:
            found += _accounts(desk, page, login, shared)
        return found

    def needs_refresh(self, credentials: Mapping[str, Any], *, lasts_s: float) -> bool:
        """A Page's token has no end of its own; the person's, which new ones come from, has."""
        if not credentials.get("user_token") or not credentials.get("page_id"):
            return False
        made, ends = (_time(credentials.get(f"user_token_{word}")) for word in ("at", "until"))
        if made is not None and now() - made >= EXCHANGE_AFTER:
            return lasts_s > timedelta(days=1).total_seconds()  # the daily look, never a post
        return ends is not None and timedelta(0) < ends - now() <= timedelta(seconds=lasts_s)

    def refreshed(self, desk: Desk, credentials: Mapping[str, Any]) -> dict[str, Any]:
        if not credentials.get("user_token") or not credentials.get("page_id"):
            return dict(credentials)
        login = _exchanged(desk, str(credentials["user_token"]))
        page = _get(
            desk, f"/{credentials['page_id']}", login["user_token"], fields="id,access_token"
        )
        fresh = {**credentials, **login}
        if page.get("access_token"):
            fresh["access_token"] = str(page["access_token"])
        return fresh

    def probe(
        self, desk: Desk, platform: str, remote_id: str, credentials: Mapping[str, Any]
    ) -> Found:
        token = str(credentials.get("access_token") or "")
        fields = "id,username,name" if platform == "instagram" else "id,name,link"
        data = _get(desk, f"/{remote_id or 'me'}", token, fields=fields)
        facts: dict[str, Any] = {}
        if platform == "instagram":
            facts = _instagram_facts(desk, data)
        elif not desk.practice:
            facts["link"] = _link(data)
        return Found(
            platform=platform,
            remote_id=clean_line(str(data.get("id") or remote_id), max_bytes=100),
            name=_name(data, platform),
            credentials=dict(credentials),
            facts=facts,
            expires_at=_ends_at(desk, token),
        )

    def revoke(self, desk: Desk, credentials: Mapping[str, Any]) -> None:
        """Of the whole sign-in: all Pages that came with it. A void token is as good."""
        token = str(credentials.get("user_token") or "")
        if not token:
            return
        path = f"/{desk.settings.graph_version}/me/permissions"
        headers = {"Authorization": f"Bearer {token}"}
        ask(desk, Service.FACEBOOK_GRAPH, "DELETE", path, headers=headers, secrets=(token,))

    def check_client(self, desk: Desk) -> None:
        _token(desk, {"grant_type": "client_credentials"}, secrets=())


def _token(desk: Desk, query: Mapping[str, str], *, secrets: tuple[str, ...]) -> dict[str, Any]:
    """Ask for a token; the answer, which has an access token. Raises as `Provider` says."""
    whole = {"client_id": desk.client.id, "client_secret": desk.client.secret, **query}
    path = f"/{desk.settings.graph_version}/oauth/access_token"
    reply = ask(desk, Service.FACEBOOK_GRAPH, "GET", path, params=whole, secrets=secrets)
    if reply.is_fine and reply.data.get("access_token"):
        return reply.data
    error = _error(reply)
    said = clean_line(str(error.get("message") or reply.status), max_bytes=300)
    # 101: unknown app id; 1 with this message: wrong secret. platforms.md §2.4
    if as_int(error.get("code")) == 101 or "client secret" in said.lower():
        raise ConnectRefused(
            "Facebook doesn't know this app id and secret together. Copy both again from App "
            "settings → Basic.",
            code="bad_client",
            detail=reply.detail,
        )
    if as_int(error.get("code")) == 191 or "redirect_uri" in said:
        raise ConnectRefused(
            f"Facebook doesn't know this box's address. Add {desk.redirect} under Facebook Login "
            "for Business → Settings → Valid OAuth Redirect URIs.",
            code="bad_redirect",
            detail=reply.detail,
        )
    raise _refusal(reply)


def _exchanged(desk: Desk, token: str) -> dict[str, Any]:
    """A short token of a person, or a long one that still lives → a new long one."""
    data = _token(
        desk,
        {"grant_type": "fb_exchange_token", "fb_exchange_token": token},
        secrets=(token,),
    )
    at = now()
    login: dict[str, Any] = {
        "user_token": str(data["access_token"]),
        "user_token_at": at.isoformat(),
        "user_token_until": None,
    }
    if lasts_s := as_int(data.get("expires_in")):
        login["user_token_until"] = (at + timedelta(seconds=lasts_s)).isoformat()
    return login


def _granted(desk: Desk, login: Mapping[str, Any]) -> set[str]:
    data = _get(desk, "/me/permissions", login["user_token"])
    return {
        str(entry.get("permission")) for entry in _list(data) if entry.get("status") == "granted"
    }


def _pages(desk: Desk, token: str) -> Iterator[Mapping[str, Any]]:
    """All Pages that the person may see, each once: their own, then those of their businesses,
    which the first list leaves out at times."""
    seen = set()
    for page in _all(desk, "/me/accounts", token, _PAGE_FIELDS):
        seen.add(page.get("id"))
        yield page
    if seen:
        return
    fields = f"id,owned_pages{{{_PAGE_FIELDS}}},client_pages{{{_PAGE_FIELDS}}}"
    try:
        for business in _all(desk, "/me/businesses", token, fields):
            for edge in ("owned_pages", "client_pages"):
                for page in _list(_object(business.get(edge))):
                    if page.get("id") not in seen:
                        seen.add(page.get("id"))
                        yield page
    except (ConnectRefused, SignInLost):
        return  # without business_management nobody may ask


def _all(desk: Desk, path: str, token: str, fields: str) -> Iterator[Mapping[str, Any]]:
    after = ""
    for _ in range(_MAX_PAGES):
        more = {"after": after} if after else {}
        data = _get(desk, path, token, fields=fields, limit="100", **more)
        yield from _list(data)
        paging = _object(data.get("paging"))
        after = str(_object(paging.get("cursors")).get("after") or "")
        if not after or not paging.get("next"):
            return


def _accounts(
    desk: Desk, page: Mapping[str, Any], login: Mapping[str, Any], shared: Mapping[str, Any]
) -> list[Found]:
    """The Page, and the Instagram account that belongs to it."""
    id, token = str(page.get("id") or ""), str(page.get("access_token") or "")
    if not id:
        return []
    facts: dict[str, Any] = {**shared, "link": "" if desk.practice else _link(page)}
    tasks = page.get("tasks")
    if not token or (isinstance(tasks, list) and _TASK not in tasks):
        facts["blocked"] = "You may not post there. Ask an admin of the Page for that right."
    credentials = {**login, "access_token": token, "page_id": id}
    found = [Found("facebook", id, _name(page, "facebook"), credentials, facts)]
    instagram = _object(page.get(_INSTAGRAM))
    if not instagram.get("id"):
        return found
    if not instagram.get("username") and token:
        instagram = _get(desk, f"/{instagram['id']}", token, fields="id,username,name")
    more = {"page": found[0].name, **_instagram_facts(desk, instagram)}
    if any(scope.name in _FOR_INSTAGRAM and scope.words in shared["missing"] for scope in SCOPES):
        more["blocked"] = (
            "Posting to Instagram wasn't allowed at Facebook. Connect again and allow it."
        )
    id = clean_line(str(instagram["id"]), max_bytes=100)
    name = _name(instagram, "instagram")
    return [*found, Found("instagram", id, name, credentials, {**facts, **more})]


def _name(data: Mapping[str, Any], platform: str) -> str:
    username = clean_line(str(data.get("username") or ""), max_bytes=100)
    if platform == "instagram" and username:
        return f"@{username}"
    return clean_line(str(data.get("name") or "")) or username or clean_line(str(data.get("id")))


def _instagram_facts(desk: Desk, data: Mapping[str, Any]) -> dict[str, Any]:
    username = clean_line(str(data.get("username") or ""), max_bytes=100)
    known = username and not desk.practice
    return {"link": f"https://www.instagram.com/{username}/" if known else ""}


def _link(data: Mapping[str, Any]) -> str:
    """An address that a page may show: of Facebook, whatever the answer says."""
    link = str(data.get("link") or "")
    if link.startswith("https://www.facebook.com/") and len(link) < 500:
        return link
    return f"https://www.facebook.com/{data.get('id')}"


def _ends_at(desk: Desk, token: str) -> datetime | None:
    """When somebody has to sign in again, as the app itself may ask; None: not known to end.

    Source: developers.facebook.com/docs/graph-api/reference/debug_token
    """
    headers = {"Authorization": f"Bearer {desk.client.id}|{desk.client.secret}"}
    path = f"/{desk.settings.graph_version}/debug_token"
    try:
        reply = ask(
            desk,
            Service.FACEBOOK_GRAPH,
            "GET",
            path,
            params={"input_token": token},
            headers=headers,
            secrets=(token,),
        )
    except SignInUnreachable:
        return None
    data = _object(reply.data.get("data"))
    ends = [as_int(data.get(name)) or 0 for name in ("expires_at", "data_access_expires_at")]
    first = min((end for end in ends if end > 0), default=0)
    return datetime.fromtimestamp(first, UTC) if first else None


def _get(desk: Desk, path: str, token: str, **params: str) -> dict[str, Any]:
    """Read from the Graph API; the token goes in a header. Raises as `Provider` says."""
    reply = ask(
        desk,
        Service.FACEBOOK_GRAPH,
        "GET",
        f"/{desk.settings.graph_version}{path}",
        params=params,
        headers={"Authorization": f"Bearer {token}"},
        secrets=(token,),
    )
    if not reply.is_fine:
        raise _refusal(reply)
    return reply.data


def _refusal(reply: Reply) -> Exception:
    """By the table that publishing uses, too."""
    error = _error(reply)
    row = find_row(error, GRAPH_ERRORS)
    if row is not None and row.fate is Fate.RECONNECT:
        return SignInLost(row.sentence, detail=reply.detail)
    if row is not None and row.fate in (Fate.WAIT, Fate.OUTAGE):
        return SignInUnreachable(row.sentence, detail=reply.detail)
    if reply.status == 401:
        return SignInLost(
            "Facebook no longer accepts the sign-in. Connect the account again.",
            detail=reply.detail,
        )
    said = clean_line(str(error.get("message") or reply.status), max_bytes=300)
    return ConnectRefused(
        f"Facebook refused the sign-in ({said}). Connect again.", detail=reply.detail
    )


def _error(reply: Reply) -> Mapping[str, Any]:
    return _object(reply.data.get("error"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = data.get("data")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
