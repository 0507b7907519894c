"""Make many renditions anew, take that back, and say what waits for the night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from litestar import Request, delete, get, post, put
from litestar.datastructures import State
from litestar.params import JSONBody

from appliance import night
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.models import Role
from appliance.settings import Settings
from tasks import night_work, remaking
from web.auth import needs, principal
from web.routes.renditions_api import When

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.WRITE)
ADMIN = needs(Role.ADMIN, Scope.ADMIN)


class Remake(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Either ``video_ids`` or ``stale``: true, for all that are yours to change (an admin: all).

    Only renditions that were made by older settings are made anew; ``profile``: only that one.
    """

    video_ids: list[str] | None = None
    stale: bool = False
    profile: str | None = None
    when: When = When.NOW


@dataclass(frozen=True)
class Remade:
    """``count``: how many renditions are put in line (or taken out of it)."""

    count: int


@post(
    "/api/v1/renditions/remake",
    opt=WRITE,
    tags=["jobs"],
    summary="Make anew what was made by older settings",
    status_code=202,
    sync_to_thread=True,
)
def remake(request: Request[None, None, State], data: JSONBody[Remake]) -> Remade:
    if data.stale == (data.video_ids is not None):
        raise InvalidInput("Name video_ids, or say stale: true for all.", field="video_ids")
    with database.connection_context():
        count = remaking.remake_many(
            principal(request).user,
            profile=data.profile,
            videos=data.video_ids,
            only_at_night=data.when is When.NIGHT,
        )
    return Remade(count)


@delete(
    "/api/v1/renditions/remake",
    opt=WRITE,
    tags=["jobs"],
    summary="Take out of the line what would be made anew",
    status_code=200,
    sync_to_thread=True,
)
def cancel_remakes(request: Request[None, None, State]) -> Remade:
    """What is being made is finished. Of an editor what they asked for, and what is made of their
    videos; of an admin all."""
    with database.connection_context():
        return Remade(remaking.cancel_remakes(principal(request).user))


# The night


class NightWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    only: bool


@dataclass(frozen=True)
class NightShape:
    """``only``: encodes that nobody waits for are made at night. ``hours``: in ``time_zone``; ""
    for none, then it is always ``open``. ``start`` and ``end``: of this night, or the next."""

    only: bool
    hours: str
    time_zone: str
    open: bool
    start: datetime | None
    end: datetime | None


def load_night(settings: Settings) -> NightShape:
    """Wants a connection."""
    at = now()
    window = night.next_window(settings, at)
    return NightShape(
        only=night.is_only(),
        hours=settings.night_hours,
        time_zone=settings.team_time_zone,
        open=night.is_open(settings, at),
        start=window.start if window else None,
        end=window.end if window else None,
    )


@get(
    "/api/v1/night",
    opt=READ,
    tags=["jobs"],
    summary="When work that can wait is done",
    sync_to_thread=True,
)
def show_night(request: Request[None, None, State]) -> NightShape:
    with database.connection_context():
        return load_night(request.app.state.settings)


@put(
    "/api/v1/night",
    opt=ADMIN,
    tags=["jobs"],
    summary="Encode what nobody waits for at night only, or at any time",
    sync_to_thread=True,
)
def set_night(request: Request[None, None, State], data: JSONBody[NightWish]) -> NightShape:
    with database.connection_context():
        night_work.save(data.only, principal(request).user)
        return load_night(request.app.state.settings)
