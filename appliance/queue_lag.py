"""How far each queue is behind: what is due, and how long the oldest of it has waited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from peewee import fn

from appliance import scheduling
from appliance.clock import boot_id, now
from appliance.job_kinds import QUEUES
from appliance.models import QUEUED, Heartbeat, Job
from appliance.states import JobState

# Nothing of a queue runs, though something has been due for so long: it stands still.
STUCK_AFTER_S = 600.0


@dataclass(frozen=True)
class Lag:
    """``waiting``: all that are queued, for their time, too; ``due``: that could begin now.
    ``lag_s``: how long the oldest of those has been due, since its worker started."""

    queue: str
    waiting: int
    due: int
    running: int
    lag_s: float

    @property
    def is_stuck(self) -> bool:
        return self.running == 0 and self.lag_s > STUCK_AFTER_S


def measure() -> list[Lag]:
    """One for each queue. Wants a connection."""
    night = scheduling.is_night()
    return [_measure(queue, night=night) for queue in QUEUES]


def _measure(queue: str, *, night: bool) -> Lag:
    due = scheduling.due_jobs(queue, night=night).order_by()
    # As text: it sorts like the times do, and SQLite has no others.
    since = fn.MIN(fn.COALESCE(Job.run_after, Job.created_at)).coerce(False)
    number, oldest = due.select(fn.COUNT(Job.id), since).tuples().get()
    return Lag(
        queue=queue,
        waiting=Job.select().where(Job.queue == queue, QUEUED).count(),
        due=number,
        running=Job.select().where(Job.queue == queue, Job.state == JobState.RUNNING).count(),
        lag_s=_age_s(queue, oldest) if number else 0.0,
    )


def _age_s(queue: str, oldest: str) -> float:
    """A night with the machine off is nobody's standstill: counted from the worker's start."""
    at = now()
    began = datetime.fromisoformat(oldest)
    started = (
        Heartbeat.select(Heartbeat.started_at)
        .where(Heartbeat.process == f"worker-{queue}", Heartbeat.boot_id == boot_id())
        .scalar()
    )
    if started is not None:
        began = max(began, started)
    return max(0.0, (at - began) / timedelta(seconds=1))
