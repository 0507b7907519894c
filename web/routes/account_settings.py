"""Settings: what people set for themselves, and their API tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import access, quotas, sessions, tokens, users
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput
from appliance.models import ApiToken, Role, Session
from web.auth import client_address, needs, principal
from web.forms import Form, FormData, refused, several, shown_again, text
from web.session_cookie import enter

# An API token can't change who it belongs to: sessions only.
SESSION = needs(Role.VIEWER)

SCOPE_HINTS = {
    Scope.READ: "See videos, posts and jobs",
    Scope.UPLOAD: "Upload videos",
    Scope.WRITE: "Edit, retry and delete videos, retry jobs",
    Scope.POST: "Post videos",
    Scope.ADMIN: "What admins may do",
}
LIFETIMES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "No end"))


@dataclass(frozen=True)
class SessionRow:
    id: int
    agent: str
    address: str
    is_this: bool
    created_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class TokenRow:
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    is_expired: bool


# Personal


@get("/settings", opt=SESSION, sync_to_thread=True, include_in_schema=False)
def personal_page(request: Request[Any, Any, State], saved: FromQuery[str] = "") -> Template:
    with database.connection_context():
        return Template("settings/personal.html", context=_personal(request, saved=saved))


def _personal(request: Request[Any, Any, State], **more: Any) -> dict[str, Any]:
    found = principal(request)
    user = found.user
    this = found.session.id if found.session else 0
    profile = Form({"name": user.name, "time_zone": user.time_zone, "theme": user.theme})
    return {
        "place": "personal",
        "email": user.email,
        "role": user.role.value,
        "space": quotas.describe_quota(request.app.state.settings, user),
        "profile": profile,
        "shortcuts": user.shortcuts,
        "password": Form(),
        "zones": sorted(available_timezones()),
        "sessions": [_session_row(row, this) for row in sessions.of(user)],
        "saved": "",
        **more,
    }


def _session_row(row: Session, this: int) -> SessionRow:
    return SessionRow(
        id=row.id,
        agent=browser_name(row.agent),
        address=row.address,
        is_this=row.id == this,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
    )


def browser_name(agent: str) -> str:
    """What a browser's long name for itself comes to: "Firefox on Linux"."""
    kinds = (
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    )
    systems = (
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS", "Mac"),
        ("Linux", "Linux"),
    )
    kind = next((name for mark, name in kinds if mark in agent), "")
    system = next((name for mark, name in systems if mark in agent), "")
    if kind and system:
        return f"{kind} on {system}"
    return kind or system or agent[:60] or "Unknown browser"


@post(
    "/settings/profile", opt=SESSION, status_code=200, sync_to_thread=True, include_in_schema=False
)
def save_profile(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    user = principal(request).user
    with database.connection_context():
        try:
            users.edit_profile(
                user,
                name=text(data, "name"),
                time_zone=text(data, "time_zone"),
                theme=text(data, "theme"),
                shortcuts=text(data, "shortcuts") == "on",
            )
        except InvalidInput as exc:
            form = refused(data, exc, "name", "time_zone", "theme")
            context = _personal(request, profile=form)
            return shown_again("settings/personal.html", exc, context)
    return Redirect("/settings?saved=profile", status_code=303)


@post(
    "/settings/password", opt=SESSION, status_code=200, sync_to_thread=True, include_in_schema=False
)
def change_password(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    """Ends all sessions; this browser gets a new one."""
    user = principal(request).user
    with database.connection_context():
        try:
            users.change_password(
                user,
                text(data, "current_password"),
                text(data, "new_password"),
                address=client_address(request.scope),
            )
        except ApplianceError as exc:
            form = refused(data, exc, "current_password", "new_password")
            context = _personal(request, password=form)
            return shown_again("settings/personal.html", exc, context)
        return enter(request, user, "/settings?saved=password")


@post(
    "/settings/sessions/{session_id:int}/revoke",
    opt=SESSION,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def revoke_session(request: Request[Any, Any, State], session_id: FromPath[int]) -> Redirect:
    with database.connection_context():
        sessions.revoke(principal(request).user, session_id)
    return Redirect("/settings?saved=session", status_code=303)


@post(
    "/settings/sessions/revoke-others",
    opt=SESSION,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def revoke_other_sessions(request: Request[Any, Any, State]) -> Redirect:
    found = principal(request)
    with database.connection_context():
        sessions.revoke_all(found.user, but=found.session)
    return Redirect("/settings?saved=sessions", status_code=303)


# API tokens


@get("/settings/tokens", opt=SESSION, sync_to_thread=True, include_in_schema=False)
def tokens_page(request: Request[Any, Any, State], saved: FromQuery[str] = "") -> Template:
    with database.connection_context():
        return Template("settings/tokens.html", context=_tokens(request, saved=saved))


def _tokens(request: Request[Any, Any, State], **more: Any) -> dict[str, Any]:
    user = principal(request).user
    may_admin = access.at_least(user, Role.ADMIN)
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN or may_admin]
    return {
        "place": "tokens",
        "tokens": [_token_row(row) for row in tokens.of(user)],
        "scopes": [(scope.value, SCOPE_HINTS[scope]) for scope in scopes],
        "chosen": [Scope.READ.value],
        "lifetimes": LIFETIMES,
        "form": Form({"expires_days": "365"}),
        "fresh": None,
        "saved": "",
        **more,
    }


def _token_row(row: ApiToken) -> TokenRow:
    return TokenRow(
        id=row.public_id,
        name=row.name,
        prefix=row.prefix,
        scopes=list(row.scopes),
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        is_expired=row.expires_at is not None and row.expires_at <= now(),
    )


@post(
    "/settings/tokens", opt=SESSION, status_code=200, sync_to_thread=True, include_in_schema=False
)
def create_token(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    """Answers with the page, not with 303: the token is shown this once, and kept nowhere."""
    user = principal(request).user
    chosen = several(data, "scopes")
    with database.connection_context():
        try:
            row, token = tokens.create(
                user,
                name=text(data, "name"),
                scopes=chosen,
                expires_days=_days(text(data, "expires_days")),
            )
        except ApplianceError as exc:
            form = refused(data, exc, "name", "scopes", "expires_days")
            context = _tokens(request, form=form, chosen=chosen)
            return shown_again("settings/tokens.html", exc, context)
        fresh = {"name": row.name, "token": token}
        return Template("settings/tokens.html", context=_tokens(request, fresh=fresh))


def _days(written: str) -> int | None:
    if not written:
        return None
    if not (written.isascii() and written.isdecimal() and len(written) <= 5):
        raise InvalidInput("Choose one of the lifetimes in the list.", field="expires_days")
    return int(written)


@post(
    "/settings/tokens/{token_id:str}/revoke",
    opt=SESSION,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def revoke_token(request: Request[Any, Any, State], token_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        tokens.revoke(principal(request).user, token_id)
    return Redirect("/settings/tokens?saved=revoked", status_code=303)
