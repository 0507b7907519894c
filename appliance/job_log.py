"""What became of each try of a job, and of all jobs of a day. Written with the job's own moves.

A ``JobRun`` is one claim: it is opened by the claim and closed by whatever ends it, in the same
transactions. ``JobDay`` counts how jobs ended, and outlives them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.models import JobDay, JobRun
from appliance.states import JobState

if TYPE_CHECKING:
    from appliance.models import Job

# A post may look at its platform hundreds of times, a job wait for space all night: of such tries
# the last ones tell enough.
KEPT_PUT_BACK = 20
MAX_DETAIL = 8000


class Ending(StrEnum):
    """How one try of a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"  # and with it the job
    RETRIED = "retried"  # failed, and the job is tried again
    STALLED = "stalled"  # nothing moved any more, so it was ended
    CANCELLED = "cancelled"
    PUT_BACK = "put_back"  # too early: it waits for a time, a platform, or for space
    STOPPED = "stopped"  # the worker was told to stop
    MADE_WAY = "made_way"  # stopped for work that people wait for
    LOST = "lost"  # the worker died, or was frozen for longer than its lease


def begin(job: Job) -> None:
    """``job`` was claimed."""
    JobRun.create(job=job.id, fence=job.fence, worker=job.lease_owner or "")


def end(
    job: Job,
    ending: Ending,
    *,
    error: str | None = None,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    """The claim that ``job`` came from is over."""
    JobRun.update(
        ended_at=now(),
        outcome=ending.value,
        stage=job.stage,
        progress=job.progress,
        error=error,
        error_code=code,
        detail=detail[-MAX_DETAIL:] if detail else None,
    ).where(JobRun.job == job.id, JobRun.fence == job.fence).execute()
    if ending is Ending.PUT_BACK:
        of_it = JobRun.job == job.id, JobRun.outcome == ending.value
        newest = JobRun.select(JobRun.id).where(*of_it).order_by(JobRun.id.desc())
        JobRun.delete().where(*of_it, JobRun.id.not_in(newest.limit(KEPT_PUT_BACK))).execute()


def codes_of_errors(job: Job) -> list[str | None]:
    """Why the tries of ``job`` failed that are counted in ``attempts``, the newest first."""
    failed = [Ending.RETRIED.value, Ending.STALLED.value]
    rows = (
        JobRun.select(JobRun.error_code)
        .where(JobRun.job == job.id, JobRun.outcome.in_(failed))
        .order_by(JobRun.id.desc())
        .limit(job.attempts)
    )
    return [row.error_code for row in rows]


def count(job: Job) -> None:
    """``job`` has ended, for good."""
    took_s = 0.0
    if job.state is JobState.COMPLETED and job.started_at and job.finished_at:
        # A clock that was set back in between gives less than nothing.
        took_s = max(0.0, (job.finished_at - job.started_at).total_seconds())
    column = {
        JobState.COMPLETED: JobDay.completed,
        JobState.FAILED: JobDay.failed,
        JobState.CANCELLED: JobDay.cancelled,
    }[job.state]
    day = {JobDay.day: now().date().isoformat(), JobDay.kind: job.kind}
    JobDay.insert({**day, column: 1, JobDay.seconds: took_s}).on_conflict(
        conflict_target=[JobDay.day, JobDay.kind],
        update={column: column + 1, JobDay.seconds: JobDay.seconds + took_s},
    ).execute()
