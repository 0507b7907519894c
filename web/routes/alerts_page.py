"""Settings → Alerts: what is wrong, who is told, and whether that works."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import alert_channels
from appliance.alerts import KINDS
from appliance.clock import now
from appliance.db import database
from appliance.errors import Conflict, InvalidInput
from appliance.models import Role
from appliance.states import AlertState
from tasks.alerting import addresses, sweep
from web.alert_rows import load_alerts, load_rows
from web.auth import needs, principal
from web.forms import Form, FormData, refused, several, shown_again, text

ADMIN = needs(Role.ADMIN)
PAGE = "/settings/alerts"

AnyRequest = Request[Any, Any, State]


@get(PAGE, opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def alerts_page(request: AnyRequest, saved: FromQuery[str] = "") -> Template:
    with database.connection_context():
        return Template("alerts/page.html", context=_page(request, saved=saved))


def _page(request: AnyRequest, **more: Any) -> dict[str, Any]:
    return {
        "place": "alerts",
        "quiet": sweep.quiet_of(now()),
        "standing": load_alerts(AlertState.OPEN),
        "over": load_alerts(AlertState.CLEARED),
        "channels": load_rows(request.app.state.settings),
        "kinds": [(name, kind.label) for name, kind in KINDS.items()],
        "chosen": list(KINDS),
        "form": Form(),
        "saved": "",
        **more,
    }


@post(PAGE, opt=ADMIN, status_code=200, sync_to_thread=True, include_in_schema=False)
def add_channel(request: AnyRequest, data: FormData) -> Response[Any]:
    """A test message follows at once: whether it works is what everybody wants to know next."""
    chosen = several(data, "kinds")
    try:
        address = addresses.check(text(data, "address"))
        with database.connection_context():
            row = alert_channels.add(
                request.app.state.vault,
                name=text(data, "name"),
                address=address,
                kinds=[] if set(chosen) == set(KINDS) else _some(chosen),
                actor=principal(request).user,
            )
            sweep.ask_for_test(row.public_id)
    except (InvalidInput, Conflict) as exc:
        kept = {name: value for name, value in data.items() if name != "address"}
        form = refused(kept, exc, "name", "address", "kinds")
        with database.connection_context():
            page = _page(request, form=form, chosen=chosen)
        return shown_again("alerts/page.html", exc, page)
    return Redirect(f"{PAGE}?saved=added", status_code=303)


def _some(chosen: list[str]) -> list[str]:
    if not chosen:
        raise InvalidInput("Choose at least one kind of alert.", field="kinds")
    return chosen


@post(PAGE + "/{channel_id:str}/test", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def test_channel(request: AnyRequest, channel_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        alert_channels.require(request.app.state.settings, channel_id)
        sweep.ask_for_test(channel_id)
    return Redirect(f"{PAGE}?saved=test#channels", status_code=303)


@post(PAGE + "/{channel_id:str}/switch", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def switch_channel(request: AnyRequest, channel_id: FromPath[str], data: FormData) -> Redirect:
    """``enabled``: "yes" or "no"."""
    with database.connection_context():
        alert_channels.change(
            request.app.state.vault,
            alert_channels.get(channel_id),
            enabled=text(data, "enabled") == "yes",
            actor=principal(request).user,
        )
    return Redirect(f"{PAGE}#channels", status_code=303)


@post(PAGE + "/{channel_id:str}/remove", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def remove_channel(request: AnyRequest, channel_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        alert_channels.remove(alert_channels.get(channel_id), actor=principal(request).user)
    return Redirect(f"{PAGE}?saved=removed#channels", status_code=303)
