"""Connecting an account: off to the platform's page, back with a code, and the page that waits."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import accounts, connections
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.models import Role
from tasks.connect import flow
from web import connecting
from web.account_rows import load_connection
from web.auth import needs, principal
from web.forms import Form, FormData, several, shown_again, text

# An API token can't come back from a platform's page: sessions only.
ADMIN = needs(Role.ADMIN)

AnyRequest = Request[Any, Any, State]


@post(
    "/connect/{platform:str}",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def begin(request: AnyRequest, platform: FromPath[str], data: FormData) -> Redirect:
    """``practice``: "yes" for the stand-in. ``account``: the one to be connected again."""
    state, who = request.app.state, principal(request)
    with database.connection_context():
        again = accounts.get(text(data, "account")) if text(data, "account") else None
        if again is not None and again.platform != platform:
            raise InvalidInput("This account is on another platform.", field="account")
        address = connecting.begin(
            state.settings,
            state.vault,
            platform,
            user=who.user,
            session=who.session,
            practice=again.practice if again is not None else text(data, "practice") == "yes",
            account=again,
        )
    return Redirect(address, status_code=303)


@get("/connect/{provider:str}/callback", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def come_back(
    request: AnyRequest,
    provider: FromPath[str],
    code: FromQuery[str] = "",
    error: FromQuery[str] = "",
) -> Redirect:
    """The platform sends the browser here. The code goes to a job; the page that waits has an
    address without it, so that it stays in no history and no Referer."""
    who = principal(request)
    with database.connection_context():
        row = connections.receive(
            request.app.state.vault,
            provider,
            # Not a parameter: that name is Litestar's own for the app's state.
            state=request.query_params.get("state", ""),
            code=code,
            error=error,
            user=who.user,
            session=who.session,
        )
    return Redirect(
        f"/connections/{row.public_id}",
        status_code=303,
        headers={"Referrer-Policy": "no-referrer"},
    )


@get("/connections/{connection_id:str}", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def wait(request: AnyRequest, connection_id: FromPath[str]) -> Template:
    """Waits live; without script it reloads."""
    return _page(request, connection_id)


def _page(request: AnyRequest, connection_id: str, form: Form | None = None) -> Template:
    with database.connection_context():
        row = connections.get(principal(request).user, connection_id)
        shown = load_connection(row)
    return Template(
        "accounts/connection.html",
        context={"connection": shown, "form": form or Form()},
        headers=connecting.policy(request.app.state.settings),
    )


@post(
    "/connections/{connection_id:str}",
    opt=ADMIN,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def choose(
    request: AnyRequest, connection_id: FromPath[str], data: FormData
) -> Response[Any] | Template:
    """Which of the Pages and accounts that the sign-in opens come in."""
    user = principal(request).user
    with database.connection_context():
        row = connections.get(user, connection_id)
        try:
            flow.choose(request.app.state.vault, row, several(data, "accounts"), user)
        except InvalidInput as exc:
            context = {
                "connection": load_connection(row),
                "form": Form({}, {"accounts": exc.message}),
            }
            return shown_again("accounts/connection.html", exc, context)
    return Redirect(f"/connections/{connection_id}", status_code=303)


@post(
    "/settings/accounts/practice",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def practise(request: AnyRequest) -> Redirect:
    """One click: an account on each stand-in."""
    who = principal(request)
    with database.connection_context():
        connecting.make_practice_accounts(request.app, user=who.user, session=who.session)
    return Redirect("/settings/accounts?saved=practice", status_code=303)
