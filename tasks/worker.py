"""The worker process: hears the bell of one queue and runs what is due.

Huey's consumer listens; starting, stopping and the signals are ours, because Huey either waits
for hours until an encode has ended or forgets the task (performance.md §3).
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
import time
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import peewee
from huey.consumer import Consumer

from appliance import capacity, jobs, night
from appliance.capacity import machine_of
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database, open_database
from appliance.models import Heartbeat
from appliance.notify import ALIVE, notify, tell_status, watchdog_s
from storage.backups import switching
from storage.layout import Layout
from tasks import runner
from tasks.context import Stopping
from tasks.queue import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import Job
    from appliance.settings import Settings
    from tasks.queue import Bells
    from tasks.ticker import Ticker

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
# Huey's own delays grow to 10 s when idle; with these a bell is heard in a tenth of a second
# (median) and a quarter (at most), for 0.3 % of a core. Source: performance.md §3.
DELAYS = {"initial_delay": 0.05, "max_delay": 0.25, "backoff": 1.05}
# How long a stop waits. Media and quick work ends at once; a step of a delivery may have to wait
# for a platform's answer, and ends by its own time-outs.
PATIENCE_S = {"media": 8.0, "quick": 8.0, "delivery": 120.0}
# Quick work is what people wait for: two files at a time. Deliveries mostly wait for platforms:
# four hand over files, one does housekeeping, and three are left for what is quick
# (appliance/scheduling.py).
THREADS = {"quick": 2, "delivery": 8}


def thread_count(name: str, settings: Settings) -> int:
    """Of encodes as many as could ever run at a time; the scheduler says how many do."""
    return capacity.thread_count(machine_of(settings)) if name == "media" else THREADS[name]


def status_of(held: Sequence[Job]) -> str:
    """One line for ``systemctl status``: ids, no titles, which are words of users."""
    if not held:
        return "Waits for work"
    parts = [f"{job.kind} {job.public_id} ({job.progress:.0%})" for job in held]
    return f"Works on {', '.join(parts)}"


class Listener(Consumer):  # type: ignore[misc]  # huey has no types
    """Huey's consumer without its signal handlers."""

    def _set_signal_handlers(self) -> None:
        pass


def run(settings: Settings, name: str) -> int:
    """Work until SIGTERM or SIGINT; the exit code. A second signal ends it on the spot."""
    signals: SimpleQueue[int] = SimpleQueue()  # its put() may be called by a signal handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: signals.put(signum))
    logging.getLogger("huey").setLevel(logging.WARNING)
    Layout(settings.data).make_folders()
    open_database(settings.database_path)
    worker = Worker(settings, name)
    worker.start()
    log.info("worker %s is ready", name)
    notify("READY=1")
    while True:
        try:
            signum = signals.get(timeout=1.0)
        except Empty:
            if switching.is_due(settings.data):
                log.info("worker %s makes way for a restored backup", name)
                notify("STOPPING=1")
                return worker.stop(signals)
            worker.look_after()
            continue
        break
    log.info("worker %s stops (%s)", name, signal.Signals(signum).name)
    notify("STOPPING=1")
    return worker.stop(signals)


