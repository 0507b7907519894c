"""One press for many jobs."""

from __future__ import annotations

import pytest

from appliance import access, jobs
from appliance.models import Job, Role
from appliance.states import JobState
from tasks import many_jobs
from tests.factories import make_user
from tests.plans import looking_at_plans
from web import job_rows

pytestmark = pytest.mark.usefixtures("db")


def failed(key: str, code: str | None = "stalled") -> Job:
    job = jobs.create("tidy", key)
    columns = {"state": JobState.FAILED, "error_code": code, "error": "It failed."}
    Job.update(**columns).where(Job.id == job.id).execute()
    return Job.get_by_id(job.id)


def test_older_failures_are_reached_although_newer_ones_were_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(many_jobs, "MOST", 2)
    admin = make_user("admin@example.org", Role.ADMIN)
    hopeless = failed("0", "not_a_video")
    older = [failed(key, code) for key, code in (("a", None), ("b", "stalled"), ("c", "stalled"))]
    for key in "xyz":
        failed(key)
        jobs.create("tidy", key)  # does the same by now
    pressed = many_jobs.retry_failed(access.visible_jobs(admin), admin)
    assert (pressed.done, pressed.left) == (2, 1)
    states = [Job.get_by_id(job.id).state for job in (hopeless, *older)]
    assert states == [JobState.FAILED, JobState.FAILED, JobState.QUEUED, JobState.QUEUED]
    pressed = many_jobs.retry_failed(access.visible_jobs(admin), admin)
    assert (pressed.done, pressed.left) == (1, 0)


def test_jobs_are_counted_from_an_index_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_rows, "COUNTED", 3)
    admin = make_user("admin@example.org", Role.ADMIN)
    for number in range(6):
        jobs.create("publish" if number % 2 else "probe", str(number))
    failed("f", "not_a_video")
    with looking_at_plans() as steps:
        counts = job_rows.count_jobs(admin)
    assert (counts.failed, counts.hopeful, counts.running) == (1, 0, 0)
    assert (counts.told(counts.waiting), counts.told(counts.failed)) == ("3+", "1")
    of_jobs = [step for step in steps if "job" in step]
    assert of_jobs and all("job_state_finished_at" in step for step in of_jobs)


def test_the_statistics_tell_what_waits_by_kind() -> None:
    admin = make_user("admin@example.org", Role.ADMIN)
    for number in range(3):
        jobs.create("encode", str(number))
    jobs.claim("media", "me", lease_s=60)
    (kind,) = job_rows.load_statistics(admin).kinds
    assert (kind.label, kind.waiting, kind.running, kind.completed) == (
        "Encode for posting", 2, 1, 0,
    )  # fmt: skip
