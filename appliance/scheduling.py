"""The scheduler's view of the ledger: what is due, what runs here, and what the deciders say of it.

The deciders are in appliance/capacity.py. All functions want a connection; ``pick`` is called
inside the transaction of a claim, so that two workers never both take the last free core.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance.capacity import Due, Machine, Running, choose, fits, who_makes_way
from appliance.clock import boot_id, now
from appliance.db import database
from appliance.job_log import Ending
from appliance.models import QUEUED, Heartbeat, Job, JobRun, PostTarget, Priority
from appliance.states import JobState, TargetState

if TYPE_CHECKING:
    from datetime import datetime

# Hours of reading files that nobody waits for: one at a time, so that posts never wait for it.
HOUSEKEEPING = ("empty_bin", "retain", "tidy", "verify", "backup")
# Hours of sending, too: so many at a time, so that what is staged goes live while they last.
HANDED_OVER_AT_A_TIME = 4
# Files that wait to be checked, shown and repacked come before what is made in the background: all
# are over in a second or two, and people wait for them.
GOES_BEFORE_BACKGROUND = {"quick": "media"}
# Behind so many that don't fit nobody looks for one that does.
_LOOKED_AT = 100
# Stands for the moment in SQL that is kept.
_NOW = "(now)"


@dataclass(frozen=True)
class Load:
    """What the media worker of this machine has for encodes, and what they take of it now.

    ``waiting``: jobs in line for it; ``for_night``: those of them that wait for the night.
    """

    machine: Machine
    running: int
    cores: float
    memory_mib: int
    waiting: int
    for_night: int


def load() -> Load | None:
    """None: no media worker of this machine has said what it has."""
    machine = machine_here()
    if machine is None:
        return None
    running = running_here()
    line = Job.queue == "media", QUEUED
    return Load(
        machine=machine,
        running=len(running),
        cores=min(machine.cores, sum(job.cores for job in running)),
        memory_mib=min(machine.memory_mib, sum(job.memory_mib for job in running)),
        waiting=Job.select().where(*line).count(),
        for_night=Job.select().where(*line, Job.only_at_night).count(),
    )


def machine_here() -> Machine | None:
    """What the media worker of this machine has for encodes; None: it hasn't said."""
    beat = _beat()
    if beat is None or "cores" not in beat.info:
        return None
    return Machine(float(beat.info["cores"]), int(beat.info["memory_mib"]))


def is_night() -> bool:
    """Whether what waits for the night may begin, by the media worker's clock and settings."""
    beat = _beat()
    return beat is not None and bool(beat.info.get("night"))


def _beat() -> Heartbeat | None:
    found: Heartbeat | None = Heartbeat.get_or_none(
        Heartbeat.process == "worker-media", Heartbeat.boot_id == boot_id()
    )
    return found


def due_jobs(queue: str, *, night: bool, at: datetime | str | None = None) -> Any:
    """Query: queued jobs that may begin by the clock (now, or ``at``), the best first.

    ``night``: it is night.
    """
    at = at or now()
    conditions = [
        Job.queue == queue,
        QUEUED,
        Job.run_after.is_null() | (Job.run_after <= at),
    ]
    if not night:
        conditions.append(~Job.only_at_night)
    if queue == "delivery":
        other = Job.alias()
        under_way = other.select().where(
            other.state == JobState.RUNNING, other.kind.in_(HOUSEKEEPING)
        )
        conditions.append(Job.kind.not_in(HOUSEKEEPING) | ~fn.EXISTS(under_way))
        conditions.append(Job.target.is_null() | _goes_before_uploads())
    before = [name for name, behind in GOES_BEFORE_BACKGROUND.items() if behind == queue]
    if before:
        other = Job.alias()
        waiting = other.select().where(
            other.queue.in_(before),
            other.state == JobState.QUEUED,
            other.run_after.is_null() | (other.run_after <= at),
        )
        conditions.append((Job.priority > int(Priority.LOW)) | ~fn.EXISTS(waiting))
    return Job.select().where(*conditions).order_by(Job.priority.desc(), Job.id)


def best_priority(queue: str, *, night: bool) -> int | None:
    """Of what is due in ``queue``; None: nothing is. The ticker asks this each second, for ever."""
    sql, values = _sql_of_best(queue, night)
    moment = Job._meta.fields["run_after"].db_value(now())
    found = database.execute_sql(sql, [moment if v == _NOW else v for v in values]).fetchone()
    return int(found[0]) if found else None


