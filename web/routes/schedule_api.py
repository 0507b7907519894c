"""The schedule over the API: what is planned, slots, another time, approval, late posts, rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from appliance import access, approval, drafts, late_posts, local_time, posts, schedule_rules, slots
from appliance import accounts as account_rows
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import InvalidInput
from appliance.models import Post, Role, Slot
from appliance.schedule import upcoming
from appliance.users import check_time_zone
from tasks.publish import approvals, composing, wishes
from web import schedule_rows
from web.auth import needs, principal
from web.post_shapes import PostShape, load_posts
from web.routes.schedule_settings import keep_late
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


@dataclass(frozen=True)
class RulesShape:
    """``approval``: whose posts need it: nobody, editors, everybody. ``apart_minutes``: closer
    posts to one account are a conflict. ``when_late``: ask or post; ``late_after_s``: what is later
    than that is late."""

    approval: str
    apart_minutes: int
    when_late: str
    late_after_s: float


class NewSlot(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    weekday: int
    time: str
    time_zone: str | None = None
    """Default: the team's."""


class RulesChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    approval: str | None = None
    apart_minutes: int | None = None
    when_late: str | None = None
    late_after_s: float | None = None


class NewTime(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of: ``publish_at`` with its zone; ``local_time`` without one, by the clocks of
    ``time_zone`` (``second``: of a time that comes twice the later one); ``slot`` true: the next
    free slot; ``now`` true: as soon as it can."""

    publish_at: datetime | None = None
    local_time: str | None = None
    time_zone: str | None = None
    second: bool = False
    slot: bool = False
    now: bool = False
    hold_there: bool | None = None


class Yes(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    note: str = ""
    now: bool = False
    """At once, whatever its time is: for one whose time has passed."""
    as_of: datetime | None = None
    """``updated_at`` of the post that was read: 409 ``changed_meanwhile`` when it was changed since
    then. Without: not checked."""
    again: bool = False
    """As for a new post: also when the same is on its way already."""


class No(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    note: str
    """What should be changed."""
    as_of: datetime | None = None
    """As for a yes."""


class DraftChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is given is written, the rest stays. ``publish_at`` null: when it is sent."""

    title: str | None = None
    description: str | None = None
    accounts: list[str] | None = None
    platforms: list[str] | None = None
    publish_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    time_zone: str | None = None
    hold_there: bool | None = None
    options: dict[str, Any] | None = None
    overrides: dict[str, dict[str, Any]] | None = None


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
            before = late_posts.policy()
            after_s = before.after_s if data.late_after_s is None else data.late_after_s
            keep_late(data.when_late or before.when_late, after_s, actor=user, field="late_after_s")
        return _rules()


def _rules() -> RulesShape:
    rules, late = schedule_rules.current(), late_posts.policy()
    return RulesShape(rules.approval.value, rules.apart_minutes, late.when_late.value, late.after_s)


@post(
    "/api/v1/posts/{post_id:str}/reschedule",
    opt=WRITE,
    tags=["posts"],
    summary="Choose another time",
    status_code=200,
    sync_to_thread=True,
)
def reschedule(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[NewTime]
) -> Response[PostShape]:
    """For drafts and for what is still to come, also for a late post. A time that has passed, or
    that the clocks of its zone skip, is refused with the reason."""
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        when = _time_of(data, found)
        wishes.reschedule(found, when, data.time_zone, hold_there=data.hold_there, actor=user)
        return _answer(request, post_id)


def _time_of(data: NewTime, found: Post) -> datetime | None:
    ways = [data.publish_at is not None, data.local_time is not None, data.slot, data.now]
    if sum(ways) != 1:
        raise InvalidInput("Give one of publish_at, local_time, slot and now.", field="publish_at")
    if data.local_time is not None:
        local = local_time.parse(data.local_time, field="local_time")
        if local.tzinfo is not None:
            raise InvalidInput(
                "local_time is what clocks show, without a zone; or give publish_at.",
                field="local_time",
            )
        zone = data.time_zone or found.time_zone
        return local_time.moment_of(local, zone, second=data.second, field="local_time")
    if data.slot:
        chosen = [target.account for target in posts.latest_targets(found)]
        return slots.next_free_slot(chosen, but=found.public_id)
    return data.publish_at


@post(
    "/api/v1/posts/{post_id:str}/approve",
    opt=DECIDE,
    tags=["posts"],
    summary="Approve a post",
    status_code=202,
    sync_to_thread=True,
)
def approve(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[Yes]
) -> Response[PostShape]:
    """It goes out at its time. One whose time has passed is refused, unless ``now``."""
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        settings = request.app.state.settings
        as_of = local_time.in_utc(data.as_of, field="as_of")
        approvals.approve(
            settings,
            found,
            actor=user,
            note=data.note,
            now=data.now,
            as_of=as_of,
            again=data.again,
        )
        return _answer(request, post_id, status_code=202)


@post(
    "/api/v1/posts/{post_id:str}/refuse",
    opt=DECIDE,
    tags=["posts"],
    summary="Send a post back to its author",
    status_code=200,
    sync_to_thread=True,
)
def refuse(request: AnyRequest, post_id: FromPath[str], data: JSONBody[No]) -> Response[PostShape]:
    """It stays a draft, with the note."""
    user = principal(request).user
    with database.connection_context():
        found, as_of = access.get_post(user, post_id), local_time.in_utc(data.as_of, field="as_of")
        approval.refuse(found, actor=user, note=data.note, as_of=as_of)
        return _answer(request, post_id)


@post(
    "/api/v1/posts/{post_id:str}/withdraw",
    opt=WRITE,
    tags=["posts"],
    summary="Take back the question for approval",
    status_code=200,
    sync_to_thread=True,
)
def withdraw(request: AnyRequest, post_id: FromPath[str]) -> Response[PostShape]:
    user = principal(request).user
    with database.connection_context():
        approval.withdraw(access.get_post(user, post_id), actor=user)
        return _answer(request, post_id)


@patch(
    "/api/v1/posts/{post_id:str}",
    opt=WRITE,
    tags=["posts"],
    summary="Write on a draft",
    sync_to_thread=True,
)
def change_draft(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[DraftChange]
) -> Response[PostShape]:
    """Only drafts; 409 for a post that was sent."""
    user = principal(request).user
    with database.connection_context(), transaction():
        found = access.get_post(user, post_id)
        chosen = None
        if data.accounts is not None or data.platforms is not None:
            chosen = account_rows.choose(data.accounts or [], data.platforms or [])
        overrides = None
        if data.options is not None or data.overrides is not None:
            to = chosen
            if to is None:
                to = [target.account for target in posts.latest_targets(found)]
            overrides = composing.compose(to, options=data.options or {}, overrides=data.overrides)
        drafts.change(
            found,
            actor=user,
            accounts=chosen,
            title=data.title,
            description=data.description,
            publish_at=... if data.publish_at is msgspec.UNSET else data.publish_at,
            time_zone=data.time_zone,
            hold_there=data.hold_there,
            overrides=overrides,
        )
        return _answer(request, post_id)


def _answer(request: AnyRequest, post_id: str, *, status_code: int = 200) -> Response[PostShape]:
    found = access.get_post(principal(request).user, post_id)
    base_url: str = request.app.state.settings.base_url
    return Response(load_posts([found], base_url=base_url)[0], status_code=status_code)
