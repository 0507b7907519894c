"""Claim → work → record, with works of our own in place of a kind's."""

from __future__ import annotations

import errno
import shutil
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import jobs
from appliance.clock import now
from appliance.errors import JobFailed
from appliance.models import Job, JobRun, JobSample, Setting
from appliance.states import JobState
from tasks import runner, ticker
from tasks.context import Context, Outcome, PutBack, Stopping, estimate_eta
from tasks.runner import GiveUp, RetryIn, after_failure
from tests.end_to_end.box import wait_for
from tests.tasks.doing import in_thread, run_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings
    from storage.layout import Layout

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def doing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Job, Context], Outcome]], Job]:
    """Make a job of a kind whose handler is the given function."""

    def make(work: Callable[[Job, Context], Outcome]) -> Job:
        monkeypatch.setattr(sys.modules[__name__], "_work", work, raising=False)
        monkeypatch.setitem(runner.HANDLERS, "poster", f"{__name__}:_work")
        return jobs.create("poster", "test")

    return make


Doing = Any


@pytest.mark.parametrize(
    ("attempts", "permanent", "jitter", "verdict"),
    [
        (1, False, 1.0, RetryIn(5.0)),
        (2, False, 1.0, RetryIn(10.0)),
        (2, False, 0.25, RetryIn(2.5)),
        (1, False, 0.0, RetryIn(0.0)),
        (3, False, 1.0, GiveUp()),
        (1, True, 1.0, GiveUp()),
    ],
)
def test_after_failure(
    attempts: int, permanent: bool, jitter: float, verdict: RetryIn | GiveUp
) -> None:
    assert after_failure(attempts, 3, permanent=permanent, jitter=jitter) == verdict


def test_backoff_has_a_ceiling() -> None:
    assert after_failure(30, 99, permanent=False, jitter=1.0) == RetryIn(300.0)


@pytest.mark.parametrize(
    ("elapsed_s", "began_at", "fraction", "eta_s"),
    [
        (4.0, 0.0, 0.5, None),
        (10.0, 0.0, 0.5, 10.0),
        (10.0, 0.5, 0.75, 10.0),
        (10.0, 0.0, 0.0, None),
    ],
)
def test_estimate(elapsed_s: float, began_at: float, fraction: float, eta_s: float | None) -> None:
    assert estimate_eta(elapsed_s, began_at, fraction) == eta_s


def test_results_and_state_are_one_transaction(doing: Doing, settings: Settings) -> None:
    doing(lambda job, context: lambda: Setting.create(name="done", value=job.public_id) and None)
    assert run_one(settings, "quick").state is JobState.COMPLETED
    assert Setting.select().where(Setting.name == "done").count() == 1


def test_a_failing_record_leaves_nothing_behind(doing: Doing, settings: Settings) -> None:
    def record() -> None:
        Setting.create(name="done", value=1)
        raise ValueError("after the first row")

    doing(lambda job, context: record)
    job = run_one(settings, "quick")
    assert (job.state, job.attempts, job.error_code) == (JobState.QUEUED, 1, "internal_error")
    assert not Setting.select().exists()


