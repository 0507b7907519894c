"""Whom the stand-in of Google knows: channels, consents, and the tokens that come of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.oauth_clients import PRACTICE_ID, PRACTICE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from web.practice.ground import Ground

_SCOPE = "https://www.googleapis.com/auth/"
UPLOAD, READ = f"{_SCOPE}youtube.upload", f"{_SCOPE}youtube.readonly"
ALL, FORCE_SSL = f"{_SCOPE}youtube", f"{_SCOPE}youtube.force-ssl"
# Any one of these is enough. Source: platforms.md §1.1.
_READS, _WRITES = frozenset({READ, ALL, FORCE_SSL}), frozenset({ALL, FORCE_SSL})
_UPLOADS, _CAPTIONS = frozenset({UPLOAD, ALL, FORCE_SSL}), frozenset({FORCE_SSL})
SCOPES_OF = {
    "channels.list": _READS,
    "videos.list": _READS,
    "playlists.list": _READS,
    "playlistItems.list": _READS,
    "commentThreads.list": _CAPTIONS,
    "videos.insert": _UPLOADS,
    "thumbnails.set": _UPLOADS,
    "videos.update": _WRITES,
    "videos.delete": _WRITES,
    "playlistItems.insert": _WRITES,
    "commentThreads.insert": _CAPTIONS,
    "captions.list": _CAPTIONS,
    "captions.insert": _CAPTIONS,
}

CHANNELS: tuple[dict[str, Any], ...] = (
    {"id": "UCpractice00000000000001", "title": "Practice on YouTube", "open": True},
    {"id": "UCpractice00000000000002", "title": "Second practice channel", "open": True},
    {"id": "UCpractice00000000000003", "title": "An account without a channel", "open": False},
)
ACCESS_S = 3599
# Of the sign-ins of an app in "Testing". Source: platforms.md §1.1.
TESTING_S = 7 * 86_400 - 1
CODE_LIFETIME = timedelta(minutes=10)
CONSENTED = tuple(sorted({UPLOAD, READ, FORCE_SSL}))


def give_code(ground: Ground, channel: str, asked: dict[str, str], *, testing: bool = False) -> str:
    """Somebody has said yes: the code that goes back with the browser."""
    code = f"4/{secrets.token_urlsafe(32)}"
    kept = {
        "channel": channel,
        "scopes": asked["scope"].split(),
        "client_id": asked["client_id"],
        "redirect_uri": asked["redirect_uri"],
        "challenge": asked.get("code_challenge", ""),
        "offline": asked.get("access_type") == "offline",
        "consent": "consent" in asked.get("prompt", "").split(),
        "testing": testing,
        "until": (now() + CODE_LIFETIME).isoformat(),
    }
    ground.put("code", code, kept)
    return code


def is_client(form: Mapping[str, str]) -> bool:
    """Whether the form comes from the one program that the stand-in knows: this box."""
    given = f"{form.get('client_id', '')} {form.get('client_secret', '')}"
    return hmac.compare_digest(
        given.encode(), f"{PRACTICE_ID['google']} {PRACTICE_SECRET}".encode()
    )


def redeem(ground: Ground, form: dict[str, str]) -> dict[str, Any] | None:
    """The tokens for a code; None: it isn't (or no longer) good for that. Works once."""
    kept = ground.get("code", form.get("code", ""))
    if kept is None or not ground.remove("code", form["code"]):
        return None
    right = (
        kept["client_id"] == form.get("client_id")
        and kept["redirect_uri"] == form.get("redirect_uri")
        and datetime.fromisoformat(kept["until"]) > now()
        and _proves(form.get("code_verifier", ""), kept["challenge"])
    )
    if not right:
        return None
    # A refresh token comes with the first consent, or when consent was asked for again.
    known = any(
        grant["channel"] == kept["channel"] and grant["client_id"] == kept["client_id"]
        for grant in ground.all("grant")
    )
    offline = kept["offline"] and (kept["consent"] or not known)
    tokens = grant(
        ground, kept["channel"], kept["scopes"], client_id=kept["client_id"], offline=offline
    )
    if kept["testing"] and offline:
        tokens["refresh_token_expires_in"] = TESTING_S
    return tokens


def grant(
    ground: Ground,
    channel: str = CHANNELS[0]["id"],
    scopes: Iterable[str] = CONSENTED,
    *,
    client_id: str = PRACTICE_ID["google"],
    offline: bool = True,
) -> dict[str, Any]:
    """A new sign-in, as the token endpoint answers it."""
    refresh = f"1//{secrets.token_urlsafe(32)}"
    kept = {"id": refresh, "channel": channel, "scopes": list(scopes), "client_id": client_id}
    ground.put("grant", refresh, kept)
    tokens = _access(ground, kept)
    return {**tokens, "refresh_token": refresh} if offline else tokens


def refresh(ground: Ground, form: dict[str, str]) -> dict[str, Any] | None:
    """A new access token, and no new refresh token; None: the grant is gone."""
    kept = ground.get("grant", form.get("refresh_token", ""))
    if kept is None or kept["client_id"] != form.get("client_id"):
        return None
    return _access(ground, kept)


def revoke(ground: Ground, token: str) -> bool:
    """Either kind of token takes the whole grant away."""
    access = ground.get("access", token)
    name = access["grant"] if access else token
    for other in ground.all("access"):
        if other["grant"] == name:
            ground.remove("access", other["id"])
    return ground.remove("grant", name)


def look_up(ground: Ground, token: str) -> dict[str, Any] | None:
    """The grant of a living access token."""
    access = ground.get("access", token)
    if access is None or datetime.fromisoformat(access["until"]) <= now():
        return None
    return ground.get("grant", access["grant"])


def _access(ground: Ground, kept: dict[str, Any]) -> dict[str, Any]:
    token = f"ya29.{secrets.token_urlsafe(48)}"
    until = (now() + timedelta(seconds=ACCESS_S)).isoformat()
    ground.put("access", token, {"id": token, "grant": kept["id"], "until": until})
    return {
        "access_token": token,
        "expires_in": ACCESS_S,
        "scope": " ".join(kept["scopes"]),
        "token_type": "Bearer",
    }


def _proves(verifier: str, challenge: str) -> bool:
    """Source: RFC 7636 §4.6, S256."""
    if not challenge:
        return True
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(made, challenge)
