"""The ledger of work: the row is the truth, the queue only rings the bell.

A job is made in the transaction that makes what it serves; the bell is rung after the commit. A
worker that hears it claims the best due job of its queue by one conditional UPDATE, which raises
the fence; every later write names that fence, so a worker that lost its lease (and does not know
it yet) changes nothing. Ringing twice, or never, does no harm: the sweep rings again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import bell, events, job_log, scheduling
from appliance.clock import boot_id, boottime_s, now
from appliance.db import transaction
from appliance.errors import ApplianceError, InvalidTransition
from appliance.job_kinds import KINDS, QUEUES
from appliance.job_log import Ending
from appliance.models import LIVE, Job, Priority
from appliance.states import JOB_ENDED, JobState, move

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.capacity import Machine
    from appliance.models import Post, PostTarget, Rendition, Video

MAX_CRASHES = 5


class LeaseLost(ApplianceError):
    """The job belongs to somebody else by now; what was done for it must not be recorded."""

    code = "lease_lost"


@dataclass(frozen=True)
class Beat:
    """What a heartbeat learns."""

    ours: bool
    cancel_requested: bool


def create(
    kind: str,
    key: str,
    *,
    video: Video | None = None,
    rendition: Rendition | None = None,
    post: Post | None = None,
    target: PostTarget | None = None,
    payload: dict[str, Any] | None = None,
    priority: Priority | None = None,
    run_after: datetime | None = None,
    only_at_night: bool = False,
    cores: float = 0.0,
    memory_mib: int = 0,
    work: float = 0.0,
    room_bytes: int = 0,
) -> Job:
    """A queued job, or the live one that has this ``key`` already (lifted to ``priority``).

    Call it inside the transaction that makes what the job serves. ``run_after``: not before.
    ``cores`` and ``memory_mib``: what it takes while it runs, ``work``: how much there is to do
    (tasks/capacity.py); ``room_bytes``: what it leaves on the disk, about (tasks/room.py).
    """
    spec = KINDS[kind]
    wanted = spec.priority if priority is None else priority
    with transaction():
        live = Job.get_or_none(Job.key == key, LIVE)
        if live is not None:
            lift(live, wanted, only_at_night=only_at_night)
            return live
        job = Job.create(
            kind=kind,
            queue=spec.queue,
            key=key,
            video=video,
            rendition=rendition,
            post=post,
            target=target,
            payload=payload or {},
            priority=int(wanted),
            run_after=run_after,
            only_at_night=only_at_night,
            cores=cores,
            memory_mib=memory_mib,
            work=work,
            room_bytes=room_bytes,
        )
        _tell(job, "job.queued")
        bell.ring_after_commit(job.queue, job.priority)
    return job


def lift(job: Job, priority: Priority, *, only_at_night: bool = False) -> None:
    """Somebody waits for it: raise the priority, and by day, too, unless ``only_at_night``.

    Never lowers anything. One that runs keeps running, and is no longer stopped for others.
    """
    with transaction():
        gains = Job.priority < int(priority)
        columns: dict[str, Any] = {"priority": fn.MAX(Job.priority, int(priority))}
        if not only_at_night:
            gains |= Job.only_at_night
            columns["only_at_night"] = False
        Job.update(**columns).where(Job.id == job.id, LIVE, gains).execute()
        bell.ring_after_commit(job.queue, int(priority))


def claim(
    queue: str,
    owner: str,
    *,
    lease_s: float,
    machine: Machine | None = None,
    night: bool = True,
) -> Job | None:
    """The best due job of ``queue`` that there is room for, now held for ``lease_s`` seconds.

    None: nothing is due, or nothing fits beside what runs on ``machine`` (None: all fits).
    ``night``: whether what waits for the night may begin.
    """
    if not scheduling.due_jobs(queue, night=night).exists():
        return None  # without keeping writers waiting: bells ring often
    with transaction():
        due, more = scheduling.pick(queue, machine=machine, night=night)
        if due is None:
            return None
        moved = move(
            Job,
            due.id,
            JobState.QUEUED,
            JobState.RUNNING,
            fence=Job.fence + 1,
            lease_owner=owner,
            lease_until=boottime_s() + lease_s,
            lease_boot=boot_id(),
            cancel_requested=False,
            run_after=None,
            started_at=now(),
            finished_at=None,
            stage="",
            progress=0.0,
            eta_s=None,
            error=None,
            error_code=None,
            detail=None,
        )
        if not moved:
            return None
        job: Job = Job.get_by_id(due.id)
        job_log.begin(job)
        _tell(job, "job.started")
        if more:
            bell.ring_after_commit(queue, job.priority)  # perhaps there is room for it, too
        elif behind := scheduling.GOES_BEFORE_BACKGROUND.get(queue):
            bell.ring_after_commit(behind, int(Priority.LOW))
    return job


def _held(job: Job) -> tuple[Any, ...]:
    """The condition that the claim ``job`` came from still stands."""
    return (Job.fence == job.fence, Job.lease_owner == job.lease_owner)


def beat(job: Job, *, lease_s: float) -> Beat:
    """Renew the lease. Not ours any more: stop the work and record nothing."""
    renewed = (
        Job.update(lease_until=boottime_s() + lease_s)
        .where(Job.id == job.id, Job.state == JobState.RUNNING, *_held(job))
        .execute()
    )
    if renewed != 1:
        return Beat(ours=False, cancel_requested=False)
    wanted = Job.select(Job.cancel_requested).where(Job.id == job.id).scalar()
    return Beat(ours=True, cancel_requested=bool(wanted))


def look(job: Job) -> Beat:
    """What ``beat`` says, without renewing: a read, cheap enough for twice a second."""
    wanted = (
        Job.select(Job.cancel_requested)
        .where(Job.id == job.id, Job.state == JobState.RUNNING, *_held(job))
        .scalar()
    )
    return Beat(ours=wanted is not None, cancel_requested=bool(wanted))


def require_held(job: Job) -> None:
    """Raises LeaseLost unless the claim ``job`` came from still stands. Inside a transaction."""
    if not look(job).ours:
        raise LeaseLost("Another worker has taken this job over.")


def begin_anew(job: Job) -> None:
    """Another way to the same end begins: how far the first had come says nothing of it."""
    with transaction():
        require_held(job)
        Job.update(progress=0.0, eta_s=None).where(Job.id == job.id).execute()
    job.progress, job.eta_s = 0.0, None


def report(job: Job, *, stage: str, progress: float, eta_s: float | None = None) -> None:
    """Say how far it is (0 to 1), never less than before; callers throttle. Raises LeaseLost."""
    with transaction():
        changed = (
            Job.update(stage=stage, progress=fn.MAX(Job.progress, min(1.0, progress)), eta_s=eta_s)
            .where(Job.id == job.id, Job.state == JobState.RUNNING, *_held(job))
            .execute()
        )
        if changed != 1:
            raise LeaseLost("Another worker has taken this job over.")
        job.stage, job.progress, job.eta_s = stage, max(job.progress, min(1.0, progress)), eta_s
        _tell(job, "job.progress")


def _settle(job: Job, state: JobState, ending: Ending, **columns: Any) -> None:
    log_entry = {
        "error": columns.get("error"),
        "code": columns.get("error_code"),
        "detail": columns.get("detail"),
    }
    columns = {"lease_owner": None, "lease_until": None, "lease_boot": None, **columns}
    if ending is Ending.STALLED:
        columns["stalls"] = Job.stalls + 1
    if not move(Job, job.id, JobState.RUNNING, state, *_held(job), **columns):
        raise LeaseLost("Another worker has taken this job over.")
    job_log.end(job, ending, **log_entry)
    fresh = Job.get_by_id(job.id)
    if state in JOB_ENDED:
        job_log.count(fresh)
    _tell(fresh, f"job.{state.value}")


def complete(job: Job) -> None:
    """The last statement of the transaction that records the results. Raises LeaseLost."""
    with transaction():
        _settle(
            job,
            JobState.COMPLETED,
            Ending.COMPLETED,
            finished_at=now(),
            progress=1.0,
            eta_s=0.0,
            stage="",
        )


def fail(
    job: Job, error: str, *, code: str, detail: str = "", ending: Ending = Ending.FAILED
) -> None:
    """Ended by an error. Raises LeaseLost."""
    with transaction():
        _settle(
            job,
            JobState.FAILED,
            ending,
            finished_at=now(),
            attempts=Job.attempts + 1,
            error=error,
            error_code=code,
            detail=detail[-8000:],
        )


def retry_later(
    job: Job,
    error: str,
    *,
    delay_s: float,
    code: str,
    detail: str = "",
    ending: Ending = Ending.RETRIED,
) -> None:
    """An error that may pass: queued again, counted. Raises LeaseLost."""
    with transaction():
        _settle(
            job,
            JobState.QUEUED,
            ending,
            attempts=Job.attempts + 1,
            run_after=now() + timedelta(seconds=delay_s),
            eta_s=None,
            error=error,
            error_code=code,
            detail=detail[-8000:],
        )


def put_back(
    job: Job,
    *,
    run_after: datetime | None = None,
    stage: str = "",
    ending: Ending = Ending.PUT_BACK,
) -> None:
    """Queued again, uncounted: the worker stops, or it is too early. Raises LeaseLost.

    ``stage``: what it waits for, in words.
    """
    with transaction():
        _settle(job, JobState.QUEUED, ending, run_after=run_after, stage=stage, eta_s=None)
        if run_after is None:
            bell.ring_after_commit(job.queue, job.priority)


def cancelled(job: Job) -> None:
    """The running work has stopped because somebody asked for it. Raises LeaseLost."""
    with transaction():
        _settle(
            job,
            JobState.CANCELLED,
            Ending.CANCELLED,
            finished_at=now(),
            cancel_requested=False,
        )


def cancel(job: Job) -> JobState:
    """Ask for a cancel: a queued job ends now, a running one within a second or so.

    The state it is in after the call. Raises InvalidTransition when it has ended already.
    """
    with transaction():
        if move(Job, job.id, JobState.QUEUED, JobState.CANCELLED, finished_at=now()):
            gone = Job.get_by_id(job.id)
            job_log.count(gone)
            _tell(gone, "job.cancelled")
            return JobState.CANCELLED
        asked = (
            Job.update(cancel_requested=True)
            .where(Job.id == job.id, Job.state == JobState.RUNNING)
            .execute()
        )
        if asked != 1:
            raise InvalidTransition("This job has ended already; there is nothing to cancel.")
    return JobState.RUNNING


def retry(job: Job) -> None:
    """Somebody pressed Retry: from the start, with all attempts. Raises InvalidTransition."""
    fresh = {
        "attempts": 0,
        "crashes": 0,
        "stalls": 0,
        "run_after": None,
        "error": None,
        "error_code": None,
        "detail": None,
        "finished_at": None,
        "progress": 0.0,
        "stage": "",
        "cancel_requested": False,
    }
    # RUNNING → QUEUED is in the table, but it is for the worker that holds the job.
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise InvalidTransition("This job has not failed; there is nothing to try again.")
    with transaction():
        if Job.select().where(Job.key == job.key, LIVE).exists():
            raise InvalidTransition("The same work is under way already, as another job.")
        if not move(Job, job.id, job.state, JobState.QUEUED, **fresh):
            raise InvalidTransition("This job is not at rest any more; look again.")
        _tell(Job.get_by_id(job.id), "job.queued")
        bell.ring_after_commit(job.queue, job.priority)


def held_by(worker: str) -> list[Job]:
    """What a worker process is at: of each of its threads the job."""
    query = Job.select().where(Job.state == JobState.RUNNING, Job.lease_owner.startswith(worker))
    return list(query.order_by(Job.id))


def expired() -> list[Job]:
    """Running jobs whose worker has been silent past its lease, or died with the machine."""
    gone = (Job.lease_boot != boot_id()) | (Job.lease_until < boottime_s())
    return list(Job.select().where(Job.state == JobState.RUNNING, gone))


def take_back(job: Job) -> bool:
    """Queue an expired job again, counted as a crash. False: the cap is reached, fail it.

    Raises LeaseLost when its worker came back in between.
    """
    if job.crashes + 1 >= MAX_CRASHES:
        return False
    with transaction():
        _settle(job, JobState.QUEUED, Ending.LOST, crashes=Job.crashes + 1, stage="", eta_s=None)
        bell.ring_after_commit(job.queue, job.priority)
    return True


def ring_due(*, night: bool = True) -> list[str]:
    """Ring for all queues in which something is due; their names.

    ``night``: whether what waits for the night is due.
    """
    rung = []
    for queue in QUEUES:
        best = scheduling.best_priority(queue, night=night)
        if best is not None:
            bell.ring(queue, best)
            rung.append(queue)
    return rung


def prune(*, older_than: datetime) -> int:
    """Remove jobs that ended before; how many."""
    return int(Job.delete().where(Job.state.in_(JOB_ENDED), Job.finished_at < older_than).execute())


def _tell(job: Job, type: str) -> None:
    video = job.video
    events.record(
        type,
        f"job:{job.public_id}",
        video=video,
        admins_only=video is None,
        kind=job.kind,
        video_id=video.public_id if video else None,
        state=job.state,
        stage=job.stage,
        progress=round(float(job.progress), 4),
        eta_s=job.eta_s,
        error=job.error,
    )
