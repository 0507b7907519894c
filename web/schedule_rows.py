"""The schedule as its page shows it: loaded dataclasses, see web/rows.py for the rules."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from appliance import access, approval, local_time, planned, schedule, slots
from appliance.clock import now
from appliance.models import Account, Post, PostTarget, Role, User
from appliance.schedule import Planned
from appliance.states import ApprovalState, PostState, TargetState
from tasks.publish import clashes
from web import words
from web.calendar_days import Span, bounds, day_of, day_title
from web.post_badge import badge_of
from web.words import Badge, _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.schedule import Clash

# Rows of one view; a box that plans more than this in a month is shown the first.
MOST = 2000
# Of one day in the month: what is more is behind a link to its week.
MONTH_CELL = 5
MOVABLE = frozenset({PostState.DRAFT, PostState.SCHEDULED, PostState.PENDING})
_UNSEEN = (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED)


@dataclass(frozen=True)
class Mark:
    """One account that a post goes to."""

    account: str
    platform: str


@dataclass(frozen=True)
class PlanRow:
    """A post at its time. ``at`` None: a draft that has none yet."""

    id: str
    title: str
    video_title: str
    at: datetime | None
    clock: str
    """"18:00", by the clocks that the page is in."""
    elsewhere: str
    """The same by the other clocks (the team's, or the person's); "" when they agree."""
    city: str
    """Where those are."""
    spoken: str
    """For screen readers and the menu: the whole time."""
    badge: Badge
    state: PostState
    approval: ApprovalState
    late_since: datetime | None
    note: str
    author: str
    marks: list[Mark] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    may_move: bool = False
    may_decide: bool = False
    has_passed: bool = False


@dataclass(frozen=True)
class Spot:
    """A free slot. ``at``: by the clocks of the page; ``mine``: by those of the person, whose
    zone forms begin with."""

    clock: str
    at: str
    mine: str


class Entry(NamedTuple):
    """One line of a day: a post, or else a free slot."""

    plan: PlanRow | None
    spot: Spot | None


@dataclass(frozen=True)
class DayCell:
    """``offer``: the free full hour that a new post of that day begins with, by the person's
    clocks; "" in the past."""

    date: date
    title: str
    weekday: str
    is_today: bool
    is_past: bool
    is_outside: bool
    entries: list[Entry]
    more: int
    offer: str


@dataclass(frozen=True)
class Clocks:
    """In whose zone the page is, and the other one."""

    zone: str
    other: str


def load_span(user: User, span: Span, clocks: Clocks) -> list[DayCell]:
    """The days of a view with what is planned. A connection must be open."""
    start, end = bounds(span, clocks.zone)
    rows = load_between(user, start, end, clocks)
    by_day: defaultdict[date, list[PlanRow]] = defaultdict(list)
    for row in rows:
        by_day[day_of(row.at or start, clocks.zone)].append(row)
    at, today = now(), day_of(now(), clocks.zone)
    spots = _free_spots(rows, start, end, clocks.zone, user.time_zone)
    most = MONTH_CELL if span.view == "month" else MOST
    return [
        DayCell(
            date=day,
            title=day_title(day, today),
            weekday=_(f"{day:%a}"),
            is_today=day == today,
            is_past=day < today,
            is_outside=span.month is not None and day.month != span.month.month,
            entries=_entries(by_day[day][:most], spots[day]),
            more=max(0, len(by_day[day]) - most),
            offer=_offer(day, by_day[day], clocks.zone, user.time_zone, at),
        )
        for day in span.days
    ]


def _posts_between(user: User, start: datetime, end: datetime) -> list[Post]:
    planned_then = (Post.publish_at >= start) & (Post.publish_at < end)
    at_once = (
        Post.publish_at.is_null()
        & (Post.state != PostState.DRAFT)
        & (Post.created_at >= start)
        & (Post.created_at < end)
    )
    query = access.visible_posts(user).where(
        planned_then | at_once, Post.state != PostState.CANCELLED
    )
    return list(query.order_by(Post.publish_at, Post.id).limit(MOST))


def _entries(plans: Sequence[PlanRow], spots: Sequence[Spot]) -> list[Entry]:
    """Both in the order of the day."""
    lines = [(plan.clock, 0, Entry(plan, None)) for plan in plans]
    lines += [(spot.clock, 1, Entry(None, spot)) for spot in spots]
    return [entry for _clock, _kind, entry in sorted(lines, key=lambda line: line[:2])]


def load_between(user: User, start: datetime, end: datetime, clocks: Clocks) -> list[PlanRow]:
    """What is planned from ``start`` to ``end``, or went out then, in that order."""
    rows = load_rows(user, _posts_between(user, start, end), clocks)
    return sorted(rows, key=lambda row: (row.at or start, row.id))


def load_late(user: User, clocks: Clocks) -> list[PlanRow]:
    """What missed its time and waits for somebody to say what becomes of it."""
    query = access.visible_posts(user).where(Post.late_since.is_null(False))
    return load_rows(user, list(query.order_by(Post.publish_at, Post.id).limit(MOST)), clocks)


def load_waiting(user: User, clocks: Clocks) -> list[PlanRow]:
    """What waits for approval."""
    return load_rows(user, list(approval.waiting(user).limit(MOST)), clocks)


def load_drafts(user: User, clocks: Clocks) -> list[PlanRow]:
    """Drafts without a time, the newest first."""
    query = access.visible_posts(user).where(
        Post.state == PostState.DRAFT,
        Post.approval != ApprovalState.REQUESTED,
        Post.publish_at.is_null(),
    )
    return load_rows(user, list(query.order_by(Post.id.desc()).limit(MOST)), clocks)


def load_rows(user: User, posts: Sequence[Post], clocks: Clocks) -> list[PlanRow]:
    """Rows for posts in hand (with their videos joined), in their order. A fixed number of
    queries."""
    targets: defaultdict[int, dict[int, PostTarget]] = defaultdict(dict)
    query = (
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(PostTarget.post.in_([post.id for post in posts]))
        .order_by(PostTarget.generation, PostTarget.id)
    )
    for target in query:
        targets[target.post_id][target.account_id] = target
    ours = {post.id: list(targets[post.id].values()) for post in posts}
    against = clashes.of_plans(
        [plan for post in posts for plan in _plans(post, ours[post.id])], viewer=user
    )
    authors = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({p.author_id for p in posts if p.author_id}))
    }
    return [
        _row(
            user,
            post,
            ours[post.id],
            clocks,
            against.get(post.public_id, []),
            authors.get(post.author_id or 0, ""),
        )
        for post in posts
    ]


def _plans(post: Post, targets: Sequence[PostTarget]) -> list[Planned]:
    """What can still clash: of what is out, or called back, nothing."""
    if post.publish_at is None or post.state not in MOVABLE:
        return []
    return [
        Planned(
            post.public_id,
            post.title,
            target.account_id,
            target.account.name,
            target.account.platform,
            post.publish_at,
            planned.pool_of(target.account),
        )
        for target in targets
        if target.state in _UNSEEN
    ]


def _row(
    user: User,
    post: Post,
    targets: Sequence[PostTarget],
    clocks: Clocks,
    against: Sequence[Clash],
    author: str,
) -> PlanRow:
    at = post.publish_at or (None if post.state is PostState.DRAFT else post.created_at)
    unseen = any(target.state in _UNSEEN for target in targets)
    return PlanRow(
        id=post.public_id,
        title=post.title or post.video.title,
        video_title=post.video.title,
        at=at,
        clock=clock_of(at, clocks.zone) if at else "",
        elsewhere=_elsewhere(at, clocks) if at else "",
        city=clocks.other.rpartition("/")[2].replace("_", " "),
        spoken=words.full_time(at, clocks.zone) if at else _("No time yet"),
        badge=badge_of(post),
        state=post.state,
        approval=post.approval,
        late_since=post.late_since,
        note=post.approval_note,
        author=author,
        marks=[Mark(target.account.name, target.account.platform) for target in targets],
        against=[clash.sentence for clash in against],
        may_move=access.at_least(user, Role.EDITOR)
        and (post.state is PostState.DRAFT or (unseen and post.publish_at is not None)),
        may_decide=post.approval is ApprovalState.REQUESTED and approval.may_decide(user, post),
        has_passed=post.publish_at is not None and post.publish_at <= now(),
    )


def clock_of(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%H:%M}"


def _elsewhere(at: datetime, clocks: Clocks) -> str:
    here, there = at.astimezone(ZoneInfo(clocks.zone)), at.astimezone(ZoneInfo(clocks.other))
    if here.utcoffset() == there.utcoffset():
        return ""
    days = (there.date() - here.date()).days
    day = {1: " +1 d", -1: " −1 d"}.get(days, "")
    return f"{there:%H:%M}{day}"


def _free_spots(
    rows: Sequence[PlanRow], start: datetime, end: datetime, zone: str, own_zone: str
) -> defaultdict[date, list[Spot]]:
    taken = {row.at.replace(second=0, microsecond=0) for row in rows if row.at is not None}
    found: defaultdict[date, list[Spot]] = defaultdict(list)
    coming = schedule.upcoming(slots.week_times(), max(start, now()))
    for moment in islice(takewhile(lambda moment: moment < end, coming), MOST):
        if moment not in taken:
            local = moment.astimezone(ZoneInfo(zone))
            spot = Spot(f"{local:%H:%M}", form_time(moment, zone), form_time(moment, own_zone))
            found[local.date()].append(spot)
    return found


def form_time(moment: datetime, zone: str) -> str:
    """As datetime-local writes it."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}"


def _offer(day: date, plans: Sequence[PlanRow], zone: str, own_zone: str, at: datetime) -> str:
    """The first full hour from ten o'clock that is still to come and at which nothing is planned.

    Late in the day the last hour is offered, though something is planned then.
    """
    taken = {row.clock for row in plans}
    for hour in range(10, 24):
        local = datetime(day.year, day.month, day.day, hour)
        moment = local_time.first_moment(local, zone)
        if moment > at + timedelta(minutes=1) and (f"{hour:02}:00" not in taken or hour == 23):
            return form_time(moment, own_zone)
    return ""
