"""What the work of a job is given, and what it may give back. See tasks/runner.py for the rules."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import peewee

from appliance import jobs
from appliance.db import database, transaction
from appliance.errors import JobFailed
from appliance.jobs import LeaseLost
from appliance.vault import Vault, open_vault
from storage.layout import Layout

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from appliance.models import Job
    from appliance.settings import Settings

log = logging.getLogger(__name__)

# Design §10: progress is at most four rows a second for each job.
_REPORT_EVERY_S = 0.25
# Before that, the first pictures (often black, often cheap) say too little about the rest.
_ESTIMATE_AFTER_S = 5.0


class Stopping(Exception):
    """The worker was told to stop: end now, the job is queued again and nothing is counted."""


class MakingWay(Stopping):
    """Something that people wait for needs the room: end now, as if the worker stopped."""


class Cancelled(Exception):
    """Somebody cancelled this job: end now."""


class Stalled(JobFailed):
    """Nothing has moved for ``stall_s`` seconds: end now, and try it once more."""

    def __init__(self, stood_s: float, stage: str, progress: float) -> None:
        where = f"“{stage}”, {int(progress * 100)} %" if stage else "the start"
        super().__init__(
            f"It stood still for {stood_s:.0f} s, at {where}, and was ended.",
            permanent=False,
            code="stalled",
        )


@dataclass(frozen=True)
class PutBack:
    """Queue the job again, uncounted: not before ``run_after``, or as soon as somebody is free.

    ``stage``: what it waits for, in words. ``outdated``: asked in the transaction that puts it
    back; True: what was decided doesn't hold any more, so it is due at once.
    """

    run_after: datetime | None = None
    stage: str = ""
    outdated: Callable[[], bool] | None = None


Write = Callable[[], None]
Outcome = Write | PutBack | None
Work = Callable[["Job", "Context"], Outcome]


class Context:
    """One claim of one job. Made by the runner; its methods may be called from any thread."""

    def __init__(self, job: Job, settings: Settings, stop: threading.Event) -> None:
        self.job = job
        self.settings = settings
        self.layout = Layout(settings.data)
        self._stop = stop
        # Set by the watch (tasks/watch.py), which renews the lease and looks for a cancel.
        self.lost = threading.Event()
        self.cancel_requested = threading.Event()
        self.make_way = threading.Event()
        # An answer of a platform may take its time, and nothing ends a call in flight.
        self.may_stall = job.queue != "delivery"
        # Set it to False when what is made here was made before, so that the next guess of how
        # long such work takes isn't misled by how quick this was.
        self.tells_duration = True
        self._signs: dict[str, object] = {}
        self._began_s = self._moved_s = time.monotonic()
        self._stage = ""
        self._stage_began_at = 0.0  # the fraction at which the stage began, and when
        self._stage_began_s = self._reported_s = time.monotonic()

    @cached_property
    def vault(self) -> Vault:
        """Opens what is encrypted; only the delivery worker is given the key."""
        return open_vault(self.settings)

    @cached_property
    def folder(self) -> Path:
        """The folder of this claim, made at the first use and removed by the runner."""
        folder = self.layout.job_folder(self.job.public_id, self.job.fence)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def elapsed_s(self) -> float:
        """Since the claim."""
        return time.monotonic() - self._began_s

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def check(self) -> None:
        """Call it between steps, and a few times a second while waiting for a process.

        Raises LeaseLost, Cancelled or Stopping when the work has to end; let them pass through.
        """
        if self.lost.is_set():
            raise LeaseLost("Another worker has taken this job over.")
        if self.cancel_requested.is_set():
            raise Cancelled
        if self._stop.is_set():
            raise Stopping
        if self.make_way.is_set():
            raise MakingWay
        if self.stands_still_s > self.settings.stall_s:
            raise self.stalled()

    # Does it move?

    def moved(self) -> None:
        """Say that the work goes on, where nothing else shows it: after a piece of reading, or
        while it waits for somebody else in good order."""
        self._moved_s = time.monotonic()

    def saw(self, sign: str, value: object) -> None:
        """The same, if ``value`` isn't what was seen last: how far ffmpeg says it is, say."""
        if self._signs.setdefault(sign, value) != value:
            self._signs[sign] = value
            self.moved()

    @property
    def stands_still_s(self) -> float:
        """For how long nothing has moved: no new fraction, no sign, no byte in the folder."""
        return time.monotonic() - self._moved_s if self.may_stall else 0.0

    def stalled(self) -> Stalled:
        return Stalled(self.stands_still_s, self.job.stage, self.job.progress)

    def look_for_bytes(self) -> None:
        """What a program writes into the folder is a sign; the watch looks for it."""
        if "folder" not in vars(self):
            return
        written = {}
        for place, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):  # gone in between
                    about = os.lstat(os.path.join(place, name))
                    written[place, name] = about.st_size, about.st_mtime_ns
        self.saw("bytes", written)

    def wait(self, seconds: float) -> None:
        """Sleep, but end early like ``check`` does. For seconds; longer waits are a PutBack."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            self._stop.wait(min(left, 0.25))
            self.check()

    def record(self, write: Write) -> None:
        """Run ``write`` in one transaction, if the claim still stands: a checkpoint, a state.

        Opens a connection unless this thread has one. Raises LeaseLost, and then nothing was
        written.
        """
        if database.is_closed():
            with database.connection_context():
                self._record(write)
        else:
            self._record(write)

    def renew(self) -> None:
        """Renew the lease now, before something that must not happen twice. Raises LeaseLost.

        Opens a connection unless this thread has one.
        """
        ours = []
        self.record(lambda: ours.append(jobs.beat(self.job, lease_s=self.settings.lease_s).ours))
        if not ours[0]:
            raise LeaseLost("Another worker has taken this job over.")

    def _record(self, write: Write) -> None:
        with transaction():
            jobs.require_held(self.job)
            write()

    def report(self, stage: str, fraction: float) -> None:
        """Tell people how far it is: ``stage`` in words, ``fraction`` of the whole job, 0 to 1.

        Throttled, so call it as often as you like. Raises what ``check`` raises.
        """
        self.saw("report", (stage, fraction))
        self.check()
        now_s = time.monotonic()
        if stage == self._stage and now_s - self._reported_s < _REPORT_EVERY_S:
            return
        if stage != self._stage:
            self._stage, self._stage_began_s, self._stage_began_at = stage, now_s, fraction
        self._reported_s = now_s
        eta_s = estimate_eta(now_s - self._stage_began_s, self._stage_began_at, fraction)
        try:
            with database.connection_context():
                jobs.report(self.job, stage=stage, progress=fraction, eta_s=eta_s)
        except peewee.OperationalError as exc:
            # Busy or full: no reason to give up an encode that goes well.
            log.warning("progress of %s was not written: %s", self.job.public_id, exc)

    def begin_anew(self) -> None:
        """Another way to the same end begins, after one that led nowhere: from the start again.

        Raises what ``check`` raises.
        """
        self.check()
        if self.job.progress <= 0:
            return
        self._stage = ""
        try:
            with database.connection_context():
                jobs.begin_anew(self.job)
        except peewee.OperationalError as exc:
            log.warning("progress of %s was not written: %s", self.job.public_id, exc)

    def clean_up(self) -> None:
        if "folder" in self.__dict__:
            shutil.rmtree(self.folder, ignore_errors=True)


def estimate_eta(elapsed_s: float, began_at: float, fraction: float) -> float | None:
    """Seconds left, from the progress of this stage so far; None: too early to tell."""
    if elapsed_s < _ESTIMATE_AFTER_S or fraction - began_at < 0.01:
        return None
    return round(elapsed_s * (1.0 - fraction) / (fraction - began_at), 1)
