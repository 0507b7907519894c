"""Sign-in with Google, for YouTube channels: OAuth 2.0 with PKCE and lasting access.

Source: developers.google.com/identity/protocols/oauth2/web-server; RFC 6749, 7009, 7636;
platforms.md §1.1.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from appliance.clock import now
from appliance.connections import Found
from appliance.text import clean_line
from tasks.connect.asking import Desk, Reply, ask
from tasks.connect.errors import ConnectRefused, SignInLost, SignInUnreachable
from tasks.connect.provider import ScopeNeed
from tasks.publish.remotes import Service, address_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCOPE = "https://www.googleapis.com/auth/"
# A sign-in that ends this soon is one of an app in "Testing" (7 days). platforms.md §1.1
TESTING_ENDS = timedelta(days=8)
CHANNELS = "/youtube/v3/channels"


class Google:
    """The provider "google"."""

    refresh_is_vital = True

    scopes: tuple[ScopeNeed, ...] = (
        ScopeNeed(f"{_SCOPE}youtube.upload", "Upload videos"),
        ScopeNeed(f"{_SCOPE}youtube.readonly", "See the channel and its videos"),
        ScopeNeed(f"{_SCOPE}youtube.force-ssl", "Edit and delete videos, captions, comments"),
    )

    def dialog(self, desk: Desk, *, state: str, challenge: str) -> str:
        query = {
            "client_id": desk.client.id,
            "redirect_uri": desk.redirect,
            "response_type": "code",
            "scope": " ".join(scope.name for scope in self.scopes),
            "access_type": "offline",
            # A refresh token comes with the first consent only, or with this.
            "prompt": "consent",
            "include_granted_scopes": "false",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        place = address_of(desk.settings, Service.GOOGLE_AUTH, practice=desk.practice)
        return f"{place}/o/oauth2/v2/auth?{urlencode(query)}"

    def redeem(self, desk: Desk, code: str, verifier: str) -> list[Found]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": desk.redirect,
        }
        try:
            reply = _token(desk, form, secrets=(code, verifier))
        except SignInLost as exc:
            raise ConnectRefused(
                "Google no longer knows this sign-in: it took too long, or was used already. "
                "Connect again.",
                code="stale_code",
                detail=exc.detail,
            ) from None
        if not reply.data.get("refresh_token"):
            raise ConnectRefused(
                "Google gave no lasting sign-in. Remove the app at "
                "myaccount.google.com/connections, then connect again.",
                code="no_refresh_token",
            )
        granted = str(reply.data.get("scope", "")).split()
        if missing := [scope.words for scope in self.scopes if scope.name not in granted]:
            raise ConnectRefused(
                f"At Google not everything was allowed. Missing: {', '.join(missing)}. "
                "Connect again and tick all boxes.",
                code="scope",
            )
        credentials = _credentials(reply.data, {})
        return _channels(desk, credentials)

    def needs_refresh(self, credentials: Mapping[str, Any], *, lasts_s: float) -> bool:
        if not credentials.get("refresh_token"):
            return False  # brought in by hand, as it is
        return not _lasts(credentials, lasts_s)

    def refreshed(self, desk: Desk, credentials: Mapping[str, Any]) -> dict[str, Any]:
        token = str(credentials.get("refresh_token") or "")
        if not token:
            return dict(credentials)
        form = {"grant_type": "refresh_token", "refresh_token": token}
        try:
            reply = _token(desk, form, secrets=(token,))
        except SignInLost as exc:
            if not credentials.get("testing"):
                raise
            raise SignInLost(
                "Google ended the sign-in after 7 days, because the app is in “Testing”. Publish "
                "it (Google Auth platform → Audience), then connect the channel again.",
                detail=exc.detail,
            ) from None
        return _credentials(reply.data, credentials)

    def probe(
        self, desk: Desk, platform: str, remote_id: str, credentials: Mapping[str, Any]
    ) -> Found:
        found = _channels(desk, credentials)
        for one in found:
            if remote_id in ("", one.remote_id):
                return one
        raise SignInLost(
            "The sign-in opens another channel than before. Connect again and choose this channel."
        )

    def revoke(self, desk: Desk, credentials: Mapping[str, Any]) -> None:
        token = str(credentials.get("refresh_token") or credentials.get("access_token") or "")
        if not token:
            return
        # 400 is the answer for a token that is void already.
        ask(desk, Service.GOOGLE_TOKEN, "POST", "/revoke", data={"token": token}, secrets=(token,))

    def check_client(self, desk: Desk) -> None:
        """A code that can't be right: Google looks at the client first, then at the code."""
        form = {
            "grant_type": "authorization_code",
            "code": "4/check",
            "redirect_uri": desk.redirect,
        }
        try:
            _token(desk, form, secrets=())
        except SignInLost:
            return  # "invalid_grant": it knows us, and only the code is wrong


def _lasts(credentials: Mapping[str, Any], lasts_s: float) -> bool:
    try:
        ends = datetime.fromisoformat(str(credentials.get("access_token_until")))
    except ValueError:
        return False
    return bool(credentials.get("access_token")) and ends - now() > timedelta(seconds=lasts_s)


