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
from appliance.errors import ApplianceError, Conflict, InvalidInput
from appliance.models import Role
from appliance.states import AlertState
from tasks.alerting import addresses, sweep
from web.alert_rows import load_alerts, load_rows
from web.auth import needs, principal
from web.forms import Form, FormData, refused, several, shown_again, text

ADMIN = needs(Role.ADMIN)
PAGE = "/settings/alerts"
LABELS = [(name, kind.label) for name, kind in KINDS.items()]

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
        "kinds": LABELS,
        "chosen": list(KINDS),
        "form": Form(),
        "saved": "",
        **more,
    }


@post(PAGE, opt=ADMIN, status_code=200, sync_to_thread=True, include_in_schema=False)
def add_channel(request: AnyRequest, data: FormData) -> Response[Any]:
    """A test message follows at once: whether it works is what everybody wants to know next."""
    try:
        address = addresses.check(text(data, "address"))
        with database.connection_context():
            row = alert_channels.add(
                request.app.state.vault,
                name=text(data, "name"),
                address=address,
                kinds=_kinds(data),
                actor=principal(request).user,
            )
            sweep.ask_for_test(row.public_id)
    except (InvalidInput, Conflict) as exc:
        with database.connection_context():
            page = _page(request, form=_refused(data, exc), chosen=several(data, "kinds"))
        return shown_again("alerts/page.html", exc, page)
    return Redirect(f"{PAGE}?saved=added", status_code=303)


def _kinds(data: dict[str, Any]) -> list[str]:
    """[] for all of them: those that a later version adds, too."""
    chosen = several(data, "kinds")
    if not chosen:
        raise InvalidInput("Choose at least one kind of alert.", field="kinds")
    return [] if set(chosen) == set(KINDS) else chosen


def _refused(data: dict[str, Any], exc: ApplianceError) -> Form:
    """An address holds passwords: it has to be typed again."""
    kept = {name: value for name, value in data.items() if name != "address"}
    return refused(kept, exc, "name", "address", "kinds")


@get(PAGE + "/{channel_id:str}", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def change_page(request: AnyRequest, channel_id: FromPath[str]) -> Template:
    with database.connection_context():
        channel = alert_channels.describe(alert_channels.get(channel_id))
    chosen = list(channel.kinds or KINDS)
    context = {"channel": channel, "kinds": LABELS, "chosen": chosen}
    form = Form({"name": channel.name})
    return Template("alerts/change.html", context={**context, "form": form})


@post(
    PAGE + "/{channel_id:str}",
    opt=ADMIN,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def change_channel(request: AnyRequest, channel_id: FromPath[str], data: FormData) -> Response[Any]:
    """A new address is tried at once, as with a new channel."""
    typed = text(data, "address").strip()
    try:
        address = addresses.check(typed) if typed else None
        with database.connection_context():
            alert_channels.change(
                request.app.state.vault,
                alert_channels.get(channel_id),
                name=text(data, "name"),
                address=address,
                kinds=_kinds(data),
                actor=principal(request).user,
            )
            if address is not None:
                sweep.ask_for_test(channel_id)
    except InvalidInput as exc:
        with database.connection_context():
            channel = alert_channels.describe(alert_channels.get(channel_id))
        context = {"channel": channel, "kinds": LABELS, "chosen": several(data, "kinds")}
        page = {**context, "form": _refused(data, exc)}
        return shown_again("alerts/change.html", exc, page)
    saved = "changed" if address is None else "added"
    return Redirect(f"{PAGE}?saved={saved}#channels", status_code=303)


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
