"""Whom the stand-in of Meta knows, and which tokens it gave to whom.

Real ones are opaque, too: what a token is worth is only in the store.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now

if TYPE_CHECKING:
    from web.practice.ground import Ground

PEOPLE: tuple[dict[str, str], ...] = (
    {"id": "100000000000001", "name": "Pat Practice"},
    {"id": "100000000000002", "name": "Noor Newcomer"},  # has no Page
)
INSTAGRAM: tuple[dict[str, Any], ...] = (
    {"id": "17841400000000001", "username": "practice.page", "name": "Practice Page"},
)
PAGES: tuple[dict[str, Any], ...] = (
    {
        "id": "200000000000001",
        "name": "Practice Page",
        "person": PEOPLE[0]["id"],
        "instagram": INSTAGRAM[0]["id"],
        "tasks": ["ANALYZE", "CREATE_CONTENT", "MANAGE", "MODERATE"],
    },
    {
        "id": "200000000000002",
        "name": "Second Practice Page",
        "person": PEOPLE[0]["id"],
        "instagram": None,
        "tasks": ["ANALYZE", "CREATE_CONTENT"],
    },
)

SHORT = timedelta(hours=1)
LONG = timedelta(days=60)
CODE_LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True)
class Caller:
    """Whose token it is; ``page``: "" for a person's own."""

    person: str
    page: str = ""
    scopes: tuple[str, ...] = ()
    long: bool = False
    expires_at: str | None = None


def person(id: str) -> dict[str, Any]:
    return dict(next((one for one in PEOPLE if one["id"] == id), {}))


def give_code(ground: Ground, person_id: str, redirect_uri: str, scopes: list[str]) -> str:
    code = secrets.token_urlsafe(32)
    until = (now() + CODE_LIFETIME).isoformat()
    kept = {"person": person_id, "redirect": redirect_uri, "scopes": scopes, "until": until}
    ground.put("code", code, kept)
    return code


def redeem(ground: Ground, code: str, redirect_uri: str) -> dict[str, Any] | None:
    """Once; None when it is unknown, used, or of another address."""
    found = ground.get("code", code)
    if found is None or found["redirect"] != redirect_uri or not ground.remove("code", code):
        return None
    if "until" in found and datetime.fromisoformat(found["until"]) <= now():
        return None
    return _give(ground, found["person"], found["scopes"], SHORT)


def exchange(ground: Ground, token: str) -> dict[str, Any] | None:
    """A token of a person for a long one."""
    found = look_up(ground, token)
    if found is None or found.page:
        return None
    return _give(ground, found.person, list(found.scopes), LONG)


def _give(ground: Ground, person_id: str, scopes: list[str], lasts: timedelta) -> dict[str, Any]:
    token = "EAA" + secrets.token_urlsafe(60)
    ends = now() + lasts
    data = {
        "person": person_id,
        "page": "",
        "scopes": scopes,
        "long": lasts == LONG,
        "expires_at": ends.isoformat(),
    }
    ground.put("token", token, {**data, "id": token})
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": int(lasts.total_seconds()),
    }


def page_token(ground: Ground, page_id: str, caller: Caller) -> str:
    """The same each time for a person and a Page. From a long token it has no end."""
    whose = f"{caller.person}:{page_id}:{caller.long}"
    if (found := ground.get("page_token", whose)) is not None:
        return str(found["token"])
    token = "EAAP" + secrets.token_urlsafe(60)
    data = {
        "person": caller.person,
        "page": page_id,
        "scopes": list(caller.scopes),
        "long": caller.long,
        "expires_at": None if caller.long else caller.expires_at,
    }
    ground.put("token", token, {**data, "id": token})
    ground.put("page_token", whose, {"id": whose, "token": token})
    return token


def look_up(ground: Ground, token: str) -> Caller | None:
    """Whose it is; None when it is unknown, taken back or over."""
    found = ground.get("token", token)
    if found is None:
        return None
    ends = found["expires_at"]
    if ends is not None and datetime.fromisoformat(ends) <= now():
        return None
    return Caller(found["person"], found["page"], tuple(found["scopes"]), found["long"], ends)


def revoke(ground: Ground, person_id: str) -> None:
    """All that came of a person's sign-in."""
    for found in ground.all("token"):
        if found["person"] == person_id:
            ground.remove("token", found["id"])
    for kept in ground.all("page_token"):
        if kept["id"].startswith(f"{person_id}:"):
            ground.remove("page_token", kept["id"])


def tidy(ground: Ground) -> None:
    """Remove codes and tokens whose time is over."""
    ground.remove_past("code", "until")
    ground.remove_past("token", "expires_at")
    for kept in ground.all("page_token"):
        if ground.get("token", kept["token"]) is None:
            ground.remove("page_token", kept["id"])
