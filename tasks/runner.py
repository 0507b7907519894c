"""Claim → work → record: the one place where jobs are run.

A handler is ``work(job, context) -> Outcome``, named in ``HANDLERS`` by job kind:

- It is called **without** a connection; open one where rows are read
  (``with database.connection_context():``) and close it before anything slow.
- It returns what has to be recorded as a function without arguments. The runner calls it inside
  the one transaction that also completes the job, after checking that the claim still stands;
  so results and job state are committed together, or not at all. None: nothing to record.
- ``PutBack(run_after)`` instead: queue me again, uncounted (waiting for a platform, a time).
- It raises ``JobFailed(sentence, permanent=…)`` when it can't go on. Transient failures are tried
  again by backoff (tasks/retrying.py says which, and how often); after the last one
  ``pipeline.settle_failure`` tells the job's subject, in the transaction that fails the job.
  A full disk is no failure of media work: it waits for space.
- It writes files only into ``context.folder``, and moves them to their place inside the function
  that it returns: by then nobody else can hold the job.
- It calls ``context.check()`` between steps (delivery) or several times a second (media), and lets
  Cancelled, Stopping and LeaseLost pass through. A call to the outside that is in flight is never
  interrupted: ``check`` is only looked at where the handler calls it.
- It moves: by ``context.report`` with a new fraction, by bytes in ``context.folder``, or by saying
  ``context.moved()``. What stands still for ``stall_s`` seconds is ended by ``check`` (not in
  delivery). A handler that never calls ``check`` is left behind: its end is recorded without it,
  and nothing that it does afterwards counts.
- ``context.record(write)`` commits something in between (a checkpoint before a remote call).

Running a handler again after any interruption must be safe.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import random
import threading
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, cast

import peewee

from appliance import job_history, job_log, jobs, night
from appliance.capacity import machine_of
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import ApplianceError, JobFailed, StorageFull
from appliance.job_log import Ending
from appliance.jobs import LeaseLost
from appliance.logs import about
from storage.ballast import is_full_for
from tasks import retrying
from tasks.context import Cancelled, Context, MakingWay, PutBack, Stalled, Stopping, Work
from tasks.watch import watching

if TYPE_CHECKING:
    from appliance.models import Job
    from appliance.settings import Settings

log = logging.getLogger(__name__)

# Named, not imported: what publishing needs isn't loaded by the worker that encodes.
HANDLERS = {
    "probe": "tasks.probe.task:probe",
    "early_look": "tasks.early_look.task:look_early",
    "poster": "tasks.poster.task:take_poster",
    "cover": "tasks.poster.cover_task:make_cover",
    "remux": "tasks.transcode.task:repack",
    "preview": "tasks.transcode.task:encode",
    "encode": "tasks.transcode.task:encode",
    "in_flight": "tasks.in_flight.task:encode_ahead",
    "storyboard": "tasks.storyboard.task:make_storyboard",
    "waveform": "tasks.waveform.task:make_waveform",
    "audio": "tasks.audio.task:take_sound",
    "remake": "tasks.remaking:make_jobs",
    "publish": "tasks.publish.task:publish",
    "edit": "tasks.publish.follow_up:edit",
    "remove": "tasks.publish.follow_up:remove",
    "comment": "tasks.publish.follow_up:comment",
    "numbers": "tasks.publish.follow_up:fetch_numbers",
    "connect": "tasks.connect.task:connect",
    "check_account": "tasks.connect.task:check_account",
    "disconnect": "tasks.connect.task:disconnect",
    "empty_bin": "tasks.trash:empty_old",
    "retain": "tasks.retention:retain",
    "tidy": "tasks.tidy:tidy",
    "verify": "tasks.tidy:verify",
    "backup": "tasks.backing_up:back_up",
    "alert": "tasks.alerting.sending:send_alert",
    "certificate": "tasks.alerting.certificate:read_certificate",
    "checkup": "tasks.checkup.task:check_up",
}

FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 300.0
SPACE_DELAY_S = 60.0
WAITING_FOR_SPACE = "Waiting for space"


@dataclass(frozen=True)
class RetryIn:
    delay_s: float


@dataclass(frozen=True)
class GiveUp:
    pass


def after_failure(
    attempts: int, max_attempts: int, *, permanent: bool, jitter: float
) -> RetryIn | GiveUp:
    """What follows the ``attempts``-th error of a job. ``jitter``: a random number, 0 to 1.

    Exponential backoff with full jitter. Source: M. Brooker, "Exponential Backoff and Jitter".
    """
    if permanent or attempts >= max_attempts:
        return GiveUp()
    ceiling_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (attempts - 1))
    return RetryIn(ceiling_s * jitter)


def handler(kind: str) -> Work:
    module, _, name = HANDLERS[kind].partition(":")
    return cast("Work", getattr(import_module(module), name))


def run_due(queue: str, owner: str, settings: Settings, stop: threading.Event) -> int:
    """Run what is due in ``queue``, best first, until nothing is left or ``stop``; how many."""
    done = 0
    while not stop.is_set():
        with database.connection_context():
            job = jobs.claim(
                queue,
                owner,
                lease_s=settings.lease_s,
                machine=machine_of(settings),
                night=night.is_open(settings, now()),
            )
        if job is None:
            break
        run(job, settings, stop)
        done += 1
    return done


def run(job: Job, settings: Settings, stop: threading.Event) -> None:
    """Run a claimed job and record how it ended, while the claim stands. Never raises."""
    with about(**_ids_of(job)):
        _run(job, Context(job, settings, stop))


def _ids_of(job: Job) -> dict[str, str | None]:
    """What the journal finds the lines of this job by."""
    ids: dict[str, str | None] = {"job_id": job.public_id, "job_kind": job.kind}
    try:
        with database.connection_context():
            ids["video_id"] = job.video.public_id if job.video else None
            ids["post_id"] = job.post.public_id if job.post else None
    except peewee.DatabaseError:
        pass  # the job will say it better
    return ids


def _run(job: Job, context: Context) -> None:
    log.info("%s %s starts (claim %s)", job.kind, job.public_id, job.fence)
    try:
        with watching(context):
            end = _Hand(job, context).work()
        if not callable(end):
            # Nothing is left to be put in its place. And on a full disk, what was half made takes
            # the room that the database needs to write down that the job waits.
            context.clean_up()
        with database.connection_context():
            log.info("%s %s: %s", job.kind, job.public_id, _record(job, end, context))
    except LeaseLost:
        log.warning("%s %s: taken over by another worker", job.kind, job.public_id)
    except Exception:
        # Even the recording failed (disk full, database locked for long): the lease runs out
        # and the sweep takes the job back.
        log.exception("%s %s could not be recorded", job.kind, job.public_id)
    finally:
        context.clean_up()


End = object


class _LeftBehind(BaseException):
    """Ends a thread that nobody waits for any more."""


class _Hand(threading.Thread):
    """The thread that a handler runs in, so that one that hangs doesn't take the worker along."""

    def __init__(self, job: Job, context: Context) -> None:
        super().__init__(name=f"{job.kind}-{job.public_id}", daemon=True)
        self.job, self.context = job, context
        self.end: End = None
        self._told = copy_context()  # what is logged there is about the job, too
        self._over = threading.Event()

    def run(self) -> None:
        try:
            self.end = self._told.run(_work, self.job, self.context)
        except _LeftBehind:
            log.warning("%s %s: what hung has ended", self.job.kind, self.job.public_id)
        finally:
            self._over.set()

    def work(self) -> End:
        """The end of the handler; Stalled when it hangs and doesn't hear that it should end."""
        stall_s = self.context.settings.stall_s
        self.start()
        # Half of the time again: a handler that calls ``check`` between larger steps ends itself,
        # and cleans up behind it.
        while not self._over.wait(min(1.0, stall_s / 4)):
            if self.context.stands_still_s > stall_s * 1.5:
                return self._leave()
        self.join()
        return self.end

    def _leave(self) -> Stalled:
        stalled = self.context.stalled()
        log.error("%s %s hangs and is left behind", self.job.kind, self.job.public_id)
        self.context.lost.set()  # if it wakes up, its next ``check`` ends it
        # And if it turns in circles in Python, this does. Only a call into the system that never
        # returns stays behind; it ends with the process.
        assert self.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.ident), ctypes.py_object(_LeftBehind)
        )
        return stalled


