"""Settings → Backups: what there is, a new one, how to restore, the recovery key."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Response, Template

from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput, NotFound
from appliance.models import Role
from storage.backups import format, keys
from tasks import backing_up
from web import backup_view
from web.auth import needs, principal
from web.forms import Form, FormData, refused, shown_again, text
from web.routes.backups_api import forget_old_data

ADMIN = needs(Role.ADMIN)
PAGE = "/settings/backups"
_NUMBERS = ("daily", "weekly", "monthly")


@get(PAGE, opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def show_backups(request: Request[Any, Any, State], done: FromQuery[str] = "") -> Template:
    return Template("backups/page.html", context=_page(request, done=done))


def _page(request: Request[Any, Any, State], **more: Any) -> dict[str, Any]:
    with database.connection_context():
        found = backup_view.load(request.app.state.settings)
    keep = {name: str(getattr(found.keep, name)) for name in _NUMBERS}
    return {
        "place": "backups",
        "backups": found,
        "form": Form(keep),
        "done": "",
        **more,
    }


def _start(request: Request[Any, Any, State], verb: str, name: str = "") -> Redirect:
    with database.connection_context():
        backing_up.start(principal(request).user, verb, request.app.state.layout, name)
    return Redirect(f"{PAGE}?done={verb}", status_code=303)


@post(PAGE, opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def back_up_now(request: Request[Any, Any, State]) -> Redirect:
    return _start(request, "create")


@post(f"{PAGE}/drill", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def try_newest(request: Request[Any, Any, State]) -> Redirect:
    return _start(request, "drill")


@post(f"{PAGE}/{{name:str}}/verify", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def verify(request: Request[Any, Any, State], name: FromPath[str]) -> Redirect:
    return _start(request, "verify", name)


@get(f"{PAGE}/{{name:str}}/remove", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def ask_to_remove(request: Request[Any, Any, State], name: FromPath[str]) -> Template:
    found = _page(request)["backups"]
    for backup in found.items:
        if backup.name == name:
            return Template(
                "backups/remove.html", context={"backup": backup, "last": len(found.items) == 1}
            )
    raise NotFound("There is no such backup.")


@post(f"{PAGE}/{{name:str}}/remove", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def remove(request: Request[Any, Any, State], name: FromPath[str]) -> Redirect:
    if not format.is_name(name):
        raise NotFound("There is no such backup.")
    return _start(request, "remove", name)


@post(f"{PAGE}/policy", opt=ADMIN, status_code=200, sync_to_thread=True, include_in_schema=False)
def change_policy(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    settings, user = request.app.state.settings, principal(request).user
    try:
        with database.connection_context():
            keys.choose_keeping(settings, user, **{name: _number(data, name) for name in _NUMBERS})
    except ApplianceError as exc:
        context = _page(request)
        context["form"] = refused(data, exc, *_NUMBERS)
        return shown_again("backups/page.html", exc, context)
    return Redirect(f"{PAGE}?done=policy", status_code=303)


def _number(data: dict[str, Any], name: str) -> int:
    written = text(data, name).strip()
    if not (written.isascii() and written.isdecimal() and len(written) < 6):
        raise InvalidInput("Write a whole number.", field=name)
    return int(written)


@get(f"{PAGE}/key", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def ask_for_key(request: Request[Any, Any, State]) -> Template:
    with database.connection_context():
        known = keys.known_key()
    return Template("backups/key.html", context={"known": known, "fresh": ""})


@post(f"{PAGE}/key", opt=ADMIN, status_code=200, sync_to_thread=True, include_in_schema=False)
def make_key(request: Request[Any, Any, State], data: FormData) -> Template:
    """The answer shows it, this once: it is in no address and no row."""
    with database.connection_context():
        fresh = keys.make_key(principal(request).user, replace=text(data, "replace") == "yes")
        known = keys.known_key()
    return Template("backups/key.html", context={"known": known, "fresh": fresh})


@get(f"{PAGE}/old-data", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def ask_to_remove_old_data(request: Request[Any, Any, State]) -> Template:
    return Template("backups/old_data.html", context=_page(request))


@post(f"{PAGE}/old-data", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def remove_old_data(request: Request[Any, Any, State]) -> Redirect:
    forget_old_data(request)
    return Redirect(f"{PAGE}?done=old-data", status_code=303)