def _credentials(data: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept: the answer's tokens over those of before. A refresh brings no new refresh
    token as a rule; the old one stays then."""
    at = now()
    kept = {
        **before,
        "access_token": str(data["access_token"]),
        "access_token_until": (at + timedelta(seconds=_seconds(data, "expires_in", 3600)))
        .isoformat(),
    }  # fmt: skip
    if data.get("refresh_token"):
        kept["refresh_token"] = str(data["refresh_token"])
    if data.get("scope"):
        kept["scope"] = str(data["scope"])
    # Only when the sign-in ends at a given day: an app in "Testing", or a person who chose so.
    if ends_s := _seconds(data, "refresh_token_expires_in", 0):
        kept["refresh_token_until"] = (at + timedelta(seconds=ends_s)).isoformat()
        kept["testing"] = timedelta(seconds=ends_s) <= TESTING_ENDS
    elif data.get("refresh_token"):
        kept.pop("refresh_token_until", None)
        kept.pop("testing", None)
    return kept


def _seconds(data: Mapping[str, Any], name: str, otherwise: int) -> int:
    try:
        return max(0, int(data.get(name, otherwise)))
    except (TypeError, ValueError):
        return otherwise


def _token(desk: Desk, form: Mapping[str, str], *, secrets: tuple[str, ...]) -> Reply:
    """Ask the token endpoint; an answer that has an access token. Raises as `Provider` says."""
    whole = {**form, "client_id": desk.client.id, "client_secret": desk.client.secret}
    reply = ask(desk, Service.GOOGLE_TOKEN, "POST", "/token", data=whole, secrets=secrets)
    if reply.is_fine and reply.data.get("access_token"):
        return reply
    error = str(reply.data.get("error") or "")
    said = clean_line(str(reply.data.get("error_description") or error), max_bytes=300)
    if error == "invalid_grant":
        raise SignInLost(
            "Google no longer accepts the sign-in: it was revoked, has ended, or wasn't used for "
            "6 months. Connect the channel again.",
            detail=reply.detail,
        )
    if error in ("invalid_client", "unauthorized_client", "deleted_client"):
        raise ConnectRefused(
            "Google doesn't know this client id and secret together. Copy both again from Google "
            "Auth platform → Clients.",
            code="bad_client",
            detail=reply.detail,
        )
    if error == "redirect_uri_mismatch":
        raise ConnectRefused(
            f"Google doesn't know this box's address. Add {desk.redirect} under Google Auth "
            "platform → Clients → Authorised redirect URIs.",
            code="bad_redirect",
            detail=reply.detail,
        )
    raise ConnectRefused(
        f"Google refused the sign-in ({said or reply.status}). Connect again.", detail=reply.detail
    )


def _channels(desk: Desk, credentials: Mapping[str, Any]) -> list[Found]:
    """The channels that a sign-in opens; nearly always one, which the person chose at Google."""
    token = str(credentials.get("access_token") or "")
    reply = ask(
        desk,
        Service.YOUTUBE_API,
        "GET",
        CHANNELS,
        params={"part": "id,snippet,status", "mine": "true"},
        headers={"Authorization": f"Bearer {token}"},
        secrets=(token,),
    )
    if not reply.is_fine:
        raise _refusal(reply)
    items = reply.data.get("items")
    channels = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    if not channels:
        raise _no_channel(reply)
    return [_found(desk, item, credentials) for item in channels if item.get("id")]


def _found(desk: Desk, item: Mapping[str, Any], credentials: Mapping[str, Any]) -> Found:
    snippet, status = _object(item, "snippet"), _object(item, "status")
    id = clean_line(str(item["id"]), max_bytes=100)
    handle = clean_line(str(snippet.get("customUrl") or ""), max_bytes=100)
    facts: dict[str, Any] = {
        "handle": handle,
        "link": "" if desk.practice else f"https://www.youtube.com/channel/{id}",
        "testing": bool(credentials.get("testing")),
    }
    if "longUploadsStatus" in status:
        facts["long_uploads"] = status["longUploadsStatus"] == "allowed"
    ends = credentials.get("refresh_token_until")
    return Found(
        platform="youtube",
        remote_id=id,
        name=clean_line(str(snippet.get("title") or "")) or handle or id,
        credentials=dict(credentials),
        facts=facts,
        expires_at=datetime.fromisoformat(ends) if ends else None,
    )


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _refusal(reply: Reply) -> Exception:
    """Source of the reasons: developers.google.com/youtube/v3/docs/errors."""
    error = _object(reply.data, "error")
    errors = error.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    reason = str(first.get("reason", "")) if isinstance(first, dict) else ""
    if reason == "youtubeSignupRequired":
        return _no_channel(reply)
    if reason in ("accessNotConfigured", "SERVICE_DISABLED"):
        return ConnectRefused(
            "The YouTube Data API isn't switched on in the Google project. Switch it on (APIs & "
            "Services → Library → YouTube Data API v3), then connect again.",
            code="api_off",
            detail=reply.detail,
        )
    if reason in ("quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded"):
        return SignInUnreachable(
            "YouTube asks for a pause: today's calls of the Google project are used up.",
            detail=reply.detail,
        )
    if reply.status == 401:
        return SignInLost(
            "Google no longer accepts the sign-in. Connect the channel again.", detail=reply.detail
        )
    said = clean_line(str(error.get("message") or reply.status), max_bytes=300)
    return ConnectRefused(f"YouTube refused to say which channel this is ({said}).",
                          code=reason or "connect_refused", detail=reply.detail)  # fmt: skip


def _no_channel(reply: Reply) -> ConnectRefused:
    return ConnectRefused(
        "This Google account has no YouTube channel. Create one at youtube.com as that account, "
        "or connect again with another one.",
        code="no_channel",
        detail=reply.detail,
    )
