"""The ledger of work: each job is done once, by one worker at a time, and none is lost."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import peewee
import pytest

from appliance import bell, jobs
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database, transaction
from appliance.errors import InvalidTransition
from appliance.job_kinds import KINDS, QUEUES
from appliance.jobs import LeaseLost
from appliance.models import Event, Job, Priority
from appliance.states import JobState
from tests.factories import make_video
from tests.plans import looking_at_plans

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("db")

LEASE_S = 30.0


@pytest.fixture
def bells() -> Iterator[list[tuple[str, int]]]:
    """Every ring of the bell, in order."""
    rung: list[tuple[str, int]] = []
    before = bell.ring
    bell.connect(lambda queue, priority: rung.append((queue, priority)))
    yield rung
    bell.connect(before)


def claim(queue: str = "quick", owner: str = "a") -> Job:
    job = jobs.claim(queue, owner, lease_s=LEASE_S)
    assert job is not None
    return job


def stored(job: Job) -> Job:
    return Job.get_by_id(job.id)


def let_lease_run_out(job: Job) -> None:
    Job.update(lease_until=boottime_s() - 1).where(Job.id == job.id).execute()


# Making and ringing


def test_the_bell_rings_after_the_commit_and_not_before(bells: list[tuple[str, int]]) -> None:
    with transaction():
        jobs.create("probe", "probe:1")
        assert bells == []
    assert bells == [("quick", Priority.HIGH)]


def test_what_is_rolled_back_rings_no_bell(bells: list[tuple[str, int]]) -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        jobs.create("probe", "probe:1")
        raise ZeroDivisionError
    assert bells == []
    assert Job.select().count() == 0
    assert Event.select().count() == 0


def test_a_bell_that_fails_loses_no_job(caplog: pytest.LogCaptureFixture) -> None:
    def broken(queue: str, priority: int) -> None:
        raise OSError("the queue's disk is gone")

    before = bell.ring
    bell.connect(broken)
    try:
        jobs.create("probe", "probe:1")
    finally:
        bell.connect(before)
    assert claim().key == "probe:1"
    assert "The bell of the queue quick is broken" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_to_a_queue_that_a_worker_hears(kind: str) -> None:
    job = jobs.create(kind, f"{kind}:1")
    assert job.queue in QUEUES
    assert claim(job.queue).kind == kind


def test_the_same_work_asked_for_twice_is_one_job(bells: list[tuple[str, int]]) -> None:
    first = jobs.create("encode", "encode:1")
    second = jobs.create("encode", "encode:1", priority=Priority.HIGH)
    assert first.id == second.id
    assert stored(first).priority == Priority.HIGH  # somebody waits for it now
    jobs.create("encode", "encode:1", priority=Priority.LOW)
    assert stored(first).priority == Priority.HIGH  # never lowered
    running = claim("media")
    assert jobs.create("encode", "encode:1").id == running.id


def test_the_same_work_may_be_asked_for_again_when_it_has_ended() -> None:
    first = jobs.create("encode", "encode:1")
    jobs.complete(claim("media"))
    assert jobs.create("encode", "encode:1").id != first.id


def test_the_database_itself_refuses_a_second_live_job() -> None:
    jobs.create("encode", "encode:1")
    with pytest.raises(peewee.IntegrityError):
        Job.create(kind="encode", queue="media", key="encode:1")
    claim("media")
    with pytest.raises(peewee.IntegrityError):
        Job.create(kind="encode", queue="media", key="encode:1")


# Claiming


def test_the_best_due_job_is_claimed_first() -> None:
    order = [
        ("a", Priority.NORMAL),
        ("b", Priority.LOW),
        ("c", Priority.HIGH),
        ("d", Priority.HIGH),
    ]
    for key, priority in order:
        jobs.create("probe", key, priority=priority)
    assert [claim().key for _ in order] == ["c", "d", "a", "b"]
    assert jobs.claim("quick", "a", lease_s=LEASE_S) is None


def test_a_worker_gets_no_job_of_another_queue() -> None:
    jobs.create("encode", "encode:1")
    assert jobs.claim("quick", "a", lease_s=LEASE_S) is None


def test_a_job_is_not_claimed_before_its_time() -> None:
    jobs.create("probe", "later", run_after=now() + timedelta(hours=1))
    jobs.create("probe", "past", run_after=now() - timedelta(seconds=1), priority=Priority.LOW)
    assert claim().key == "past"
    assert jobs.claim("quick", "a", lease_s=LEASE_S) is None


def test_many_workers_at_once_get_each_job_exactly_once() -> None:
    total, workers = 40, 8
    for number in range(total):
        jobs.create("probe", f"probe:{number}")
    start = threading.Barrier(workers)
    claimed: list[tuple[str, int]] = []

    def work(owner: str) -> None:
        with database.connection_context():
            start.wait()
            while job := jobs.claim("quick", owner, lease_s=LEASE_S):
                claimed.append((job.key, job.fence))
                jobs.complete(job)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted((f"probe:{number}", 1) for number in range(total))
    assert {job.state for job in Job.select()} == {JobState.COMPLETED}


def test_a_claim_forgets_the_last_try() -> None:
    jobs.create("probe", "probe:1")
    jobs.report(first := claim(), stage="Reading", progress=0.7, eta_s=3)
    jobs.retry_later(first, "The disk was slow.", delay_s=0, code="slow", detail="…")
    second = claim()
    assert (second.stage, second.progress, second.eta_s) == ("", 0.0, None)
    assert (second.error, second.error_code, second.detail) == (None, None, None)
    assert (second.fence, second.attempts) == (first.fence + 1, 1)


# The fence


@pytest.mark.parametrize(
    "write",
    [
        lambda job: jobs.report(job, stage="x", progress=0.9),
        jobs.complete,
        lambda job: jobs.fail(job, "no", code="no"),
        lambda job: jobs.retry_later(job, "no", delay_s=1, code="no"),
        jobs.put_back,
        jobs.cancelled,
        jobs.take_back,
    ],
    ids=["report", "complete", "fail", "retry_later", "put_back", "cancelled", "take_back"],
)
@pytest.mark.parametrize("owner", ["same process", "another process"])
def test_who_lost_the_lease_can_write_nothing(write: Any, owner: str) -> None:
    jobs.create("probe", "probe:1")
    late = claim(owner="same process")
    let_lease_run_out(late)
    assert jobs.take_back(stored(late))
    current = claim(owner=owner)
    before = stored(current).__data__
    with pytest.raises(LeaseLost):
        write(late)
    assert not jobs.beat(late, lease_s=LEASE_S).ours
    assert stored(current).__data__ == before
    jobs.complete(current)


def test_results_of_a_lost_lease_are_taken_back_with_its_transaction() -> None:
    video = make_video()
    jobs.create("probe", "probe:1", video=video)
    late = claim()
    let_lease_run_out(late)
    jobs.take_back(stored(late))
    with pytest.raises(LeaseLost), transaction():
        video.title = "written by the late one"
        video.save(only=["title"])
        jobs.complete(late)
    assert Job.get_by_id(late.id).video.title == "Clip"


def test_a_finished_job_cannot_be_finished_again() -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    jobs.complete(job)
    with pytest.raises(LeaseLost):
        jobs.fail(job, "no", code="no")
    assert stored(job).state is JobState.COMPLETED


# Leases


def test_a_lease_runs_on_the_clock_of_the_machine_and_a_beat_renews_it() -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    assert job.lease_until == pytest.approx(boottime_s() + LEASE_S, abs=5)
    assert jobs.expired() == []
    let_lease_run_out(job)
    assert [found.id for found in jobs.expired()] == [job.id]
    assert jobs.beat(job, lease_s=LEASE_S).ours  # nobody took it: it is still its own
    assert jobs.expired() == []


def test_a_lease_of_before_the_machine_started_again_has_ended() -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    assert job.lease_boot == boot_id()
    Job.update(lease_boot="an earlier start", lease_until=boottime_s() + 1e6).execute()
    assert [found.id for found in jobs.expired()] == [job.id]


def test_a_job_that_is_taken_back_counts_a_crash_not_an_attempt(
    bells: list[tuple[str, int]],
) -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    let_lease_run_out(job)
    bells.clear()
    assert jobs.take_back(jobs.expired()[0])
    back = stored(job)
    assert (back.state, back.crashes, back.attempts) == (JobState.QUEUED, 1, 0)
    assert (back.lease_owner, back.lease_until, back.lease_boot) == (None, None, None)
    assert bells == [("quick", Priority.HIGH)]


def test_a_job_that_kills_its_worker_each_time_is_given_up() -> None:
    jobs.create("probe", "probe:1")
    claims = 0
    while True:
        job = claim()
        claims += 1
        let_lease_run_out(job)
        (expired,) = jobs.expired()
        if not jobs.take_back(expired):
            break
        assert claims < 100
    assert claims == jobs.MAX_CRASHES
    jobs.fail(expired, "It ended the worker five times.", code="crashes")
    assert stored(expired).state is JobState.FAILED


def test_a_stop_puts_a_job_back_uncounted(bells: list[tuple[str, int]]) -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    bells.clear()
    jobs.put_back(job)
    back = stored(job)
    assert (back.state, back.attempts, back.crashes) == (JobState.QUEUED, 0, 0)
    assert bells == [("quick", Priority.HIGH)]
    assert claim().id == job.id


# Errors, cancel, retry


def test_an_error_that_may_pass_waits_and_is_counted(bells: list[tuple[str, int]]) -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    bells.clear()
    jobs.retry_later(job, "The disk was slow.", delay_s=60, code="slow", detail="x" * 20_000)
    back = stored(job)
    assert (back.state, back.attempts, back.error) == (JobState.QUEUED, 1, "The disk was slow.")
    assert now() < back.run_after <= now() + timedelta(seconds=60)
    assert len(back.detail) == 8000
    assert bells == []  # the ticker rings when it is due
    assert jobs.claim("quick", "a", lease_s=LEASE_S) is None


def test_a_queued_job_is_cancelled_at_once() -> None:
    job = jobs.create("probe", "probe:1")
    assert jobs.cancel(job) is JobState.CANCELLED
    assert stored(job).finished_at is not None
    assert jobs.claim("quick", "a", lease_s=LEASE_S) is None
    with pytest.raises(InvalidTransition):
        jobs.cancel(job)


def test_a_running_job_learns_of_its_cancel_by_its_next_beat() -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    assert not jobs.beat(job, lease_s=LEASE_S).cancel_requested
    assert jobs.cancel(job) is JobState.RUNNING
    assert jobs.beat(job, lease_s=LEASE_S) == jobs.Beat(ours=True, cancel_requested=True)
    jobs.cancelled(job)
    assert stored(job).state is JobState.CANCELLED


def test_retry_starts_from_scratch(bells: list[tuple[str, int]]) -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    jobs.fail(job, "This is no video.", code="no_video", detail="moov atom not found")
    failed = stored(job)
    assert (failed.state, failed.attempts) == (JobState.FAILED, 1)
    assert failed.finished_at is not None
    bells.clear()
    jobs.retry(failed)
    again = stored(job)
    assert (again.state, again.attempts, again.error, again.finished_at) == (
        JobState.QUEUED, 0, None, None,
    )  # fmt: skip
    assert bells == [("quick", Priority.HIGH)]


def test_what_completed_or_runs_cannot_be_retried() -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    with pytest.raises(InvalidTransition):
        jobs.retry(stored(job))
    jobs.complete(job)
    with pytest.raises(InvalidTransition):
        jobs.retry(stored(job))


def test_retry_of_old_work_that_runs_again_already_is_refused_not_doubled() -> None:
    jobs.create("probe", "probe:1")
    old = claim()
    jobs.fail(old, "no", code="no")
    newer = jobs.create("probe", "probe:1")
    with pytest.raises(InvalidTransition):
        jobs.retry(stored(old))
    assert [job.id for job in Job.select().where(Job.state == JobState.QUEUED)] == [newer.id]


# What others see


def test_progress_never_goes_backwards_within_a_try() -> None:
    jobs.create("probe", "probe:1")
    job = claim()
    jobs.report(job, stage="Encoding", progress=0.5, eta_s=10)
    jobs.report(job, stage="Encoding", progress=0.4, eta_s=12)
    assert stored(job).progress == 0.5
    jobs.report(job, stage="Encoding", progress=7)
    assert stored(job).progress == 1.0


def test_every_move_of_a_job_is_told_in_the_same_transaction() -> None:
    video = make_video()
    jobs.create("probe", "probe:1", video=video)
    job = claim()
    jobs.report(job, stage="Reading", progress=0.5)
    jobs.complete(job)
    told = list(Event.select().order_by(Event.id))
    assert [event.type for event in told] == [
        "job.queued", "job.started", "job.progress", "job.completed",
    ]  # fmt: skip
    assert {event.data["video_id"] for event in told} == {video.public_id}
    assert told[-1].data["state"] == "completed"


def test_what_is_due_is_rung_for_again(bells: list[tuple[str, int]]) -> None:
    jobs.create("probe", "a", priority=Priority.LOW)
    jobs.create("probe", "b", priority=Priority.HIGH)
    jobs.create("encode", "c")
    jobs.create("publish", "d", run_after=now() + timedelta(hours=1))
    bells.clear()
    assert jobs.ring_due() == ["media", "quick"]
    assert sorted(bells) == [("media", Priority.NORMAL), ("quick", Priority.HIGH)]


def test_only_old_ended_jobs_are_pruned() -> None:
    for key in ("old", "new", "live"):
        jobs.create("probe", key)
        if key != "live":
            jobs.complete(claim())
    Job.update(finished_at=now() - timedelta(days=8)).where(Job.key == "old").execute()
    assert jobs.prune(older_than=now() - timedelta(days=7)) == 1
    assert {job.key for job in Job.select()} == {"new", "live"}


def test_a_claim_waits_for_another_writer_instead_of_failing(settings: Any) -> None:
    jobs.create("probe", "probe:1")
    with closing(
        sqlite3.connect(settings.database_path, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        assert claim().key == "probe:1"


def test_no_move_of_a_job_reads_the_whole_ledger() -> None:
    with looking_at_plans() as steps:
        jobs.create("probe", "a")
        jobs.create("probe", "a", priority=Priority.HIGH)
        jobs.ring_due()
        jobs.ring_due(night=False)
        jobs.complete(claim())
        jobs.expired()
    assert any("job_live_key" in step for step in steps)
    assert any("job_line" in step for step in steps)
    assert not [step for step in steps if "SCAN" in step]


def test_progress_goes_back_only_when_another_way_begins() -> None:
    jobs.create("probe", "a")
    job = claim()
    jobs.report(job, stage="Encoding", progress=0.95)
    jobs.report(job, stage="Encoding", progress=0.1)
    assert Job.get().progress == 0.95
    jobs.begin_anew(job)
    jobs.report(job, stage="Encoding", progress=0.1)
    assert (Job.get().progress, job.progress) == (0.1, 0.1)
    Job.update(fence=Job.fence + 1).execute()
    with pytest.raises(LeaseLost):
        jobs.begin_anew(job)
