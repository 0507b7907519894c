"""Alerts for scripts: what stands, and the channels that messages go to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, QueryParameter

from appliance import alert_channels
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.models import Role
from appliance.states import AlertState
from tasks.alerting import addresses, sweep
from web.alert_rows import AlertShape, ChannelShape, channel_shape, load_alerts, load_channels
from web.auth import needs, principal

ADMIN = needs(Role.ADMIN, Scope.ADMIN)

AnyRequest = Request[Any, Any, State]


class Alerts(msgspec.Struct, kw_only=True):
    """``quiet_until``: nobody is told of anything until then, because of ``quiet_reason``; null:
    alerts are told."""

    items: list[AlertShape]
    quiet_until: datetime | None
    quiet_reason: str | None


class Channels(msgspec.Struct, kw_only=True):
    items: list[ChannelShape]


class NewChannel(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    address: str
    """In Apprise's words, such as ``ntfys://ntfy.sh/topic``. No answer ever has it."""
    kinds: list[str] = []
    """Kinds of alerts that go there; none: all."""


class ChannelChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays."""

    name: str | None = None
    address: str | None = None
    kinds: list[str] | None = None
    enabled: bool | None = None


class TestBegun(msgspec.Struct, kw_only=True):
    __test__ = False
    job_id: str
    """``GET /api/v1/jobs/{job_id}`` says whether it went out."""


@get("/api/v1/alerts", opt=ADMIN, tags=["alerts"], summary="What is wrong", sync_to_thread=True)
def list_alerts(
    request: AnyRequest, in_state: Annotated[str | None, QueryParameter(name="state")] = None
) -> Alerts:
    """Those that stand first; ``state``: open or cleared. Fifty at most; what was over for 90 days
    is forgotten."""
    if in_state is not None and in_state not in list(AlertState):
        raise InvalidInput("A state is open or cleared.", field="state")
    with database.connection_context():
        quiet = sweep.quiet_of(now())
        return Alerts(
            items=load_alerts(AlertState(in_state) if in_state else None),
            quiet_until=quiet.until if quiet else None,
            quiet_reason=quiet.reason if quiet else None,
        )


@get(
    "/api/v1/alerts/channels",
    opt=ADMIN,
    tags=["alerts"],
    summary="Where alerts go",
    sync_to_thread=True,
)
def list_channels(request: AnyRequest) -> Channels:
    with database.connection_context():
        return Channels(items=load_channels(request.app.state.settings))


@post(
    "/api/v1/alerts/channels",
    opt=ADMIN,
    tags=["alerts"],
    summary="Add a channel",
    sync_to_thread=True,
)
def add_channel(request: AnyRequest, data: JSONBody[NewChannel]) -> ChannelShape:
    address = addresses.check(data.address)
    with database.connection_context():
        row = alert_channels.add(
            request.app.state.vault,
            name=data.name,
            address=address,
            kinds=data.kinds,
            actor=principal(request).user,
        )
        return channel_shape(alert_channels.describe(row))


@patch(
    "/api/v1/alerts/channels/{channel_id:str}",
    opt=ADMIN,
    tags=["alerts"],
    summary="Change a channel",
    sync_to_thread=True,
)
def change_channel(
    request: AnyRequest, channel_id: FromPath[str], data: JSONBody[ChannelChange]
) -> ChannelShape:
    address = None if data.address is None else addresses.check(data.address)
    with database.connection_context():
        alert_channels.change(
            request.app.state.vault,
            alert_channels.get(channel_id),
            name=data.name,
            address=address,
            kinds=data.kinds,
            enabled=data.enabled,
            actor=principal(request).user,
        )
        return channel_shape(alert_channels.describe(alert_channels.get(channel_id)))


@delete(
    "/api/v1/alerts/channels/{channel_id:str}",
    opt=ADMIN,
    tags=["alerts"],
    summary="Remove a channel",
    sync_to_thread=True,
)
def remove_channel(request: AnyRequest, channel_id: FromPath[str]) -> None:
    with database.connection_context():
        alert_channels.remove(alert_channels.get(channel_id), actor=principal(request).user)


@post(
    "/api/v1/alerts/channels/{channel_id:str}/test",
    opt=ADMIN,
    tags=["alerts"],
    summary="Send a test message",
    status_code=202,
    sync_to_thread=True,
)
def test_channel(request: AnyRequest, channel_id: FromPath[str]) -> TestBegun:
    """The delivery worker sends it; 404 for a channel that isn't there."""
    with database.connection_context():
        alert_channels.require(request.app.state.settings, channel_id)
        return TestBegun(job_id=sweep.ask_for_test(channel_id))
