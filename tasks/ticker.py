"""The ticker: a thread of the delivery worker that rings for what is due, and sweeps.

Each second: bells for due jobs. Each ``sweep_s``: lost leases, unheard bells, leftovers. When the
last sweep was stands in the database, on the clock of leases, so that two delivery workers don't
sweep twice and a step of the wall clock changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import peewee

from appliance import allowances, connections, database_copies, jobs, night
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database, transaction
from appliance.errors import ApplianceError, JobFailed
from appliance.jobs import MAX_CRASHES, LeaseLost
from appliance.models import Event, IdempotencyKey, Job, Setting
from appliance.states import JobState
from storage import ballast, media, uploads
from storage.layout import Layout
from tasks import pipeline, restarts, tidy, trash
from tasks.alerting.sweep import look as sweep_alerts
from tasks.connect import flow
from tasks.publish import dispatch, follow_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings

log = logging.getLogger(__name__)

TICK_S = 1.0
LONGEST_TURN_S = 600.0
NAME = "ticker"
PROGRESS_HOURS = 1
IDEMPOTENCY_DAYS = 7
# Steps of the wall clock below this are the daily bread of NTP.
STEP_S = 5.0


class Ticker:
    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self.settings, self.stop = settings, stop
        self.thread = threading.Thread(target=self._run, name="ticker", daemon=True)
        self._turned_s = 0.0

    def start(self) -> None:
        self._turned_s = time.monotonic()
        self.thread.start()

    @property
    def is_well(self) -> bool:
        """Whether it still turns; a sweep of a large box may take its time."""
        turned_lately = time.monotonic() - self._turned_s < LONGEST_TURN_S
        return self.thread.is_alive() and turned_lately

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                self._turn()
            except Exception:
                log.exception("The ticker stumbled; it goes on with the next second.")
                self.stop.wait(TICK_S)

    def _turn(self) -> None:
        """Until something fails, on one connection: a new one each second costs more than a tick,
        and where it was the only one SQLite tidies its log each time."""
        with database.connection_context():
            while not self.stop.is_set():
                self._turned_s = time.monotonic()
                tick(self.settings)
                self.stop.wait(TICK_S)


def tick(settings: Settings) -> None:
    with database.connection_context():
        if _is_my_turn(settings.sweep_s):
            sweep(settings)
        jobs.ring_due(night=night.is_open(settings, now()))


def _is_my_turn(sweep_s: float) -> bool:
    """Whether the last sweep, anybody's, was long enough ago; if so this one counts."""
    here = {"boot": boot_id(), "at": boottime_s(), "offset": now().timestamp() - boottime_s()}
    last = Setting.get_or_none(Setting.name == NAME)
    if last is not None and not _is_over(last.value, here, sweep_s):
        return False
    with transaction():
        last = Setting.get_or_none(Setting.name == NAME)
        if last is None:
            Setting.create(name=NAME, value=here)
            return True
        if not _is_over(last.value, here, sweep_s):
            return False
        if last.value["boot"] == here["boot"]:
            follow_clock_step(here["offset"] - last.value["offset"])
        Setting.update(value=here, updated_at=now()).where(Setting.id == last.id).execute()
    return True


def _is_over(last: dict[str, Any], here: dict[str, Any], sweep_s: float) -> bool:
    return bool(last["boot"] != here["boot"] or here["at"] - last["at"] >= sweep_s)


def follow_clock_step(step_s: float) -> None:
    """The wall clock was set: waits that were meant as "in a minute" stay a minute.

    Times that a person chose stand; they are what the wall clock is for.
    """
    if abs(step_s) < STEP_S:
        return
    log.warning("The clock was set by %.0f s; waiting jobs are moved along.", step_s)
    for job in Job.select().where(Job.state == JobState.QUEUED, Job.run_after.is_null(False)):
        chosen = job.post.publish_at if job.post is not None else None
        if job.run_after is not None and job.run_after != chosen:
            later = job.run_after + timedelta(seconds=step_s)
            if chosen is not None and job.run_after < chosen < later:
                later = chosen  # what is prepared ahead of a time that a person chose
            Job.update(run_after=later).where(
                Job.id == job.id, Job.state == JobState.QUEUED
            ).execute()


def sweep(settings: Settings) -> None:
    """All repairs and all tidying; one that fails doesn't keep the others from running."""
    layout = Layout(settings.data)
    steps: list[Callable[[], object]] = [
        take_back_expired,
        lambda: media.sweep_tmp(layout),
        lambda: uploads.recover(settings),
        lambda: restarts.sweep(settings),
        dispatch.sweep,
        follow_up.start_numbers,
        allowances.prune,
        connections.sweep,
        flow.check_due,
        lambda: media.settle_trash(layout),
        lambda: trash.start_emptying(settings, layout),
        lambda: ballast.take_on(settings, layout),
        lambda: database_copies.forget_old(settings),
        lambda: tidy.start_due(settings),
        lambda: tidy.note_how_full(settings, layout),
        lambda: sweep_alerts(settings),
        lambda: jobs.prune(older_than=now() - timedelta(days=settings.keep_jobs_days)),
        prune_rows,
    ]
    for step in steps:
        try:
            step()
        except (peewee.OperationalError, OSError) as exc:
            log.warning("A step of the sweep failed (%s); the next sweep tries again.", exc)
        except Exception:
            log.exception("A step of the sweep made a mistake; the others go on.")


def take_back_expired() -> int:
    """Queue again what a dead or frozen worker held; give up on what kills workers; how many."""
    found = jobs.expired()
    for job in found:
        log.warning("%s %s has lost its worker", job.kind, job.public_id)
        try:
            if not jobs.take_back(job):
                _give_up(job)
        except LeaseLost:
            continue  # its worker came back, or was faster
        except ApplianceError:
            log.exception("%s %s could not be taken back", job.kind, job.public_id)
    return len(found)


def _give_up(job: Job) -> None:
    failure = JobFailed(
        f"The worker died {MAX_CRASHES} times while it worked on this, so it isn't tried again. "
        "The worker's log says more; press Retry after mending the cause.",
        permanent=True,
        code="crashed",
    )
    with transaction():
        Job.update(crashes=Job.crashes + 1).where(Job.id == job.id).execute()
        jobs.fail(job, failure.message, code=failure.code)
        pipeline.settle_failure(job, failure)


def prune_rows() -> None:
    """Rows that have served: progress that nobody replays, answers that nobody asks for again."""
    at = now()
    Event.delete().where(
        Event.type.in_(["job.progress", "upload.progress"]),
        Event.at < at - timedelta(hours=PROGRESS_HOURS),
    ).execute()
    IdempotencyKey.delete().where(
        IdempotencyKey.created_at < at - timedelta(days=IDEMPOTENCY_DAYS)
    ).execute()