@cache
def _sql_of_best(queue: str, night: bool) -> tuple[str, list[Any]]:
    """Made once: to put these words together takes peewee ten times what SQLite needs for them."""
    query = due_jobs(queue, night=night, at=_NOW).select(Job.priority).limit(1)
    sql, values = query.sql()
    return sql, list(values)


def _goes_before_uploads() -> Any:
    """It has nothing to hand over any more, or there is room for one more that has."""
    other = Job.alias()
    handed_over = (
        other.select(fn.COUNT(other.id))
        .join(PostTarget, on=(other.target == PostTarget.id))
        .where(other.state == JobState.RUNNING, PostTarget.state == TargetState.STAGING)
    )
    begins = PostTarget.select(PostTarget.id).where(PostTarget.state == TargetState.WAITING)
    return Job.target.not_in(begins) | (handed_over < HANDED_OVER_AT_A_TIME)


def pick(queue: str, *, machine: Machine | None, night: bool) -> tuple[Job | None, bool]:
    """The job of ``queue`` that should begin now, and whether more are due.

    ``machine`` None: as if there were room for everything.
    """
    if machine is None:
        rows = list(due_jobs(queue, night=night).limit(2))
        return (rows[0] if rows else None), len(rows) > 1
    rows = list(due_jobs(queue, night=night).limit(_LOOKED_AT))
    running = running_here()
    due, counted = [], False
    for row in rows:
        overtaken = 0
        # Of those that don't fit the first will come first, so its turn is the one to watch.
        if not counted and not fits(_as_due(row), running, machine):
            counted, overtaken = True, count_overtaking(row)
        due.append(_as_due(row, overtaken))
    chosen = choose(due, running, machine)
    return next((row for row in rows if chosen and row.id == chosen.id), None), len(rows) > 1


def running_here() -> list[Running]:
    """What runs on this machine and takes room there, of all queues."""
    rows = Job.select().where(
        Job.state == JobState.RUNNING, Job.lease_boot == boot_id(), Job.cores > 0
    )
    return [
        Running(
            *(row.id, row.cores, row.memory_mib, row.priority),
            background=is_background(row),
            progress=row.progress,
        )
        for row in rows
    ]


def count_overtaking(job: Job) -> int:
    """Costly jobs that come later in the order, and have begun since ``job`` may begin."""
    since = max(job.created_at, job.run_after) if job.run_after is not None else job.created_at
    later = (Job.priority < job.priority) | ((Job.priority == job.priority) & (Job.id > job.id))
    return int(
        Job.select(fn.COUNT(Job.id))
        .where(Job.queue == job.queue, Job.cores > 0, Job.started_at > since, later)
        .scalar()
    )


def is_background(job: Job) -> bool:
    """Nobody waits for it in person: made for all videos, at night, or anew."""
    if job.priority >= Priority.HIGH:
        return False
    return bool(
        job.priority <= Priority.LOW or job.only_at_night or (job.payload or {}).get("remake")
    )


def should_make_way(job: Job, machine: Machine, *, night: bool) -> bool:
    """Whether ``job``, which runs here, should end now for something that people wait for."""
    fresh = Job.get_or_none(Job.id == job.id)  # it may have been lifted since it was claimed
    # Gone with its video: an upload that was cancelled while it was encoded.
    if fresh is None or not is_background(fresh) or fresh.cores <= 0:
        return False
    waiting = list(due_jobs(job.queue, night=night).where(Job.cores > 0).limit(1))
    if not waiting:
        return False
    running = _with_history(running_here())
    return job.id in who_makes_way(_as_due(waiting[0]), running, machine)


def _with_history(running: list[Running]) -> list[Running]:
    """With how often each has made way already."""
    ended: Any = (
        JobRun.select(JobRun.job, fn.COUNT(JobRun.id))
        .where(
            JobRun.job.in_([job.id for job in running]),
            JobRun.outcome == Ending.MADE_WAY.value,
        )
        .group_by(JobRun.job)
        .tuples()
    )
    times = dict(ended)
    return [replace(job, made_way=times.get(job.id, 0)) for job in running]


def _as_due(row: Job, overtaken: int = 0) -> Due:
    return Due(row.id, row.cores, row.memory_mib, row.priority, overtaken)
