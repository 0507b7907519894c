"""A box without web: originals put in place, jobs run here or by real worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import jobs
from appliance.db import database
from appliance.job_kinds import KINDS, QUEUES
from appliance.models import Job, Rendition, Video
from appliance.states import JOB_ENDED, JobState
from storage.layout import Layout
from tasks import runner
from tests.end_to_end.box import ROOT
from tests.factories import make_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.settings import Settings


def bring_in(settings: Settings, file: Path, **columns: Any) -> Video:
    """As if it had been uploaded: the original in its place, and its first job."""
    from appliance.clock import now

    video = make_video(filename=file.name, received_at=now(), **columns)
    original = Layout(settings.data).original(video.public_id)
    original.parent.mkdir(mode=0o700)
    shutil.copy(file, original)
    jobs.create("probe", f"probe:{video.public_id}", video=video)
    return video


# Made of each video when nobody waits for anything, in half a second each.
LATER = ("storyboard", "waveform")


def run_all(
    settings: Settings, stop: threading.Event | None = None, *, later: bool = False
) -> None:
    """Run all jobs that are due, one after another, by the real runner.

    Those of ``LATER`` only with ``later``, else they are forgotten: most tests aren't about them.
    """

    def work() -> None:
        flag = stop or threading.Event()
        found = True
        while found:
            if not later:
                with database.connection_context():
                    forget_later()
            found = any([runner.run_due(queue, "test", settings, flag) for queue in QUEUES])

    in_thread(work)


def run_social(settings: Settings) -> None:
    """All that the rendition for posting needs, and nothing else: no poster, no preview."""

    def work() -> None:
        found = True
        while found:
            found = False
            for queue in QUEUES:
                with database.connection_context():
                    forget_later()
                    forget_helpers()
                    job = jobs.claim(queue, "test", lease_s=settings.lease_s)
                if job is not None:
                    runner.run(job, settings, threading.Event())
                    found = True

    in_thread(work)


def forget_later() -> None:
    Job.delete().where(Job.kind.in_(LATER), Job.state == JobState.QUEUED).execute()


def forget_helpers() -> None:
    previews = Rendition.select(Rendition.id).where(Rendition.profile == "preview")
    queued = Job.state == JobState.QUEUED
    Job.delete().where(queued, (Job.kind == "poster") | Job.rendition.in_(previews)).execute()


def run_one(settings: Settings, queue: str, stop: threading.Event | None = None) -> Job:
    """Claim the best job of a queue and run it to its end."""
    job = jobs.claim(queue, "test", lease_s=settings.lease_s)
    assert job is not None
    in_thread(lambda: runner.run(job, settings, stop or threading.Event()))
    return Job.get_by_id(job.id)


def in_thread(work: Callable[[], None]) -> None:
    """Workers open connections of their own; the test's stays open beside them."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def run_only(settings: Settings, kind: str) -> Job:
    """Look into what was brought in, and then do one of the jobs that follow, alone."""
    if Job.select().where(Job.kind == "probe", Job.state == JobState.QUEUED).exists():
        assert run_one(settings, "quick").kind == "probe"
    Job.delete().where(Job.kind != kind, Job.state == JobState.QUEUED).execute()
    return run_one(settings, KINDS[kind].queue)


def again(video: Video) -> Video:
    return Video.get_by_id(video.id)


def rendition_of(video: Video) -> Rendition:
    return Rendition.get(Rendition.video == video, Rendition.profile == "social")


def job_of(video: Video, kind: str) -> Job:
    return Job.select().where(Job.video == video, Job.kind == kind).order_by(Job.id.desc()).get()


def is_ended(job: Job) -> bool:
    return Job.get_by_id(job.id).state in JOB_ENDED


MAIN = """
import logging, sys
from appliance.settings import load_settings
from tasks.worker import run
logging.basicConfig(level="INFO", format="%(name)s %(message)s")
sys.exit(run(load_settings(), sys.argv[1]))
"""


@contextmanager
def worker(settings: Settings, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker process; killed at the end if it still runs."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("APPLIANCE_")},
        "APPLIANCE_DATA": str(settings.data),
        "APPLIANCE_LEASE_S": str(settings.lease_s),
        "APPLIANCE_SWEEP_S": str(settings.sweep_s),
        "APPLIANCE_STALL_S": str(settings.stall_s),
        "APPLIANCE_SANDBOX": settings.sandbox,
        "APPLIANCE_NIGHT_HOURS": settings.night_hours,
        "APPLIANCE_ENCODE_CORES": str(settings.encode_cores or ""),
    }
    process = subprocess.Popen([sys.executable, "-c", MAIN, name], cwd=ROOT, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def at_work_in(folder: Path) -> list[int]:
    """Processes that run in a folder below ``folder``: what a sandbox holds."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            cwd = os.readlink(entry / "cwd")
        except OSError:
            continue
        if cwd.startswith(str(folder)):
            found.append(int(entry.name))
    return found