def test_an_unexpected_exception_is_a_sentence_and_a_retry(
    doing: Doing, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def work(job: Job, context: Context) -> Outcome:
        raise ZeroDivisionError("secret in here")

    doing(work)
    job = run_one(settings, "quick")
    assert job.state is JobState.QUEUED and job.run_after is not None
    assert "ZeroDivisionError" in (job.error or "") and "secret" not in (job.error or "")
    assert "secret in here" in caplog.text  # the traceback is the log's


def test_work_that_was_removed_from_the_disk_begins_anew(
    doing: Doing, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def work(job: Job, context: Context) -> Outcome:
        shutil.rmtree(context.folder)
        return (context.folder / "half.mp4").read_bytes() and None

    doing(work)
    job = run_one(settings, "quick")
    assert (job.state, job.error_code) == (JobState.QUEUED, "work_removed")
    assert "Traceback" not in caplog.text


def test_transient_failures_end_after_three(doing: Doing, settings: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        raise JobFailed("The disk was slow.", permanent=False, detail="words")

    doing(work)
    for _ in range(3):
        Job.update(run_after=None).execute()
        job = run_one(settings, "quick")
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert (job.error, job.detail) == ("The disk was slow.", "words")


def test_a_permanent_failure_ends_at_once(doing: Doing, settings: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        raise JobFailed("No.", permanent=True, code="no")

    doing(work)
    job = run_one(settings, "quick")
    assert (job.state, job.attempts, job.error_code) == (JobState.FAILED, 1, "no")


def test_a_full_disk_is_waited_for_and_not_counted(doing: Doing, settings: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        raise OSError(errno.ENOSPC, "No space left on device")

    doing(work)
    for _ in range(4):  # more often than errors are tried again
        Job.update(run_after=None).execute()
        job = run_one(settings, "quick")
    assert (job.state, job.attempts, job.stage) == (JobState.QUEUED, 0, "Waiting for space")
    assert job.run_after is not None and job.run_after > now() + timedelta(seconds=30)
    doing(lambda job, context: None)
    Job.update(run_after=None).execute()
    job = run_one(settings, "quick")
    assert (job.state, job.stage) == (JobState.COMPLETED, "")
    assert [run.outcome for run in JobRun.select()] == ["put_back"] * 4 + ["completed"]


def test_each_try_is_written_down(doing: Doing, settings: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        context.report("Encoding", 0.3)
        if job.fence < 3:
            raise JobFailed("The disk was slow.", permanent=False, code="slow", detail="words")
        return None

    doing(work)
    for _ in range(3):
        Job.update(run_after=None).execute()
        run_one(settings, "quick")
    runs = list(JobRun.select().order_by(JobRun.id))
    assert [run.outcome for run in runs] == ["retried", "retried", "completed"]
    assert [run.worker for run in runs] == ["test"] * 3
    assert all(run.started_at <= run.ended_at for run in runs)
    first, last = runs[0], runs[-1]
    assert (first.error, first.error_code, first.detail) == ("The disk was slow.", "slow", "words")
    assert (first.stage, first.progress, last.error) == ("Encoding", 0.3, None)


@pytest.mark.parametrize(
    ("outcome", "tells", "learned"),
    [("made", True, 1), ("made", False, 0), ("nothing to do", True, 0)],
)
def test_only_work_that_was_done_teaches_how_long_it_takes(
    doing: Doing, settings: Settings, outcome: str, tells: bool, learned: int
) -> None:
    def work(job: Job, context: Context) -> Outcome:
        context.tells_duration = tells
        return (lambda: None) if outcome == "made" else None

    Job.update(work=12.5).where(Job.id == doing(work).id).execute()
    assert run_one(settings, "quick").state is JobState.COMPLETED
    samples = list(JobSample.select())
    assert [(s.kind, s.profile, s.work) for s in samples] == [("poster", "", 12.5)] * learned


@pytest.mark.parametrize(
    ("codes", "tries"),
    [
        (["too_small"], 1),
        (["encoder_crashed", "encoder_crashed"], 2),
        (["encoder_crashed", "sandbox_failed", "encoder_crashed"], 3),
        (["sandbox_failed", "encode_failed"], 2),
        (["sandbox_failed"] * 3, 3),
    ],
)
def test_only_what_may_pass_is_tried_again(
    doing: Doing, settings: Settings, codes: list[str], tries: int
) -> None:
    def work(job: Job, context: Context) -> Outcome:
        raise JobFailed("No.", permanent=False, code=codes[job.fence - 1])

    job = doing(work)
    while Job.get_by_id(job.id).state is JobState.QUEUED:
        Job.update(run_after=None).execute()
        job = run_one(settings, "quick")
    assert (job.state, job.attempts) == (JobState.FAILED, tries)


def test_put_back_is_not_counted_and_waits(doing: Doing, settings: Settings) -> None:
    later = now() + timedelta(hours=1)
    doing(lambda job, context: PutBack(later))
    job = run_one(settings, "quick")
    assert (job.state, job.attempts, job.run_after) == (JobState.QUEUED, 0, later)
    assert jobs.claim("quick", "test", lease_s=1) is None


def test_a_stop_ends_a_wait_and_puts_back(doing: Doing, settings: Settings) -> None:
    stop, began = threading.Event(), threading.Event()

    def work(job: Job, context: Context) -> Outcome:
        began.set()
        with pytest.raises(Stopping):
            context.wait(60)
        raise Stopping

    doing(work)
    threading.Thread(target=lambda: began.wait(10) and stop.set()).start()
    job = run_one(settings, "quick", stop)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)


def test_a_lease_is_kept_while_work_goes_on(doing: Doing, settings: Settings) -> None:
    settings = settings.model_copy(update={"lease_s": 0.6})
    seen: list[float] = []

    def work(job: Job, context: Context) -> Outcome:
        def longer() -> bool:
            seen.append(Job.get_by_id(job.id).lease_until)
            return len(set(seen)) >= 4

        from appliance.db import database

        with database.connection_context():
            wait_for("three renewals", longer)
            assert not jobs.expired()
        return None

    doing(work)
    assert run_one(settings, "quick").state is JobState.COMPLETED
    assert seen == sorted(seen)


def test_what_a_fenced_worker_made_is_discarded(
    doing: Doing, settings: Settings, layout: Layout
) -> None:
    folders = []

    def work(job: Job, context: Context) -> Outcome:
        folders.append(context.folder)
        (context.folder / "file").touch()
        from appliance.db import database

        with database.connection_context():
            # As after a freeze: the lease ran out, and another worker has claimed it.
            Job.update(lease_until=0.0).execute()
            ticker.take_back_expired()
            assert jobs.claim("quick", "another", lease_s=60) is not None
        with pytest.raises(jobs.LeaseLost):
            context.record(lambda: Setting.create(name="early", value=1) and None)
        return lambda: Setting.create(name="late", value=1) and None

    doing(work)
    job = run_one(settings, "quick")
    assert (job.state, job.lease_owner, job.fence) == (JobState.RUNNING, "another", 2)
    assert not Setting.select().exists()
    assert not folders[0].exists()


def test_reports_are_throttled(doing: Doing, settings: Settings) -> None:
    from appliance.models import Event

    def work(job: Job, context: Context) -> Outcome:
        for step in range(200):
            context.report("Working", step / 200)
        return None

    doing(work)
    run_one(settings, "quick")
    assert 1 <= Event.select().where(Event.type == "job.progress").count() < 20


def test_a_poison_job_ends_after_five_crashes(doing: Doing, settings: Settings) -> None:
    job = doing(lambda job, context: None)
    for crashes in range(1, 6):
        assert jobs.claim("quick", "dies", lease_s=0) is not None
        ticker.take_back_expired()
        assert Job.get_by_id(job.id).crashes == crashes
    job = Job.get_by_id(job.id)
    assert job.state is JobState.FAILED
    assert "died 5 times" in (job.error or "")


def test_a_poison_job_does_not_block_others(doing: Doing, settings: Settings) -> None:
    def work(job: Job, context: Context) -> Outcome:
        if job.key == "test":
            raise RuntimeError
        return None

    doing(work)
    other = jobs.create("poster", "other")
    in_thread(lambda: runner.run_due("quick", "test", settings, threading.Event()) and None)
    assert Job.get_by_id(other.id).state is JobState.COMPLETED
