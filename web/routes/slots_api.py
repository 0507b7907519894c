"""Slots over the API: the times of the week at which the team posts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from appliance import accounts as account_rows
from appliance import slots
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.models import Role, Slot
from appliance.schedule import upcoming
from web.auth import needs, principal

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.POST)

AnyRequest = Request[Any, Any, State]


@dataclass(frozen=True)
class SlotShape:
    """``weekday``: 0 is Monday. ``next_at``: when it comes next, taken or not."""

    id: str
    weekday: int
    day: str
    time: str
    time_zone: str
    next_at: datetime


@dataclass(frozen=True)
class SlotList:
    items: list[SlotShape]


@dataclass(frozen=True)
class FreeSlot:
    publish_at: datetime


class NewSlot(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    weekday: int
    time: str
    time_zone: str | None = None
    """Default: the team's."""


@get("/api/v1/slots", opt=READ, tags=["schedule"], summary="List slots", sync_to_thread=True)
def list_slots(request: AnyRequest) -> SlotList:
    """The times of the week at which the team posts."""
    with database.connection_context():
        return SlotList([_slot(row) for row in slots.every()])


@post(
    "/api/v1/slots",
    opt=WRITE,
    tags=["schedule"],
    summary="Add a slot",
    status_code=201,
    sync_to_thread=True,
)
def add_slot(request: AnyRequest, data: JSONBody[NewSlot]) -> SlotShape:
    team = request.app.state.settings.team_time_zone
    with database.connection_context():
        made = slots.add(
            data.weekday, data.time, data.time_zone or team, actor=principal(request).user
        )
        return _slot(made)


@delete(
    "/api/v1/slots/{slot_id:str}",
    opt=WRITE,
    tags=["schedule"],
    summary="Remove a slot",
    sync_to_thread=True,
)
def remove_slot(request: AnyRequest, slot_id: FromPath[str]) -> None:
    """What is planned for it stays planned."""
    with database.connection_context():
        slots.remove(slot_id, actor=principal(request).user)


@get(
    "/api/v1/slots/next",
    opt=READ,
    tags=["schedule"],
    summary="The next free slot",
    sync_to_thread=True,
)
def next_slot(request: AnyRequest, accounts: FromQuery[list[str] | None] = None) -> FreeSlot:
    """``accounts``: ids; free is a slot at which nothing goes to one of them. Without: nothing at
    all."""
    with database.connection_context():
        chosen = account_rows.choose(accounts) if accounts else []
        return FreeSlot(slots.next_free_slot(chosen))


def _slot(row: Slot) -> SlotShape:
    return SlotShape(
        id=row.public_id,
        weekday=row.weekday,
        day=slots.DAYS[row.weekday],
        time=row.time,
        time_zone=row.time_zone,
        next_at=next(upcoming([slots.week_time(row)], now())),
    )
