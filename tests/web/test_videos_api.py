"""Videos over the API: what is listed for whom, and what may be changed."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import jobs
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.models import Job, PublicLink, Rendition, Role, User, Video, Visibility
from appliance.states import RenditionState, VideoState
from storage.layout import Layout
from tests.factories import make_video
from tests.tasks.test_plan import FITS
from tests.web.serving import Served, add_user, browser, prepare, script, served
from web import cursors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


class Box:
    """A served box with an owner, an editor and a viewer, and a client for each."""

    def __init__(self, running: Served) -> None:
        self.url = running.url
        self.settings = running.settings
        self.layout = Layout(running.settings.data)
        self.users = {
            role: add_user(f"{role}@example.org", Role(role))
            for role in ("owner", "editor", "viewer")
        }
        self.clients = {name: script(self.url, user) for name, user in self.users.items()}

    def __getitem__(self, role: str) -> httpx.Client:
        return self.clients[role]

    def video(self, owner: str | User | None = "editor", **columns: Any) -> Video:
        user = self.users[owner] if isinstance(owner, str) else owner
        with database.connection_context():
            return make_video(user, **columns)

    def rendition(self, video: Video, **columns: Any) -> Rendition:
        with database.connection_context():
            return Rendition.create(video=video, profile="social", recipe="1", **columns)


@pytest.fixture
def box(settings: Settings) -> Iterator[Box]:
    prepare(settings)
    with served(settings) as running:
        box = Box(running)
        yield box
        for client in box.clients.values():
            client.close()


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["video_id"] for item in answer.json()["items"]]


# Listing


def test_list_is_newest_first_in_pages_without_gap_or_double(box: Box) -> None:
    made = [box.video(title=f"Film {n}").public_id for n in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        answer = box["viewer"].get("/api/v1/videos", params=query)
        seen += ids(answer)
        if len(seen) == 3:
            box.video(title="Came in between")
        if (cursor := answer.json()["next_cursor"]) is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "cursor=nonsense",
        "cursor=%00",
        "limit=0",
        "limit=101",
        "limit=many",
        "state=lost",
        "social_ready_status=done",
    ],
)
def test_bad_query_is_refused_by_name(box: Box, query: str) -> None:
    answer = box["viewer"].get(f"/api/v1/videos?{query}")
    assert answer.status_code == 422
    assert answer.json()["field"] == query.partition("=")[0]


def test_private_videos_are_listed_for_their_owner_and_admins(box: Box) -> None:
    private = box.video(visibility=Visibility.PRIVATE).public_id
    assert ids(box["editor"].get("/api/v1/videos")) == [private]
    assert ids(box["owner"].get("/api/v1/videos")) == [private]
    assert ids(box["viewer"].get("/api/v1/videos")) == []
    for path in ("", "/status"):
        assert box["viewer"].get(f"/api/v1/videos/{private}{path}").status_code == 404


def test_search_finds_beginnings_of_words_and_takes_any_text(box: Box) -> None:
    summer = box.video(title="Summer in Zürich").public_id
    box.video(title="Winter")

    def search(words: str) -> list[str]:
        return ids(box["viewer"].get("/api/v1/videos", params={"q": words}))

    assert search("summ zür") == [summer]
    assert search("title:summer") == []
    assert search('"') == search("")
    assert search("NEAR( * OR") == []


def test_filters(box: Box) -> None:
    ready = box.video(state=VideoState.READY)
    box.rendition(ready, state=RenditionState.READY, ready_at=now())
    failed = box.video("owner", state=VideoState.FAILED, error="Not a video.")
    fresh = box.video(state=VideoState.RECEIVED)
    binned = box.video(state=VideoState.TRASHED)
    get = box["viewer"].get
    assert ids(get("/api/v1/videos?state=ready")) == [ready.public_id]
    assert ids(get("/api/v1/videos?state=trashed")) == [binned.public_id]
    assert ids(get("/api/v1/videos?social_ready_status=ready")) == [ready.public_id]
    assert ids(get("/api/v1/videos?social_ready_status=failed")) == [failed.public_id]
    assert ids(get("/api/v1/videos?social_ready_status=pending")) == [fresh.public_id]
    assert ids(get("/api/v1/videos?social_ready_status=processing")) == []
    owner = box.users["owner"].public_id
    assert ids(get(f"/api/v1/videos?owner={owner}")) == [failed.public_id]
    assert ids(get("/api/v1/videos?owner=me")) == []
    assert ids(get("/api/v1/videos?owner=nobody")) == []


def test_list_runs_as_many_queries_for_fifty_videos_as_for_two(box: Box) -> None:
    def count() -> int:
        seen: list[str] = []
        handler = logging.Handler()
        # What beside the request asks the database (the watcher of events) is not counted.
        handler.addFilter(lambda record: "live" not in record.threadName)
        handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("peewee")
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            assert box["editor"].get("/api/v1/videos").status_code == 200
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
        return sum("SELECT" in line for line in seen)

    def add(number: int) -> None:
        with database.connection_context(), database.atomic():
            for _ in range(number):
                video = make_video(box.users["editor"], state=VideoState.PROCESSING)
                rendition = Rendition.create(video=video, profile="social", recipe="1")
                jobs.create("encode", f"encode:{video.id}", video=video, rendition=rendition)

    add(2)
    box["editor"].get("/api/v1/videos")
    few = count()
    add(48)
    assert count() == few
    assert few <= 14  # seven of them for the time that is left


# One


def test_shape_of_a_ready_video(box: Box) -> None:
    video = box.video(state=VideoState.READY, duration_s=2.0, width=160, height=120)
    box.rendition(video, state=RenditionState.READY, ready_at=now())
    shape = box["viewer"].get(f"/api/v1/videos/{video.public_id}").json()
    assert shape["owner"]["name"] == "editor"
    assert shape["social_ready_status"] == "ready"
    assert shape["social_ready_progress"] == 1.0
    assert shape["social_ready_url"].startswith(f"{box.settings.base_url}/public/")
    assert shape["created_at"].endswith("Z")
    path = box.layout.rendition(video.public_id, "social")
    path.parent.mkdir()
    path.write_bytes(b"the rendition")
    assert httpx.get(shape["social_ready_url"]).content == b"the rendition"


def test_reading_mints_no_rows(box: Box) -> None:
    video = box.video(state=VideoState.READY)
    box.rendition(video, state=RenditionState.READY, ready_at=now())
    for _ in range(3):
        box["viewer"].get(f"/api/v1/videos/{video.public_id}")
    with database.connection_context():
        assert PublicLink.select().count() == 0


def test_progress_is_that_of_the_job(box: Box) -> None:
    video = box.video(state=VideoState.PROCESSING)
    rendition = box.rendition(video, state=RenditionState.PROCESSING)
    with database.connection_context():
        job = jobs.create("encode", "encode:1", video=video, rendition=rendition)
        Job.update(progress=0.42, eta_s=30.0).where(Job.id == job.id).execute()
    shape = box["viewer"].get(f"/api/v1/videos/{video.public_id}").json()
    assert (shape["social_ready_progress"], shape["social_ready_eta_s"]) == (0.42, 30.0)
    assert shape["social_ready_url"] is None


# Changing


def test_edit_changes_what_is_given_and_nothing_else(box: Box) -> None:
    video = box.video(description="Old words")
    answer = box["editor"].patch(
        f"/api/v1/videos/{video.public_id}", json={"title": " New\u202e title "}
    )
    assert answer.json()["title"] == "New title"
    assert answer.json()["description"] == "Old words"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"titel": "x"}, 422, "titel"),
        ({"title": 5}, 422, "title"),
        ({"title": ""}, 422, "title"),
        ({"visibility": "all"}, 422, "visibility"),
        ({"social_ready_status": "ready"}, 422, "social_ready_status"),
        ([], 422, None),
        (None, 422, None),
    ],
)
def test_bad_body_is_refused_by_name(box: Box, body: Any, status: int, field: str | None) -> None:
    video = box.video()
    path = f"/api/v1/videos/{video.public_id}"
    answer = box["editor"].patch(path) if body is None else box["editor"].patch(path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().get("field") == field
    assert answer.json()["code"] == "invalid_input"


def test_body_that_is_no_json(box: Box) -> None:
    answer = box["editor"].patch(
        f"/api/v1/videos/{box.video().public_id}",
        content=b"{title",
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")


def test_only_owner_and_admins_say_who_sees_a_video(box: Box) -> None:
    path = f"/api/v1/videos/{box.video('owner').public_id}"
    assert box["editor"].patch(path, json={"visibility": "private"}).status_code == 403
    assert box["owner"].patch(path, json={"visibility": "private"}).status_code == 200
    assert box["editor"].get(path).status_code == 404


@pytest.mark.parametrize("how", ["patch", "post"])
def test_retry_makes_a_failed_rendition_wait_again(box: Box, how: str) -> None:
    video = box.video(
        state=VideoState.FAILED, facts=FITS.to_dict(), received_at=now(), error="It broke."
    )
    box.rendition(video, state=RenditionState.FAILED, error="It broke.")
    path = f"/api/v1/videos/{video.public_id}"
    if how == "patch":
        answer = box["editor"].patch(path, json={"social_ready_status": "pending"})
        assert answer.status_code == 200
    else:
        answer = box["editor"].post(f"{path}/retry")
        assert answer.status_code == 202
    assert answer.json()["social_ready_status"] == "pending"
    assert answer.json()["social_ready_error"] is None
    with database.connection_context():
        kinds = [job.kind for job in Job.select().where(Job.rendition.is_null(False))]
    assert len(kinds) == 1


def test_a_ready_rendition_stays_ready_while_it_is_made_again(box: Box) -> None:
    video = box.video(facts=FITS.to_dict(), received_at=now(), poster_version=1)
    box.rendition(video, state=RenditionState.READY)
    path = f"/api/v1/videos/{video.public_id}"
    for _ in range(2):
        answer = box["editor"].patch(path, json={"social_ready_status": "pending"})
        assert answer.status_code == 200
        assert answer.json()["social_ready_status"] == "ready"
    with database.connection_context():
        (job,) = Job.select().where(Job.rendition.is_null(False))
        assert job.priority == 90 and job.payload["although_current"] is True


def test_retry_of_what_never_arrived_is_a_conflict(box: Box) -> None:
    video = box.video(state=VideoState.UPLOADING)
    answer = box["editor"].post(f"/api/v1/videos/{video.public_id}/retry")
    assert answer.status_code == 409


def test_delete_and_restore_take_the_files_along(box: Box) -> None:
    video = box.video(state=VideoState.READY)
    original = box.layout.original(video.public_id)
    original.parent.mkdir()
    original.write_bytes(b"bytes")
    path = f"/api/v1/videos/{video.public_id}"
    assert box["editor"].delete(path).status_code == 204
    assert box["editor"].get(path).status_code == 404
    assert not original.exists()
    answer = box["editor"].post(f"{path}/restore")
    assert (answer.status_code, answer.json()["state"]) == (200, "ready")
    assert original.read_bytes() == b"bytes"


def test_editors_delete_what_is_theirs(box: Box) -> None:
    path = f"/api/v1/videos/{box.video('owner').public_id}"
    assert box["editor"].delete(path).status_code == 403
    assert box["owner"].delete(path).status_code == 204
    assert box["editor"].post(f"{path}/restore").status_code == 403


def test_deleting_ends_the_public_address(box: Box) -> None:
    video = box.video(state=VideoState.READY)
    box.rendition(video, state=RenditionState.READY, ready_at=now())
    path = box.layout.rendition(video.public_id, "social")
    path.parent.mkdir()
    path.write_bytes(b"the rendition")
    url = box["owner"].get(f"/api/v1/videos/{video.public_id}").json()["social_ready_url"]
    assert httpx.get(url).status_code == 200
    box["owner"].delete(f"/api/v1/videos/{video.public_id}")
    box["owner"].post(f"/api/v1/videos/{video.public_id}/restore")
    assert httpx.get(url).status_code == 404


# How far it is


def status(box: Box, video: Video) -> tuple[dict[str, Any], httpx.Response]:
    answer = box["viewer"].get(f"/api/v1/videos/{video.public_id}/status")
    assert answer.status_code == 200, answer.text
    return answer.json(), answer


def test_status_says_when_to_look_again_until_nothing_more_happens(box: Box) -> None:
    video = box.video(state=VideoState.PROCESSING)
    rendition = box.rendition(video, state=RenditionState.PROCESSING)
    with database.connection_context():
        job = jobs.create("encode", "encode:1", video=video, rendition=rendition)
    found, answer = status(box, video)
    assert [work["kind"] for work in found["jobs"]] == ["encode"]
    assert (found["poll_after_s"], answer.headers["retry-after"]) == (3, "3")
    with database.connection_context():
        jobs.cancel(job)
        Rendition.update(state=RenditionState.READY).execute()
        Video.update(state=VideoState.READY).execute()
    found, answer = status(box, video)
    assert found["poll_after_s"] is None
    assert "retry-after" not in answer.headers


def test_status_is_right_without_the_job_row(box: Box) -> None:
    """S3-14: the file decides; it stands at its place only when it is whole."""
    video = box.video(state=VideoState.PROCESSING)
    box.rendition(video, state=RenditionState.PROCESSING)
    assert status(box, video)[0]["social_ready_status"] == "pending"
    path = box.layout.rendition(video.public_id, "social")
    path.parent.mkdir()
    path.write_bytes(b"whole")
    found, _ = status(box, video)
    assert (found["social_ready_status"], found["social_ready_progress"]) == ("ready", 1.0)
    # The row follows soon, with the link: whoever polls is asked to come back for it.
    assert (found["social_ready_url"], found["poll_after_s"]) == (None, 3)


# Who may


def test_browser_session_works_beside_tokens(box: Box) -> None:
    box.video()
    with browser(box.url, box.users["viewer"]) as client:
        assert len(ids(client.get("/api/v1/videos"))) == 1


def test_token_with_too_little_scope_is_told_which(box: Box) -> None:
    with script(box.url, box.users["editor"], [Scope.READ]) as client:
        answer = client.delete(f"/api/v1/videos/{box.video().public_id}")
    assert answer.status_code == 403
    assert "“write”" in answer.json()["detail"]


def test_cursor_is_read_as_it_was_made() -> None:
    assert cursors.read(cursors.make(12345)) == 12345


def test_old_videos_keep_their_times(box: Box) -> None:
    then = now() - timedelta(days=400)
    video = box.video(created_at=then)
    shape = box["viewer"].get(f"/api/v1/videos/{video.public_id}").json()
    assert shape["created_at"][:10] == f"{then:%Y-%m-%d}"
