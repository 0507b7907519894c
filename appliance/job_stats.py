"""How much work there was, and how it went: from JobDay, which outlives the jobs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance.clock import now
from appliance.models import Job, JobDay
from appliance.states import JobState

if TYPE_CHECKING:
    from peewee import ModelSelect

# The page and the API tell of these: name → days, today (UTC) being the first.
PERIODS = {"today": 1, "last_7_days": 7, "last_30_days": 30}


@dataclass(frozen=True)
class Ended:
    """How many ended how. ``mean_s``: seconds of a completed one; None: there was none."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    mean_s: float | None = None


def ended_since(days: int, *, today: date | None = None) -> dict[str, Ended]:
    """By kind, within so many days, today being the first. Wants a connection."""
    first = (today or now().date()) - timedelta(days=days - 1)
    return _sum(JobDay.day >= first.isoformat())


def ended_ever() -> dict[str, Ended]:
    """By kind, since the box was set up. Wants a connection."""
    return _sum(JobDay.id.is_null(False))


def _sum(condition: Any) -> dict[str, Ended]:
    columns = (JobDay.completed, JobDay.failed, JobDay.cancelled, JobDay.seconds)
    rows: Any = (
        JobDay.select(JobDay.kind, *map(fn.SUM, columns))
        .where(condition)
        .group_by(JobDay.kind)
        .tuples()
    )
    return {
        kind: Ended(completed, failed, cancelled, seconds / completed if completed else None)
        for kind, completed, failed, cancelled, seconds in rows
    }


def total(ended: dict[str, Ended]) -> Ended:
    """Of all kinds. Without a mean: of a probe and an encode it says nothing."""
    return Ended(
        sum(kind.completed for kind in ended.values()),
        sum(kind.failed for kind in ended.values()),
        sum(kind.cancelled for kind in ended.values()),
    )


def live() -> dict[str, dict[JobState, int]]:
    """Kind → how many are queued, and running. Wants a connection."""
    found: defaultdict[str, dict[JobState, int]] = defaultdict(dict)
    rows: Any = (
        Job.select(Job.kind, Job.state, fn.COUNT(Job.id))
        .where(Job.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .group_by(Job.kind, Job.state)
        .tuples()
    )
    for kind, state, number in rows:
        found[kind][state] = number
    return found


def reasons(visible: ModelSelect[Job]) -> list[tuple[str, str, int]]:
    """(code, the newest sentence, how many) of the failed jobs of ``visible``, the most first."""
    rows: Any = (
        visible.where(Job.state == JobState.FAILED)
        .select(Job.error_code, Job.error, fn.COUNT(Job.id), fn.MAX(Job.id))
        .group_by(Job.error_code)
        .order_by(fn.COUNT(Job.id).desc(), fn.MAX(Job.id).desc())
        .tuples()
    )
    # SQLite takes the bare column from the row that has the maximum.
    return [(code or "", error or "", number) for code, error, number, _ in rows]
