"""People: who is here, who is invited, what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import invites, quotas, users
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput
from appliance.models import Invite, InviteKind, Role, User
from appliance.settings import Settings
from web.auth import client_address, needs, principal
from web.forms import Form, FormData, refused, shown_again, text

ADMIN = needs(Role.ADMIN)

ROLE_HINTS = {
    Role.VIEWER: "sees the team's videos and posts",
    Role.EDITOR: "also uploads, edits and posts",
    Role.ADMIN: "also sees private videos and manages people",
    Role.OWNER: "everything, owners included",
}


@dataclass(frozen=True)
class PersonRow:
    id: str
    name: str
    email: str
    role: str
    is_self: bool
    is_active: bool
    may_manage: bool
    created_at: datetime
    last_seen_at: datetime | None
    space: str
    quota: str
    deactivated_at: datetime | None


@dataclass(frozen=True)
class InviteRow:
    id: str
    email: str
    role: str
    created_at: datetime
    expires_at: datetime


@get("/people", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def people_page(request: Request[Any, Any, State], done: FromQuery[str] = "") -> Template:
    with database.connection_context():
        return Template("people/page.html", context=_page(request, done=done))


def _page(
    request: Request[Any, Any, State],
    *,
    form: Form | None = None,
    done: str = "",
    link: dict[str, str] | None = None,
) -> dict[str, Any]:
    me = principal(request).user
    roles = [role for role in reversed(Role) if role is not Role.OWNER or me.role is Role.OWNER]
    return {
        "people": [_row(user, me, request.app.state.settings) for user in users.all_users()],
        "invites": [_invite_row(row) for row in invites.open_invites()],
        "roles": [(role.value, ROLE_HINTS[role]) for role in roles],
        "form": form or Form({"role": Role.EDITOR.value}),
        "done": done,
        "link": link,
    }


def _row(user: User, me: User, settings: Settings) -> PersonRow:
    return PersonRow(
        id=user.public_id,
        name=user.name or user.email,
        email=user.email,
        role=user.role.value,
        is_self=user.id == me.id,
        is_active=user.deactivated_at is None,
        may_manage=users.may_manage(me, user),
        created_at=user.created_at,
        last_seen_at=user.last_seen_at,
        space=quotas.describe_quota(settings, user),
        quota=quotas.write_quota(user.quota_bytes),
        deactivated_at=user.deactivated_at,
    )


def _invite_row(row: Invite) -> InviteRow:
    return InviteRow(row.public_id, row.email, row.role.value, row.created_at, row.expires_at)


def _role(name: str) -> Role:
    if name not in list(Role):
        raise InvalidInput("Choose one of the roles in the list.", field="role")
    return Role(name)


def _done(what: str) -> Redirect:
    return Redirect(f"/people?done={what}", status_code=303)


@post("/people/invites", opt=ADMIN, status_code=200, sync_to_thread=True, include_in_schema=False)
def invite(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    """Answers with the page, not with 303: the link is shown this once, and kept nowhere."""
    me = principal(request).user
    with database.connection_context():
        try:
            role, email = _role(text(data, "role")), text(data, "email").strip()
            row, token = users.invite(me, role=role, email=email)
        except ApplianceError as exc:
            form = refused(data, exc, "email", "role")
            return shown_again("people/page.html", exc, _page(request, form=form))
        link = {
            "kind": "invite",
            "who": row.email,
            "address": invites.address(InviteKind.INVITE, token, request.app.state.settings),
        }
        return Template("people/page.html", context=_page(request, link=link))


@post(
    "/people/invites/{invite_id:str}/withdraw",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def withdraw(request: Request[Any, Any, State], invite_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        users.withdraw_invite(principal(request).user, invite_id)
    return _done("withdrawn")


@post(
    "/people/{user_id:str}/role",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def set_role(request: Request[Any, Any, State], user_id: FromPath[str], data: FormData) -> Redirect:
    with database.connection_context():
        users.set_role(
            users.get(user_id),
            _role(text(data, "role")),
            actor=principal(request).user,
            address=client_address(request.scope),
        )
    return _done("role")


@post(
    "/people/{user_id:str}/quota",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def set_quota(
    request: Request[Any, Any, State], user_id: FromPath[str], data: FormData
) -> Redirect:
    with database.connection_context():
        users.set_quota(
            users.get(user_id),
            quotas.parse_quota(text(data, "quota")),
            actor=principal(request).user,
            address=client_address(request.scope),
        )
    return _done("quota")


@post(
    "/people/{user_id:str}/deactivate",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def deactivate(request: Request[Any, Any, State], user_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        users.deactivate(
            users.get(user_id),
            actor=principal(request).user,
            address=client_address(request.scope),
        )
    return _done("deactivated")


@post(
    "/people/{user_id:str}/reactivate",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def reactivate(request: Request[Any, Any, State], user_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        users.reactivate(
            users.get(user_id),
            actor=principal(request).user,
            address=client_address(request.scope),
        )
    return _done("reactivated")


@post(
    "/people/{user_id:str}/reset-link",
    opt=ADMIN,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def reset_link(request: Request[Any, Any, State], user_id: FromPath[str]) -> Template:
    """Answers with the page, not with 303: the link is shown this once, and kept nowhere."""
    settings = request.app.state.settings
    with database.connection_context():
        user = users.get(user_id)
        address = users.reset_link(user, settings, actor=principal(request).user)
        link = {"kind": "reset", "who": user.name or user.email, "address": address}
        return Template("people/page.html", context=_page(request, link=link))