def _work(job: Job, context: Context) -> End:
    """The outcome, or the exception that says why there is none."""
    try:
        return handler(job.kind)(job, context)
    except (Cancelled, Stopping, LeaseLost, JobFailed) as exc:
        return exc
    except Exception as exc:
        if context.lost.is_set():
            return LeaseLost("Another worker has taken this job over.")
        if isinstance(exc, FileNotFoundError) and not context.folder.exists():
            return JobFailed(
                "What it worked on was removed from the disk meanwhile. It begins anew.",
                permanent=False,
                code="work_removed",
            )
        return _as_failure(job, exc)


def _as_failure(job: Job, exc: Exception) -> JobFailed:
    if isinstance(exc, StorageFull) or (
        isinstance(exc, OSError | peewee.OperationalError) and is_full_for(exc)
    ):
        return JobFailed(
            "The disk is full. Free some space, then press Retry.",
            permanent=False,
            code=StorageFull.code,
        )
    if isinstance(exc, ApplianceError):
        log.warning("%s %s: %s", job.kind, job.public_id, exc)
        return JobFailed(exc.message, permanent=False, code=exc.code)
    if isinstance(exc, peewee.OperationalError):
        log.warning("%s %s: %s", job.kind, job.public_id, exc)
        return JobFailed("The database was busy.", permanent=False, code="database_busy")
    log.error("%s %s failed unexpectedly", job.kind, job.public_id, exc_info=exc)
    if isinstance(exc, OSError) and exc.errno == errno.EIO:
        return JobFailed(
            "The disk could not be read or written. An admin should look at its health; after "
            "that, press Retry.",
            permanent=False,
            code="disk_error",
            detail=exc.strerror or "",
        )
    return JobFailed(
        f"The appliance made a mistake ({type(exc).__name__}). The worker's log says more; "
        "press Retry to try again.",
        permanent=False,
        code="internal_error",
    )


