"""Jobs over the API: what is listed for whom, the numbers, and what may be pressed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import jobs
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.models import Job, Priority, Role, User, Visibility
from appliance.states import JobState
from tests.factories import make_video
from tests.web.serving import add_user, prepare, script, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


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
        with database.connection_context():
            seen_by = Visibility.PRIVATE if private else Visibility.TEAM
            video = make_video(self.editor, visibility=seen_by)
            job = jobs.create(kind, f"{kind}:{video.public_id}", video=video)
            if columns:
                Job.update(columns).where(Job.id == job.id).execute()
            return Job.get_by_id(job.id)


@pytest.fixture
def box(settings: Settings) -> Iterator[Box]:
    prepare(settings)
    with serving(settings) as url:
        yield Box(url)


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
    with database.connection_context():
        video_id = Job.get_by_id(probe.id).video.public_id
    assert job_ids(box.get(box.viewer, f"/api/v1/jobs?video_id={video_id}")) == [probe.public_id]


def test_jobs_of_private_videos_are_their_owners_and_admins(box: Box) -> None:
    job = box.job(private=True)
    with database.connection_context():
        ours = jobs.create("probe", "of no video")
    assert job_ids(box.get(box.owner, "/api/v1/jobs")) == [ours.public_id, job.public_id]
    assert job_ids(box.get(box.editor, "/api/v1/jobs")) == [job.public_id]
    assert job_ids(box.get(box.viewer, "/api/v1/jobs")) == []
    with script(box.url, box.viewer) as client:
        assert client.get(f"/api/v1/jobs/{job.public_id}").status_code == 404


def test_stats_count_kinds_and_name_failures_newest_first(box: Box) -> None:
    at = now()
    box.job()
    box.job("encode", state=JobState.RUNNING)
    for took_s in (1.0, 3.0):
        box.job(
            "poster",
            state=JobState.COMPLETED,
            started_at=at - timedelta(seconds=took_s),
            finished_at=at,
        )
    older = box.job(state=JobState.FAILED, finished_at=at - timedelta(hours=1), error="Old.")
    newer = box.job(state=JobState.FAILED, finished_at=at, error="New.")
    stats = box.get(box.viewer, "/api/v1/jobs/stats")
    kinds = {kind["kind"]: kind for kind in stats["kinds"]}
    assert list(kinds) == list(jobs.KINDS)
    assert (kinds["probe"]["pending"], kinds["probe"]["failed"]) == (1, 2)
    assert kinds["encode"]["running"] == 1
    assert kinds["poster"]["completed"] == 2
    assert kinds["poster"]["mean_duration_s"] == pytest.approx(2.0, abs=0.01)
    assert kinds["remux"]["mean_duration_s"] is None
    assert [job["job_id"] for job in stats["failed"]] == [newer.public_id, older.public_id]
    assert stats["failed"][0]["error"] == "New."


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
