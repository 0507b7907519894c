"""When posts go out: the next free slot, and what two plans do to each other.

Pure: rows, clocks and platforms come in as values. A *slot* is a time of the week by the clocks of
a zone; it recurs for ever. Times in here are aware and in UTC unless they say otherwise.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from appliance.local_time import first_moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

# Nobody plans further; a week in which every slot is taken is skipped until then.
LOOK_AHEAD = timedelta(days=366)


@dataclass(frozen=True)
class WeekTime:
    """A slot. ``weekday``: 0 is Monday. ``time`` is what the clocks of ``zone`` show."""

    weekday: int
    time: time
    zone: str


def occurrences(slot: WeekTime, after: datetime) -> Iterator[datetime]:
    """The moments of a slot that come after ``after``, without end.

    Of a time that comes twice the first counts; one that is skipped is taken for the nearest.
    """
    day = after.astimezone(ZoneInfo(slot.zone)).date() - timedelta(days=1)
    day += timedelta(days=(slot.weekday - day.weekday()) % 7)
    while day < date.max - timedelta(days=14):
        moment = first_moment(datetime.combine(day, slot.time), slot.zone)
        if moment > after:
            yield moment
        day += timedelta(days=7)


def upcoming(slots: Sequence[WeekTime], after: datetime) -> Iterator[datetime]:
    """All slots in the order of time, each moment once."""
    latest = None
    for moment in heapq.merge(*(occurrences(slot, after) for slot in slots)):
        if moment != latest:
            yield moment
        latest = moment


def next_free(
    slots: Sequence[WeekTime], taken: Collection[datetime], after: datetime
) -> datetime | None:
    """The first slot after ``after`` at whose minute nothing is planned; None: within a year
    there is none."""
    minutes = {_minute(moment) for moment in taken}
    for moment in upcoming(slots, after):
        if moment > after + LOOK_AHEAD:
            return None
        if _minute(moment) not in minutes:
            return moment
    return None


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


@dataclass(frozen=True)
class Planned:
    """One account of a post that goes out, or went out, at ``at``."""

    post: str
    title: str
    account: int
    account_name: str
    platform: str
    at: datetime
    pool: str = ""
    """Accounts of the same pool share the allowances that are shared."""


@dataclass(frozen=True)
class Allowance:
    """What a platform lets one account do: ``limit`` units within ``window``, of which one post
    takes ``cost``. ``resets``: the zone at whose midnight it is full again; "" when it slides.
    ``shared``: by all accounts of the pool."""

    label: str
    limit: int
    window: timedelta
    cost: int
    resets: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Clash:
    """Why a plan may not work as it stands. ``kind``: "close" or "allowance"."""

    kind: str
    sentence: str


def clashes(
    plan: Planned,
    others: Sequence[Planned],
    *,
    apart: timedelta,
    allowances: Sequence[Allowance] = (),
) -> list[Clash]:
    """What stands against ``plan``; [] when nothing does.

    ``others``: what else is planned, of any account, with ``plan`` itself or without. ``apart``:
    how far two posts to one account should be from each other; zero switches that off.
    """
    same = [p for p in others if p.account == plan.account and p.post != plan.post]
    near = sorted((abs(p.at - plan.at), p.post, p) for p in same if abs(p.at - plan.at) < apart)
    found = [Clash("close", _close_sentence(plan, other)) for _distance, _post, other in near]
    for allowance in allowances:
        moments = sorted([plan.at, *(p.at for p in others if _counts(p, plan, allowance))])
        most = _most_in_a_window(moments, plan.at, allowance)
        if most * allowance.cost > allowance.limit:
            found.append(Clash("allowance", _over_sentence(plan, allowance, most)))
    return found


def _counts(other: Planned, plan: Planned, allowance: Allowance) -> bool:
    """Whether ``other`` takes of the same allowance, and isn't the plan itself."""
    if other.post == plan.post and other.account == plan.account:
        return False
    return other.pool == plan.pool if allowance.shared else other.account == plan.account


def _close_sentence(plan: Planned, other: Planned) -> str:
    minutes = round(abs(other.at - plan.at).total_seconds() / 60)
    if minutes == 0:
        when = "at the same time"
    else:
        when = f"{minutes} min {'earlier' if other.at < plan.at else 'later'}"
    return f"“{other.title}” goes to “{plan.account_name}” {when}."


def _over_sentence(plan: Planned, allowance: Allowance, posts: int) -> str:
    room = allowance.limit // max(1, allowance.cost)
    kind = "1 post" if room == 1 else f"{room} posts"
    span = "a day" if allowance.resets else f"within {_hours(allowance.window)}"
    who = "and the other accounts there take" if allowance.shared else "takes"
    return (
        f"“{plan.account_name}” {who} {kind} {span} ({allowance.label}); with this one {posts} "
        "are planned. What is over waits until there is room."
    )


def _hours(window: timedelta) -> str:
    hours = window.total_seconds() / 3600
    return f"{hours:g} h" if hours >= 1 else f"{window.total_seconds() / 60:g} min"


def _most_in_a_window(moments: Sequence[datetime], at: datetime, allowance: Allowance) -> int:
    """How many of ``moments`` (in order, ``at`` among them) fall into the fullest window with
    ``at`` in it."""
    if allowance.resets:
        zone = ZoneInfo(allowance.resets)
        return sum(m.astimezone(zone).date() == at.astimezone(zone).date() for m in moments)
    starts = [m for m in moments if at - allowance.window < m <= at]
    return max(sum(s <= m < s + allowance.window for m in moments) for s in starts)
