"""Jobs over the API: what is listed for whom, the numbers, and what may be pressed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import jobs
from appliance.access import Scope
from appliance.clock import now
from appliance.job_kinds import KINDS
from appliance.models import Job, JobDay, JobSample, Priority, Role, User, Visibility
from appliance.states import JobState
from tests.factories import make_video
from tests.web.serving import add_user, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.web.serving import Served


FUTURE = now() + timedelta(days=1)


class Box:
    def __init__(self, url: str) -> None:
        self.url = url
        self.owner = add_user()
        self.editor = add_user("editor@example.org", Role.EDITOR)
        self.viewer = add_user("viewer@example.org", Role.VIEWER)

    def get(self, user: User, path: str) -> Any:
        with script(self.url, user) as client:
            answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, user: User, path: str) -> httpx.Response:
        with script(self.url, user) as client:
            return client.post(path)

    def job(self, kind: str = "probe", *, private: bool = False, **columns: Any) -> Job:
        seen_by = Visibility.PRIVATE if private else Visibility.TEAM
        video = make_video(self.editor, visibility=seen_by)
        job = jobs.create(kind, f"{kind}:{video.public_id}", video=video)
        if columns:
            Job.update(columns).where(Job.id == job.id).execute()
        return Job.get_by_id(job.id)


@pytest.fixture
def box(one_server: Served) -> Box:
    return Box(one_server.url)


def job_ids(answer: Any) -> list[str]:
    return [item["job_id"] for item in answer["items"]]


def test_job_has_the_shape_that_scripts_rely_on(box: Box) -> None:
    job = box.job(progress=0.5, stage="Reading", eta_s=2.0)
    shape = box.get(box.viewer, f"/api/v1/jobs/{job.public_id}")
    assert shape["kind"] == "probe"
    assert shape["label"] == "Check the file"
    assert shape["priority"] == "high"
    assert (shape["state"], shape["stage"], shape["progress"]) == ("queued", "Reading", 0.5)
    assert (shape["attempts"], shape["max_attempts"], shape["error"]) == (0, 3, None)
    assert len(shape["video_id"]) == 26


def test_jobs_are_listed_newest_first_in_pages(box: Box) -> None:
    made = [box.job().public_id for _ in range(3)]
    first = box.get(box.viewer, "/api/v1/jobs?limit=2")
    second = box.get(box.viewer, f"/api/v1/jobs?limit=2&cursor={first['next_cursor']}")
    assert job_ids(first) + job_ids(second) == made[::-1]
    assert second["next_cursor"] is None


def test_jobs_are_found_by_state_kind_and_video(box: Box) -> None:
    probe, poster = box.job(), box.job("poster", state=JobState.FAILED)
    assert job_ids(box.get(box.viewer, "/api/v1/jobs?state=failed")) == [poster.public_id]
    assert job_ids(box.get(box.viewer, "/api/v1/jobs?kind=probe")) == [probe.public_id]
    video_id = Job.get_by_id(probe.id).video.public_id
    assert job_ids(box.get(box.viewer, f"/api/v1/jobs?video_id={video_id}")) == [probe.public_id]


def test_jobs_of_private_videos_are_their_owners_and_admins(box: Box) -> None:
    job = box.job(private=True)
    ours = jobs.create("probe", "of no video")
    assert job_ids(box.get(box.owner, "/api/v1/jobs")) == [ours.public_id, job.public_id]
    assert job_ids(box.get(box.editor, "/api/v1/jobs")) == [job.public_id]
    assert job_ids(box.get(box.viewer, "/api/v1/jobs")) == []
    with script(box.url, box.viewer) as client:
        assert client.get(f"/api/v1/jobs/{job.public_id}").status_code == 404


def run(took_s: float, end: Callable[[Job], None]) -> None:
    """Claim what waits in the quick queue, and end it after so long."""
    job = jobs.claim("quick", "quick:1", lease_s=30)
    assert job is not None
    Job.update(started_at=now() - timedelta(seconds=took_s)).where(Job.id == job.id).execute()
    end(job)


def test_stats_outlive_the_jobs(box: Box) -> None:
    for took_s in (1.0, 3.0):
        box.job("poster")
        run(took_s, jobs.complete)
    box.job("poster")
    run(9.0, lambda job: jobs.fail(job, "No picture.", code="no_poster"))
    assert jobs.prune(older_than=now() + timedelta(days=1)) == 3
    JobDay.create(day="2020-01-01", kind="poster", completed=7, seconds=700.0)
    box.job()
    box.job("encode", state=JobState.RUNNING)
    stats = box.get(box.viewer, "/api/v1/jobs/stats")
    kinds = {kind["kind"]: kind for kind in stats["kinds"]}
    assert list(kinds) == list(KINDS)
    assert (kinds["probe"]["pending"], kinds["encode"]["running"]) == (1, 1)
    poster = kinds["poster"]
    assert (poster["completed"], poster["failed"], poster["pending"]) == (2, 1, 0)
    assert poster["mean_duration_s"] == pytest.approx(2.0, abs=0.1)
    assert kinds["remux"]["mean_duration_s"] is None
    for period in ("today", "last_7_days", "last_30_days"):
        assert stats[period] == {"completed": 2, "failed": 1, "cancelled": 0}


def test_failures_are_named_newest_first_and_counted_by_reason(box: Box) -> None:
    at = now()
    ended = [(3, "slow", "Old."), (2, "broken", "Broken."), (1, "slow", "New.")]
    made = [
        box.job(
            state=JobState.FAILED,
            finished_at=at - timedelta(hours=hours),
            error_code=code,
            error=error,
        ).public_id
        for hours, code, error in ended
    ]
    stats = box.get(box.viewer, "/api/v1/jobs/stats")
    assert [job["job_id"] for job in stats["failed"]] == made[::-1]
    assert stats["reasons"] == [
        {"code": "slow", "error": "New.", "number": 2},
        {"code": "broken", "error": "Broken.", "number": 1},
    ]


def test_tries_are_told_newest_first(box: Box) -> None:
    job = box.job("poster")
    run(5.0, lambda job: jobs.retry_later(job, "Slow.", delay_s=0, code="slow", detail="words"))
    run(2.0, jobs.complete)
    runs = box.get(box.viewer, f"/api/v1/jobs/{job.public_id}")["runs"]
    assert [run["outcome"] for run in runs] == ["completed", "retried"]
    last = runs[-1]
    assert (last["error"], last["error_code"], last["detail"]) == ("Slow.", "slow", "words")
    assert last["worker"] == "quick:1" and last["seconds"] >= 0
    assert "runs" not in box.get(box.viewer, "/api/v1/jobs")["items"][0]


@pytest.mark.parametrize(
    ("columns", "waits_for"),
    [
        ({}, "turn"),
        ({"stage": "Waiting for space", "run_after": FUTURE}, "space"),
        ({"attempts": 1, "run_after": FUTURE}, "retry"),
        ({"run_after": FUTURE}, "time"),
        ({"only_at_night": True}, "night"),
        ({"state": JobState.RUNNING}, None),
    ],
)
def test_what_a_job_waits_for_is_said(
    box: Box, columns: dict[str, Any], waits_for: str | None
) -> None:
    job = box.job("encode", **columns)
    assert box.get(box.viewer, f"/api/v1/jobs/{job.public_id}")["waits_for"] == waits_for


def test_time_left_is_a_range_and_counts_who_comes_first(box: Box) -> None:
    for _ in range(5):
        JobSample.create(kind="encode", profile="", work=10.0, seconds=100.0)
    begun = now() - timedelta(seconds=50)
    running = box.job(
        "encode", state=JobState.RUNNING, started_at=begun, progress=0.5, work=10.0, cores=64.0
    )
    waiting = box.job("encode", work=10.0, cores=64.0)
    first, second = (
        box.get(box.viewer, f"/api/v1/jobs/{job.public_id}") for job in (running, waiting)
    )
    assert first["eta_low_s"] < first["eta_s"] < first["eta_high_s"]
    assert first["eta_s"] == pytest.approx(50, rel=0.2)
    assert (first["place"], first["starts_after_s"]) == (None, None)
    assert second["place"] == 1
    assert second["starts_after_s"] == pytest.approx(50, rel=0.2)
    assert second["eta_low_s"] < second["eta_s"] < second["eta_high_s"]
    assert second["eta_s"] == pytest.approx(150, rel=0.2)


def test_all_failed_and_all_waiting_are_one_press(box: Box) -> None:
    hopeful = box.job("encode", state=JobState.FAILED, error_code="encoder_crashed")
    box.job(state=JobState.FAILED, error_code="too_small")
    post = box.job("publish")
    running = box.job("poster", state=JobState.RUNNING)
    answer = box.post(box.editor, "/api/v1/jobs/retry-failed")
    assert (answer.status_code, answer.json()) == (202, {"done": 1, "left": 0})
    shown = box.get(box.viewer, f"/api/v1/jobs/{hopeful.public_id}")
    assert shown["state"] == "queued"
    answer = box.post(box.editor, "/api/v1/jobs/cancel-waiting")
    assert (answer.status_code, answer.json()) == (202, {"done": 1, "left": 0})
    states = {
        job.public_id: box.get(box.viewer, f"/api/v1/jobs/{job.public_id}")["state"]
        for job in (hopeful, post, running)
    }
    assert list(states.values()) == ["cancelled", "queued", "running"]


def test_waiting_job_is_cancelled_at_once(box: Box) -> None:
    job = box.job("poster")
    answer = box.post(box.editor, f"/api/v1/jobs/{job.public_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    again = box.post(box.editor, f"/api/v1/jobs/{job.public_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")


def test_running_job_is_asked_to_stop(box: Box) -> None:
    job = box.job("poster", state=JobState.RUNNING)
    shape = box.post(box.editor, f"/api/v1/jobs/{job.public_id}/cancel").json()
    assert (shape["state"], shape["cancel_requested"]) == ("running", True)


def test_failed_job_is_tried_again_from_the_start(box: Box) -> None:
    job = box.job("poster", state=JobState.FAILED, attempts=3, error="It broke.")
    shape = box.post(box.editor, f"/api/v1/jobs/{job.public_id}/retry").json()
    assert (shape["state"], shape["attempts"], shape["error"]) == ("queued", 0, None)
    again = box.post(box.editor, f"/api/v1/jobs/{job.public_id}/retry")
    assert again.status_code == 409


def test_viewers_press_nothing(box: Box) -> None:
    job = box.job("poster")
    for what in ("cancel", "retry"):
        assert box.post(box.viewer, f"/api/v1/jobs/{job.public_id}/{what}").status_code == 403


@pytest.mark.parametrize("what", ["cancel", "retry"])
def test_token_that_may_not_post_leaves_posts_alone(box: Box, what: str) -> None:
    job = box.job("publish", state=JobState.QUEUED if what == "cancel" else JobState.FAILED)
    with script(box.url, box.editor, [Scope.READ, Scope.WRITE]) as client:
        answer = client.post(f"/api/v1/jobs/{job.public_id}/{what}")
    assert (answer.status_code, "“post”" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize("query", ["state=x", "kind=x", "limit=0", "cursor=x"])
def test_bad_query_is_refused_by_name(box: Box, query: str) -> None:
    with script(box.url, box.viewer) as client:
        answer = client.get(f"/api/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, query.partition("=")[0])


@pytest.mark.parametrize(
    ("priority", "word"), [(Priority.LOW, "low"), (Priority.NORMAL, "normal"), (99, "high")]
)
def test_priorities_have_words(priority: int, word: str) -> None:
    from web.api_shapes import priority_word

    assert priority_word(priority) == word
