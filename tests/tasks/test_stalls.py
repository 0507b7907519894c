"""Work that stands still is ended, tried once more, and then fails saying where it stood."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from appliance import jobs
from appliance.db import database
from appliance.models import Job, JobRun
from appliance.states import JobState
from tasks import runner, sandbox
from tasks.ffmpeg import find_ffmpeg
from tasks.sandbox_types import MIB, Command, Limits
from tests.end_to_end.box import wait_for
from tests.tasks.doing import at_work_in, run_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from tasks.context import Context, Outcome

pytestmark = pytest.mark.usefixtures("db")

STALL_S = 3.0  # a sandbox takes a while to start, on a machine that is busy


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"stall_s": STALL_S})


@pytest.fixture
def doing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    def make(work: Callable[[Job, Context], Outcome], kind: str = "poster") -> Job:
        monkeypatch.setattr(sys.modules[__name__], "_work", work, raising=False)
        monkeypatch.setitem(runner.HANDLERS, kind, f"{__name__}:_work")
        return jobs.create(kind, "test")

    return make


def command(context: Context, *argv: str) -> Command:
    ffmpeg = find_ffmpeg(context.settings)
    limits = Limits(memory_bytes=2048 * MIB, cpu_s=60, file_bytes=64 * MIB)
    return Command((str(ffmpeg), *argv), context.folder, limits, reads=(ffmpeg,))


def from_a_pipe(job: Job, context: Context) -> Outcome:
    """ffmpeg waits for somebody to open the other end, for ever."""
    os.mkfifo(context.folder / "pipe")
    context.report("Encoding", 0.42)
    sandbox.run(
        command(context, "-nostdin", "-i", "file:pipe", "-f", "null", "-"),
        context.settings,
        check=context.check,
    )
    return None


def test_ffmpeg_that_waits_for_ever_is_ended_and_tried_once_more(
    doing: Any, impatient: Settings, layout: Layout
) -> None:
    doing(from_a_pipe)
    job = run_one(impatient, "quick")
    assert (job.state, job.stalls, job.error_code) == (JobState.QUEUED, 1, "stalled")
    wait_for("the end of ffmpeg", lambda: not at_work_in(layout.tmp))
    Job.update(run_after=None).execute()
    job = run_one(impatient, "quick")
    assert (job.state, job.stalls, job.attempts) == (JobState.FAILED, 2, 2)
    assert f"stood still for {STALL_S:g} s, at “Encoding”, 42 %" in (job.error or "")
    assert "isn't tried again" in (job.error or "")
    assert [run.outcome for run in JobRun.select()] == ["stalled", "stalled"]


@contextmanager
def stopping(folder: Any) -> Iterator[None]:
    """Freezes the first program that works in ``folder``, as a machine without memory would."""

    def freeze() -> None:
        wait_for("ffmpeg at work", lambda: len(at_work_in(folder)) > 0)
        wait_for("something written", lambda: any(folder.rglob("*.mkv")))
        for pid in at_work_in(folder):
            os.kill(pid, signal.SIGSTOP)

    thread = threading.Thread(target=freeze)
    thread.start()
    yield
    thread.join()


def test_ffmpeg_that_was_frozen_is_ended(doing: Any, impatient: Settings, layout: Layout) -> None:
    def work(job: Job, context: Context) -> Outcome:
        endless = ("-re", "-f", "lavfi", "-i", "testsrc=s=160x120:r=25", "-flush_packets", "1")
        sandbox.run(
            command(context, "-nostdin", *endless, "out.mkv"), context.settings, check=context.check
        )
        return None

    doing(work)
    with stopping(layout.tmp):
        job = run_one(impatient, "quick")
    assert (job.state, job.stalls) == (JobState.QUEUED, 1)
    wait_for("the end of ffmpeg", lambda: not at_work_in(layout.tmp))
    assert "testsrc" in (job.detail or "") or "lavfi" in (job.detail or "")  # ffmpeg's own words


def test_what_only_reads_or_only_writes_does_move(doing: Any, impatient: Settings) -> None:
    """Twice as long as may be stood still, with no report at all."""

    def work(job: Job, context: Context) -> Outcome:
        look = "open('/dev/zero','rb').read(1); time.sleep(0.1)"
        quiet = f"import time\nfor _ in range({int(20 * STALL_S)}): {look}"
        limits = Limits(memory_bytes=1024 * MIB, cpu_s=60, file_bytes=MIB)
        reading = (sys.executable, "-I", "-S", "-c", quiet)
        program = Command(reading, context.folder, limits, reads=sandbox.python_reads())
        ended = sandbox.run(program, context.settings, check=context.check)
        assert ended.code == 0, ended.words
        return None

    doing(work)
    assert run_one(impatient, "quick").state is JobState.COMPLETED


@pytest.mark.parametrize("how", ["turns in circles", "never comes back"])
def test_a_handler_that_hangs_is_left_behind(
    doing: Any, impatient: Settings, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    free, ended = threading.Event(), threading.Event()

    def work(job: Job, context: Context) -> Outcome:
        try:
            if how == "turns in circles":
                while True:
                    time.sleep(0.001)
            free.wait(30)
            context.check()
        finally:
            ended.set()
        return None

    doing(work)
    job = run_one(impatient, "quick")
    assert (job.state, job.error_code) == (JobState.QUEUED, "stalled")
    assert "is left behind" in caplog.text
    free.set()
    assert ended.wait(10)  # no thread stays that could be ended
    fresh = Job.get_by_id(job.id)
    assert (fresh.state, fresh.fence) == (JobState.QUEUED, job.fence)


def test_deliveries_are_given_all_the_time_they_need(doing: Any, impatient: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        context.wait(STALL_S * 2)
        return None

    doing(work, "publish")
    assert run_one(impatient, "delivery").state is JobState.COMPLETED


def test_whoever_says_that_it_moves_is_believed(doing: Any, impatient: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        for _ in range(8):
            context.wait(STALL_S / 4)
            context.moved()
        with database.connection_context():
            assert Job.get_by_id(job.id).state is JobState.RUNNING
        return None

    doing(work)
    assert run_one(impatient, "quick").state is JobState.COMPLETED
