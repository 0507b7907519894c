"""Tries that are written down with the moves of a job, and days that are counted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import job_log, jobs
from appliance.clock import boottime_s, now
from appliance.db import transaction
from appliance.jobs import LeaseLost
from appliance.models import Job, JobDay, JobRun

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("db")


def claimed(owner: str = "quick:1") -> Job:
    job = jobs.claim("quick", owner, lease_s=30)
    assert job is not None
    return job


def runs() -> list[JobRun]:
    return list(JobRun.select().order_by(JobRun.id))


@pytest.mark.parametrize(
    ("end", "outcome", "day"),
    [
        (jobs.complete, "completed", (1, 0, 0)),
        (lambda job: jobs.fail(job, "No.", code="no"), "failed", (0, 1, 0)),
        (lambda job: jobs.retry_later(job, "No.", delay_s=0, code="no"), "retried", None),
        (jobs.put_back, "put_back", None),
        (lambda job: jobs.put_back(job, ending=job_log.Ending.STOPPED), "stopped", None),
        (jobs.cancelled, "cancelled", (0, 0, 1)),
        (jobs.take_back, "lost", None),
    ],
)
def test_every_end_is_written_down(
    end: Callable[[Job], Any], outcome: str, day: tuple[int, int, int] | None
) -> None:
    jobs.create("probe", "probe:1")
    job = claimed()
    assert [(run.outcome, run.ended_at) for run in runs()] == [("", None)]
    jobs.report(job, stage="Reading", progress=0.5)
    end(job)
    (run,) = runs()
    assert (run.outcome, run.worker, run.fence) == (outcome, "quick:1", job.fence)
    assert (run.stage, run.progress) == ("Reading", 0.5)
    assert run.ended_at is not None and run.ended_at >= run.started_at
    days = [(row.completed, row.failed, row.cancelled) for row in JobDay.select()]
    assert days == ([day] if day else [])


def test_who_lost_the_job_writes_nothing_into_its_log() -> None:
    jobs.create("probe", "probe:1")
    late = claimed("late")
    Job.update(lease_until=boottime_s() - 1).execute()
    assert jobs.take_back(jobs.expired()[0])
    current = claimed("current")
    with pytest.raises(LeaseLost), transaction():
        jobs.fail(late, "Too late.", code="late")
    assert [(run.worker, run.outcome) for run in runs()] == [("late", "lost"), ("current", "")]
    jobs.complete(current)
    assert [run.outcome for run in runs()] == ["lost", "completed"]


def test_of_what_waits_for_long_only_the_last_tries_are_kept() -> None:
    jobs.create("probe", "probe:1")
    jobs.retry_later(claimed(), "Slow.", delay_s=0, code="slow")
    for _ in range(job_log.KEPT_PUT_BACK + 5):
        jobs.put_back(claimed())
    assert [run.outcome for run in runs()] == ["retried"] + ["put_back"] * job_log.KEPT_PUT_BACK
    assert runs()[-1].fence == job_log.KEPT_PUT_BACK + 6


def test_tries_go_with_their_job_and_days_stay() -> None:
    for key, took_s in (("a", 2.0), ("b", 4.0)):
        jobs.create("probe", key)
        job = claimed()
        Job.update(started_at=now() - timedelta(seconds=took_s)).where(Job.id == job.id).execute()
        jobs.complete(job)
    jobs.cancel(jobs.create("probe", "c"))  # it never began
    assert jobs.prune(older_than=now() + timedelta(days=1)) == 3
    assert runs() == []
    (day,) = JobDay.select()
    assert (day.kind, day.completed, day.cancelled) == ("probe", 2, 1)
    assert day.seconds == pytest.approx(6.0, abs=0.5)


def test_a_clock_that_was_set_back_takes_nothing_off() -> None:
    jobs.create("probe", "probe:1")
    job = claimed()
    Job.update(started_at=now() + timedelta(days=1)).execute()
    jobs.complete(job)
    assert JobDay.get().seconds == 0.0


def test_retry_by_a_person_forgets_what_counted() -> None:
    jobs.create("probe", "probe:1")
    stalled = job_log.Ending.STALLED
    jobs.retry_later(claimed(), "It stood still.", delay_s=0, code="stalled", ending=stalled)
    job = claimed()
    assert (job.stalls, job_log.codes_of_errors(job)) == (1, ["stalled"])
    jobs.fail(job, "It stood still.", code="stalled", ending=stalled)
    jobs.retry(Job.get_by_id(job.id))
    job = claimed()
    assert (job.stalls, job_log.codes_of_errors(job)) == (0, [])
