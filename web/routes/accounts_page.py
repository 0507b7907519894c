"""Settings → Accounts: where posts go, what each sign-in is worth, and how to set up a platform."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import accounts, oauth_clients, post_numbers, posting_switch
from appliance.db import database
from appliance.errors import InvalidInput, NotFound
from appliance.models import Account, Priority, Role
from appliance.oauth_clients import PROVIDERS, Provider
from tasks.connect import flow
from tasks.connect.tokens import redirect_for
from web import connecting
from web.account_rows import (
    client_context,
    load_account,
    load_all,
    load_providers,
    load_steps,
    provider_label,
)
from web.auth import needs, principal
from web.forms import Form, FormData, refused, shown_again, text

LOOK = needs(Role.VIEWER)
ADMIN = needs(Role.ADMIN)

AnyRequest = Request[Any, Any, State]


@get("/settings/accounts", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def accounts_page(request: AnyRequest, saved: FromQuery[str] = "") -> Template:
    settings = request.app.state.settings
    with database.connection_context():
        context = {
            "place": "accounts",
            "accounts": load_all(),
            "providers": load_providers(settings),
            "pause": posting_switch.current(),
            "practice": settings.practice,
            "numbers_on": post_numbers.is_on(),
            "saved": saved,
        }
    return Template("accounts/page.html", context=context, headers=connecting.policy(settings))


@post(
    "/settings/accounts/pause",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def pause(request: AnyRequest, data: FormData) -> Redirect:
    """``pause``: "yes" holds all posts back, anything else lets them go. ``reason``: for people."""
    user = principal(request).user
    with database.connection_context():
        if text(data, "pause") == "yes":
            posting_switch.pause(user, text(data, "reason"))
        else:
            flow.resume_posting(user)
    return Redirect("/settings/accounts", status_code=303)


# One account


@get("/settings/accounts/{account_id:str}", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def account_page(
    request: AnyRequest, account_id: FromPath[str], saved: FromQuery[str] = ""
) -> Template:
    with database.connection_context():
        row = load_account(accounts.get(account_id))
    return Template(
        "accounts/show.html",
        context={"place": "accounts", "account": row, "saved": saved},
        headers=connecting.policy(request.app.state.settings),
    )


@post(
    "/settings/accounts/{account_id:str}/check",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def check(request: AnyRequest, account_id: FromPath[str]) -> Redirect:
    """Have the sign-in tried now."""
    with database.connection_context():
        flow.check(accounts.get(account_id), priority=Priority.HIGH)
    return Redirect(f"/settings/accounts/{account_id}?saved=checking", status_code=303)


@post(
    "/settings/accounts/{account_id:str}/stage-ahead",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def stage_ahead(request: AnyRequest, account_id: FromPath[str], data: FormData) -> Redirect:
    """``wish``: "yes", or nothing."""
    with database.connection_context():
        wish = text(data, "wish") == "yes"
        flow.stage_ahead(accounts.get(account_id), wish, actor=principal(request).user)
    return Redirect(f"/settings/accounts/{account_id}?saved=stage#stage", status_code=303)


@get(
    "/settings/accounts/{account_id:str}/disconnect",
    opt=ADMIN,
    sync_to_thread=True,
    include_in_schema=False,
)
def ask_to_disconnect(request: AnyRequest, account_id: FromPath[str]) -> Template:
    """What it would end: as a dialog over the page, or as a page of its own."""
    with database.connection_context():
        row = load_account(_connectable(account_id))
    in_dialog = request.headers.get("HX-Request") == "true"
    name = "accounts/_disconnect_dialog.html" if in_dialog else "accounts/disconnect.html"
    return Template(name, context={"account": row})


@post(
    "/settings/accounts/{account_id:str}/disconnect",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def disconnect(request: AnyRequest, account_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        flow.disconnect(_connectable(account_id), actor=principal(request).user)
    return Redirect("/settings/accounts?saved=disconnected", status_code=303)


def _connectable(account_id: str) -> Account:
    account = accounts.get(account_id)
    if not load_account(account).connectable:
        raise NotFound("This account is a part of the box and stays.")
    return account


# Setting up a platform


@get("/settings/set-up/{provider:str}", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def set_up_page(
    request: AnyRequest, provider: FromPath[str], saved: FromQuery[str] = ""
) -> Template:
    with database.connection_context():
        context = _set_up(request, _known(provider), saved=saved)
    return Template(
        "accounts/set_up.html",
        context=context,
        headers=connecting.policy(request.app.state.settings),
    )


def _known(provider: str) -> Provider:
    if provider not in PROVIDERS:
        raise NotFound("There is no such platform.")
    return provider


def _set_up(
    request: AnyRequest, provider: Provider, *, form: Form | None = None, saved: str = ""
) -> dict[str, Any]:
    settings = request.app.state.settings
    about = oauth_clients.describe(settings, provider)
    found = next(row for row in load_providers(settings) if row.name == provider)
    return {
        "place": "accounts",
        "provider": found,
        "label": provider_label(provider),
        "steps": load_steps(settings, provider),
        "client": client_context(about),
        "redirect": redirect_for(settings, provider),
        "form": form or Form({"client_id": about.id}),
        "saved": saved,
    }


@post(
    "/settings/set-up/{provider:str}",
    opt=ADMIN,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def save_client(request: AnyRequest, provider: FromPath[str], data: FormData) -> Response[Any]:
    """Client id and secret: what was entered is tried at once, and the secret never shown again."""
    state, user = request.app.state, principal(request).user
    known = _known(provider)
    with database.connection_context():
        try:
            oauth_clients.keep(
                state.settings,
                state.vault,
                known,
                id=text(data, "client_id"),
                secret=text(data, "client_secret"),
                actor=user,
            )
        except InvalidInput as exc:
            kept = {name: value for name, value in data.items() if name != "client_secret"}
            form = refused(kept, exc, "client_id", "client_secret")
            context = _set_up(request, known, form=form)
            return shown_again("accounts/set_up.html", exc, context)
        flow.check_client(known)
    return Redirect(f"/settings/set-up/{provider}?saved=client#entered", status_code=303)


@post(
    "/settings/set-up/{provider:str}/check",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def check_client(request: AnyRequest, provider: FromPath[str]) -> Redirect:
    with database.connection_context():
        flow.check_client(_known(provider))
    return Redirect(f"/settings/set-up/{provider}#entered", status_code=303)


@post(
    "/settings/set-up/{provider:str}/forget",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def forget_client(request: AnyRequest, provider: FromPath[str]) -> Redirect:
    with database.connection_context():
        oauth_clients.forget(
            request.app.state.settings, _known(provider), actor=principal(request).user
        )
    return Redirect(f"/settings/set-up/{provider}?saved=forgotten#entered", status_code=303)
