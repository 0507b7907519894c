"""The first page of a new box, its other way: "Restore from backup". Only with the set-up link."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Redirect, Response, Template

from appliance import users
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput
from appliance.models import InviteKind
from storage.backups import contents, format, listing
from web.auth import PUBLIC
from web.forms import Form, FormData, refused, shown_again, text
from web.routes.sign_in import find_link

_FIELDS = ("name", "recovery_key")


def _page(
    request: Request[Any, Any, State], token: str, form: Form | None = None
) -> dict[str, Any]:
    settings = request.app.state.settings
    found = listing.summaries(settings)
    own_key = contents.key_id(settings)
    newest = next((one.name for one in found if not one.damaged), "")
    return {
        "token": token,
        "found": found,
        "needs_key": any(one.key_id != own_key for one in found if not one.damaged),
        "folder": str(settings.backups),
        "state": request.app.state.restoring.state,
        "form": form or Form({"name": newest}),
        "is_set_up": False,
    }


@get("/setup/{token:str}/restore", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def choose_backup(request: Request[Any, Any, State], token: FromPath[str]) -> Template:
    with database.connection_context():
        find_link(request, InviteKind.SETUP, token)
    return Template("setup/restore.html", context=_page(request, token))


@post(
    "/setup/{token:str}/restore",
    opt=PUBLIC,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def restore_backup(
    request: Request[Any, Any, State], token: FromPath[str], data: FormData
) -> Response[Any]:
    with database.connection_context():
        find_link(request, InviteKind.SETUP, token)
    try:
        name = text(data, "name")
        if not format.is_name(name):
            raise InvalidInput("Choose a backup.", field="name")
        request.app.state.restoring.start(
            name,
            text(data, "recovery_key").strip(),
            without_sign_ins=text(data, "without_sign_ins") == "yes",
        )
    except ApplianceError as exc:
        form = refused(data, exc, *_FIELDS)
        return shown_again("setup/restore.html", exc, _page(request, token, form))
    return Redirect(f"/setup/{token}/restore", status_code=303)


@get("/setup/{token:str}/restore/_state", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def show_state(request: Request[Any, Any, State], token: FromPath[str]) -> Template:
    """How far it is. After the restart the link is gone, and there are people who may sign in."""
    state = request.app.state.restoring.state
    with database.connection_context():
        is_set_up = users.exist()
        if not is_set_up:
            find_link(request, InviteKind.SETUP, token)
    context = {"state": state, "token": token, "is_set_up": is_set_up}
    return Template("setup/_restore_state.html", context=context)
