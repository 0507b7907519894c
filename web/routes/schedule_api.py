"""The schedule over the API: what is planned, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, get, patch
from litestar.datastructures import State
from litestar.params import FromQuery, JSONBody

from appliance import late_posts, local_time, schedule_rules, slots
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import InvalidInput
from appliance.models import Role
from appliance.schedule import upcoming
from appliance.users import check_time_zone
from web import schedule_rows
from web.auth import needs, principal
from web.schedule_rows import Clocks

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.POST)
DECIDE = needs(Role.ADMIN, Scope.POST)
ADMIN = needs(Role.ADMIN, Scope.ADMIN)

AnyRequest = Request[Any, Any, State]
LONGEST = timedelta(days=366)
FREE_SLOTS = 100


@dataclass(frozen=True)
class PlannedAccount:
    name: str
    platform: str


@dataclass(frozen=True)
class PlannedShape:
    """``local_time``: by the clocks of the zone that was asked for; ``team_time``: by the team's.
    ``conflicts``: what stands against this time, in sentences."""

    post_id: str
    title: str
    status: str
    approval: str
    late_since: datetime | None
    publish_at: datetime | None
    local_time: str | None
    team_time: str | None
    accounts: list[PlannedAccount]
    conflicts: list[str]


@dataclass(frozen=True)
class ScheduleShape:
    """``free_slots``: the first hundred of that time. ``late`` and ``needs_approval`` are those of
    any time: they wait for somebody."""

    time_zone: str
    team_time_zone: str
    items: list[PlannedShape]
    free_slots: list[datetime]
    late: list[PlannedShape]
    needs_approval: list[PlannedShape]


@dataclass(frozen=True)
class RulesShape:
    """``approval``: whose posts need it: nobody, editors, everybody. ``apart_minutes``: closer
    posts to one account are a conflict. ``when_late``: ask or post; ``late_after_s``: what is later
    than that is late."""

    approval: str
    apart_minutes: int
    when_late: str
    late_after_s: float


class RulesChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    approval: str | None = None
    apart_minutes: int | None = None
    when_late: str | None = None
    late_after_s: float | None = None


@get(
    "/api/v1/schedule", opt=READ, tags=["schedule"], summary="What is planned", sync_to_thread=True
)
def show_schedule(
    request: AnyRequest,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    time_zone: FromQuery[str | None] = None,
) -> ScheduleShape:
    """Posts with a time from ``since`` (now) to ``until`` (four weeks later), in that order.
    ``time_zone``: yours by default."""
    user = principal(request).user
    team = request.app.state.settings.team_time_zone
    zone = check_time_zone(time_zone) if time_zone else user.time_zone
    start = local_time.in_utc(since, field="since") or now()
    try:
        end = local_time.in_utc(until, field="until") or start + timedelta(days=28)
    except OverflowError as exc:
        raise InvalidInput(local_time.TOO_FAR, field="since") from exc
    if not timedelta() < end - start <= LONGEST:
        raise InvalidInput("Ask for at least a moment, and at most a year.", field="until")
    clocks = Clocks(zone, team)
    with database.connection_context():
        rows = schedule_rows.load_between(user, start, end, clocks)
        taken = {row.at for row in rows}
        free: list[datetime] = []
        for moment in upcoming(slots.week_times(), max(start, now())):
            if moment >= end or len(free) >= FREE_SLOTS:
                break
            if moment not in taken:
                free.append(moment)
        return ScheduleShape(
            time_zone=zone,
            team_time_zone=team,
            items=[_planned(row, clocks) for row in rows],
            free_slots=free,
            late=[_planned(row, clocks) for row in schedule_rows.load_late(user, clocks)],
            needs_approval=[
                _planned(row, clocks) for row in schedule_rows.load_waiting(user, clocks)
            ],
        )


def _planned(row: schedule_rows.PlanRow, clocks: Clocks) -> PlannedShape:
    return PlannedShape(
        post_id=row.id,
        title=row.title,
        status=row.state,
        approval=row.approval,
        late_since=row.late_since,
        publish_at=row.at,
        local_time=schedule_rows.form_time(row.at, clocks.zone) if row.at else None,
        team_time=schedule_rows.form_time(row.at, clocks.other) if row.at else None,
        accounts=[PlannedAccount(mark.account, mark.platform) for mark in row.marks],
        conflicts=row.against,
    )


@get(
    "/api/v1/schedule/rules",
    opt=READ,
    tags=["schedule"],
    summary="The rules of the schedule",
    sync_to_thread=True,
)
def show_rules(request: AnyRequest) -> RulesShape:
    with database.connection_context():
        return _rules()


@patch(
    "/api/v1/schedule/rules",
    opt=ADMIN,
    tags=["schedule"],
    summary="Change the rules of the schedule",
    sync_to_thread=True,
)
def change_rules(request: AnyRequest, data: JSONBody[RulesChange]) -> RulesShape:
    user = principal(request).user
    with database.connection_context(), transaction():
        schedule_rules.keep(apart_minutes=data.apart_minutes, approval=data.approval, actor=user)
        if data.when_late is not None or data.late_after_s is not None:
            late_posts.keep(when_late=data.when_late, after_s=data.late_after_s, actor=user)
        return _rules()


def _rules() -> RulesShape:
    rules, late = schedule_rules.current(), late_posts.policy()
    return RulesShape(rules.approval.value, rules.apart_minutes, late.when_late.value, late.after_s)
