"""Coming in: by password, by the first set-up link, by an invite, with a new password."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import invites, sessions, throttle, users
from appliance.db import database
from appliance.errors import ApplianceError
from appliance.models import Invite, InviteKind, Role
from storage.ballast import come_in_although_full
from web.auth import PUBLIC, client_address, needs, principal_or_none
from web.forms import Form, FormData, refused, shown_again, text
from web.session_cookie import end_current, enter, leave, safe_return

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = ("email", "name", "password", "time_zone")


@get("/sign-in", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def sign_in_page(
    request: Request[Any, Any, State], next: FromQuery[str] = ""
) -> Template | Redirect:
    if principal_or_none(request) is not None:
        return Redirect(safe_return(next), status_code=303)
    with database.connection_context():
        is_set_up = users.exist()
    context = {"form": Form({"next": safe_return(next)}), "is_set_up": is_set_up}
    return Template("sign_in/page.html", context=context)


@post("/sign-in", opt=PUBLIC, status_code=200, sync_to_thread=True, include_in_schema=False)
def sign_in(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    def try_it() -> Response[Any]:
        user = sessions.check_password(
            text(data, "email"),
            text(data, "password"),
            address=client_address(request.scope),
        )
        return enter(request, user, safe_return(text(data, "next")))

    try:
        with database.connection_context():
            # Who comes to delete something has to come in first.
            return come_in_although_full(request.app.state.layout, try_it)
    except ApplianceError as exc:
        context = {"form": refused(data, exc, "email", "password"), "is_set_up": True}
        return shown_again("sign_in/page.html", exc, context)


@post(
    "/sign-out",
    opt=needs(Role.VIEWER),
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def sign_out(request: Request[Any, Any, State]) -> Redirect:
    with database.connection_context():
        # Whoever leaves a machine that others use must not stay signed in there.
        come_in_although_full(request.app.state.layout, partial(end_current, request))
    return leave(request)


# By a link that was given to somebody


@contextmanager
def _guess_counted(request: Request[Any, Any, State]) -> Iterator[None]:
    """Each look at a link counts as a guess until it turns out to be right."""
    address = client_address(request.scope)
    # Not known behind a socket without a proxy's word: then nobody's guesses lock all others out.
    limits = [throttle.Limit(f"links:{address}", free=30)] if address else []
    throttle.count_try(limits)
    yield
    throttle.succeeded(limits)


def find_link(request: Request[Any, Any, State], kind: InviteKind, token: str) -> Invite:
    """Counted as a guess until it turns out to be right. Raises NotFound, TooManyAttempts."""
    with _guess_counted(request):
        return invites.find(kind, token)


def _link_page(
    request: Request[Any, Any, State], row: Invite, form: Form | None = None
) -> dict[str, Any]:
    settings = request.app.state.settings
    disk = shutil.disk_usage(settings.data)
    return {
        "form": form or Form({"email": row.email, "time_zone": settings.team_time_zone}),
        "fixed_email": row.email or (row.user.email if row.user else ""),
        "role": row.role.value,
        "inviter": _inviter(row),
        "zones": sorted(available_timezones()),
        "data_folder": str(settings.data),
        "free_bytes": disk.free,
        "total_bytes": disk.total,
        "public_url": settings.base_url,
    }


def _inviter(row: Invite) -> str:
    return (row.created_by.name or row.created_by.email) if row.created_by else ""


def _fields(data: dict[str, Any], request: Request[Any, Any, State]) -> dict[str, Any]:
    return {
        "email": text(data, "email"),
        "name": text(data, "name"),
        "password": text(data, "password"),
        "time_zone": text(data, "time_zone") or request.app.state.settings.team_time_zone,
        "address": client_address(request.scope),
    }


def _refused(
    request: Request[Any, Any, State],
    template: str,
    row: Invite,
    data: dict[str, Any],
    error: ApplianceError,
) -> Template:
    form = refused(data, error, *FIELDS)
    return shown_again(template, error, _link_page(request, row, form))


@get("/setup/{token:str}", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def setup_page(request: Request[Any, Any, State], token: FromPath[str]) -> Template:
    with database.connection_context():
        row = find_link(request, InviteKind.SETUP, token)
        return Template("setup/page.html", context=_link_page(request, row))


@post(
    "/setup/{token:str}", opt=PUBLIC, status_code=200, sync_to_thread=True, include_in_schema=False
)
def set_up(
    request: Request[Any, Any, State], token: FromPath[str], data: FormData
) -> Response[Any]:
    with database.connection_context():
        row = find_link(request, InviteKind.SETUP, token)
        try:
            user = users.set_up(token, **_fields(data, request))
        except ApplianceError as exc:
            return _refused(request, "setup/page.html", row, data, exc)
        return enter(request, user)


@get("/invite/{token:str}", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def invite_page(request: Request[Any, Any, State], token: FromPath[str]) -> Template:
    with database.connection_context():
        row = find_link(request, InviteKind.INVITE, token)
        return Template("sign_in/invite.html", context=_link_page(request, row))


@post(
    "/invite/{token:str}", opt=PUBLIC, status_code=200, sync_to_thread=True, include_in_schema=False
)
def accept_invite(
    request: Request[Any, Any, State], token: FromPath[str], data: FormData
) -> Response[Any]:
    with database.connection_context():
        row = find_link(request, InviteKind.INVITE, token)
        try:
            user = users.accept_invite(token, **_fields(data, request))
        except ApplianceError as exc:
            return _refused(request, "sign_in/invite.html", row, data, exc)
        return enter(request, user)


@get("/reset/{token:str}", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def reset_page(request: Request[Any, Any, State], token: FromPath[str]) -> Template:
    with database.connection_context():
        row = find_link(request, InviteKind.RESET, token)
        return Template("sign_in/reset.html", context=_link_page(request, row))


@post(
    "/reset/{token:str}", opt=PUBLIC, status_code=200, sync_to_thread=True, include_in_schema=False
)
def reset_password(
    request: Request[Any, Any, State], token: FromPath[str], data: FormData
) -> Response[Any]:
    with database.connection_context():
        row = find_link(request, InviteKind.RESET, token)
        try:
            user = users.reset_password(
                token, text(data, "password"), address=client_address(request.scope)
            )
        except ApplianceError as exc:
            return _refused(request, "sign_in/reset.html", row, data, exc)
        return enter(request, user)