class Worker:
    def __init__(self, settings: Settings, name: str) -> None:
        self.settings, self.name = settings, name
        self.owner = f"{name}:{os.getpid()}:{int(boottime_s() * 1000)}"
        self.stopping = threading.Event()
        self.bells: Bells = connect(settings)
        self.bells.on_ring(name, self._work)
        self._listener = Listener(
            self.bells.queues[name],
            workers=thread_count(name, settings),
            periodic=False,
            scheduler_interval=60,  # nothing is ever scheduled there
            **DELAYS,
        )
        self._ticker: Ticker | None = None
        self._started_at = now()
        self._beaten_s = 0.0
        # Also where nobody listens for it, so that it is no other program there.
        self._feed_each_s = (watchdog_s() or 30.0) / 3
        self._fed_s = 0.0

    def start(self) -> None:
        self._beat()
        self._listener.start()
        # Rings for what was queued while no worker was there.
        self.bells.ring(self.name)
        if self.name == "delivery":
            # Not above: it brings along all that talks to platforms, 15 MB in each worker.
            from tasks.ticker import Ticker

            self._ticker = Ticker(self.settings, self.stopping)
            self._ticker.start()
        if self.name == "media":
            threading.Thread(target=self._prove_encoders, name="encoders", daemon=True).start()

    def _prove_encoders(self) -> None:
        """Until it is done, x264 encodes."""
        from tasks.transcode import proof

        def check() -> None:
            if self.stopping.is_set():
                raise Stopping

        try:
            proof.remember(self.settings, check)
        except Stopping:
            return
        except Exception:
            log.exception("Hardware encoders could not be tried; x264 encodes.")

    def look_after(self) -> None:
        """About once a second."""
        try:
            if self.bells.mend():
                self.bells.ring(self.name)
        except (sqlite3.Error, OSError):
            log.exception("The bells are broken; the next second tries again.")
        self._listener.check_worker_health()
        if time.monotonic() - self._beaten_s >= HEARTBEAT_S:
            self._beat()
        if time.monotonic() - self._fed_s >= self._feed_each_s and self.is_well():
            self._fed_s = time.monotonic()
            notify(ALIVE)

    def is_well(self) -> bool:
        """What systemd's watchdog is fed by: all threads live, and the database can be read.

        A handler that hangs is none of its business: the runner leaves that behind (``stall_s``).
        Nor is a full disk, by which nothing can be written: a new start would mend nothing.
        """
        if not all(thread.is_alive() for _, thread in self._listener.worker_threads):
            log.error("worker %s: a thread has ended", self.name)
            return False
        if self._ticker is not None and not self._ticker.is_well:
            log.error("worker %s: the ticker stands still", self.name)
            return False
        try:
            with database.connection_context():
                tell_status(status_of(jobs.held_by(self.owner)))
        except peewee.DatabaseError as exc:
            log.error("worker %s: the database could not be read: %s", self.name, exc)
            return False
        return True

    def stop(self, signals: SimpleQueue[int]) -> int:
        """End what runs: put back, or (delivery) up to the end of the step in flight."""
        self.stopping.set()
        self._listener.stop_flag.set()
        threads: list[threading.Thread] = [thread for _, thread in self._listener.worker_threads]
        if self._ticker is not None:
            threads.append(self._ticker.thread)
        deadline_s = time.monotonic() + PATIENCE_S[self.name]
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() > deadline_s:
                log.error("worker %s: a job did not end in time; its lease will run out", self.name)
                return 1
            try:
                signals.get(timeout=0.05)
            except Empty:
                continue
            log.warning("worker %s ends on the spot", self.name)
            return 1
        with database.connection_context():
            Heartbeat.delete().where(
                Heartbeat.process == f"worker-{self.name}", Heartbeat.pid == os.getpid()
            ).execute()
        return 0

    def _work(self) -> None:
        owner = f"{self.owner}:{threading.get_ident()}"
        runner.run_due(self.name, owner, self.settings, self.stopping)

    def _say_about(self) -> dict[str, Any]:
        """For the pages: what the scheduler has here, and whether it is night to it."""
        if self.name != "media":
            return {}
        machine = asdict(machine_of(self.settings))
        return {**machine, "night": night.is_open(self.settings, now())}

    def _beat(self) -> None:
        self._beaten_s = time.monotonic()
        columns: dict[Any, Any] = {
            Heartbeat.pid: os.getpid(),
            Heartbeat.boot_id: boot_id(),
            Heartbeat.beat_boottime_s: boottime_s(),
            Heartbeat.beat_at: now(),
            Heartbeat.started_at: self._started_at,
            Heartbeat.info: self._say_about(),
        }
        try:
            with database.connection_context():
                Heartbeat.insert({Heartbeat.process: f"worker-{self.name}", **columns}).on_conflict(
                    conflict_target=[Heartbeat.process], update=columns
                ).execute()
        except peewee.OperationalError as exc:
            log.warning("worker %s could not say that it is alive: %s", self.name, exc)