def _record(job: Job, end: End, context: Context) -> str:
    """Write down how it ended; in a word, for the log. Raises LeaseLost."""
    if isinstance(end, LeaseLost):
        raise end
    if isinstance(end, MakingWay):
        jobs.put_back(job, ending=Ending.MADE_WAY)
        return "put back, people wait for something else"
    if isinstance(end, Stopping):
        jobs.put_back(job, ending=Ending.STOPPED)
        return "put back, the worker stops"
    if isinstance(end, PutBack):
        with transaction():
            outdated = end.outdated is not None and end.outdated()
            run_after = None if outdated else end.run_after
            jobs.put_back(job, run_after=run_after, stage=end.stage)
        return f"put back until {run_after or 'somebody is free'}"
    if isinstance(end, Cancelled):
        return _record_cancel(job)
    if isinstance(end, JobFailed):
        return _record_failure(job, end)
    try:
        with transaction():
            jobs.require_held(job)
            if callable(end):
                end()
                if context.tells_duration and job.queue != "delivery":
                    job_history.record(job, context.elapsed_s, job_history.work_of(job))
            jobs.complete(job)
    except LeaseLost:
        raise
    except Exception as exc:
        return _record_failure(job, exc if isinstance(exc, JobFailed) else _as_failure(job, exc))
    return "completed"


def _record_cancel(job: Job) -> str:
    from tasks import pipeline  # imports the handlers' decisions, which import this module's types

    with transaction():
        jobs.cancelled(job)
        pipeline.settle_cancel(job)
    return "cancelled"


def _record_failure(job: Job, failure: JobFailed) -> str:
    if failure.code == StorageFull.code and job.queue != "delivery":
        later = now() + timedelta(seconds=SPACE_DELAY_S)
        jobs.put_back(job, run_after=later, stage=WAITING_FOR_SPACE)
        return "put back, it waits for space"
    verdict = after_failure(
        job.attempts + 1,
        job.max_attempts,
        permanent=retrying.ends_at_once(job.kind, failure, job_log.codes_of_errors(job)),
        jitter=random.random(),  # spreads retries; nothing secret
    )
    if isinstance(verdict, RetryIn):
        jobs.retry_later(
            job,
            failure.message,
            delay_s=verdict.delay_s,
            code=failure.code,
            detail=failure.detail,
            ending=Ending.STALLED if isinstance(failure, Stalled) else Ending.RETRIED,
        )
        return f"failed, again in {verdict.delay_s:.0f} s: {failure.message}"
    fail_for_good(job, failure)
    return f"failed: {failure.message}"


def fail_for_good(job: Job, failure: JobFailed) -> None:
    """Fail the job and tell its subject, in one transaction. Raises LeaseLost."""
    from tasks import pipeline  # see _record_cancel

    ending = Ending.FAILED
    if isinstance(failure, Stalled):
        ending, failure = Ending.STALLED, _about_standstill(failure)
    with transaction():
        jobs.fail(job, failure.message, code=failure.code, detail=failure.detail, ending=ending)
        pipeline.settle_failure(job, failure)


def _about_standstill(failure: Stalled) -> JobFailed:
    return JobFailed(
        f"{failure.message} The try before ended like that, too, so it isn't tried again. Export "
        "the video as MP4 and upload that; or press Retry.",
        permanent=True,
        code=failure.code,
        detail=failure.detail,
    )
