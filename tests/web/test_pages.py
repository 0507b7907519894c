"""The pages by HTTP: what is shown to whom, and what their forms do."""

from __future__ import annotations

import gzip
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import accounts, posts
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.models import Heartbeat, Job, JobRun, Post, Role, Video
from appliance.states import JobState, VideoState
from appliance.vault import open_vault
from tests.factories import make_video
from tests.seeding import Seeded, seed
from tests.web.serving import add_user, browser, prepare, send_form, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    prepare(settings)
    with serving(settings) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with browser(url, add_user()) as client:
        yield client


def _video(**columns: Any) -> Video:
    with database.connection_context():
        return make_video(**columns)


def _fresh(video: Video) -> Video:
    with database.connection_context():
        return Video.get_by_id(video.id)


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """All statements that any thread runs meanwhile."""
    run: list[str] = []
    inner = database.obj
    execute = type(inner).execute_sql

    def counting(self: Any, sql: str, *rest: Any, **named: Any) -> Any:
        run.append(sql)
        return execute(self, sql, *rest, **named)

    type(inner).execute_sql = counting
    try:
        yield run
    finally:
        type(inner).execute_sql = execute


def paths(made: Seeded) -> list[str]:
    ready = made.videos["ready"]
    return [
        "/", "/?view=list", "/?show=bin", "/?q=work", "/?sort=title", "/jobs", "/jobs?show=failed",
        "/posts", "/posts?show=posted",
        *(f"/videos/{id}" for id in made.videos.values()),
        *(f"/jobs/{id}" for id in made.jobs.values()),
        *(f"/posts/{id}" for id in made.posts.values()),
        f"/videos/{ready}/_card",
    ]  # fmt: skip


def test_all_pages_of_a_store_with_everything_in_it(settings: Settings) -> None:
    prepare(settings)
    made = seed(settings, further=2)
    with serving(settings) as url:
        with browser(url, made.owner) as owner:
            for path in [
                *paths(made),
                "/upload",
                "/record",
                f"/videos/{made.videos['ready']}/post",
            ]:
                answer = owner.get(path)
                assert answer.status_code == 200, path
                assert len(re.findall(r"<h1[ >]", answer.text)) == (0 if "_card" in path else 1), (
                    path
                )
                assert "style=" not in answer.text and "<script>" not in answer.text, path
        with browser(url, made.viewer) as viewer:
            for path in paths(made):
                private = made.videos["private"] in path
                answer = viewer.get(path)
                assert answer.status_code == (404 if private else 200), path
                # Somebody who may only look is offered nothing else.
                forms = re.findall(r'method="post" action="([^"]*)"', answer.text)
                assert forms == ([] if "_card" in path else ["/sign-out"]), path
                assert "Salary talk" not in answer.text, path


def test_library_needs_the_same_queries_for_few_and_for_many(
    url: str, client: httpx.Client
) -> None:
    _video(state=VideoState.READY)
    with counted_queries() as few:
        client.get("/")
    for _ in range(20):
        _video(state=VideoState.READY)
    with counted_queries() as many:
        client.get("/")
    selects = [[sql for sql in run if 'FROM "video"' in sql] for run in (few, many)]
    assert len(selects[0]) == len(selects[1]) <= 12


def test_texts_of_people_are_shown_as_text(client: httpx.Client) -> None:
    video = _video(title='<img src=x onerror="alert(1)">', state=VideoState.READY)
    for path in ("/", f"/videos/{video.public_id}", "/?q=%3Cimg"):
        answer = client.get(path)
        assert "<img src=x" not in answer.text
        assert "&lt;img src=x" in answer.text


def test_empty_title_keeps_what_was_typed_and_says_why(client: httpx.Client) -> None:
    video = _video(title="Before", state=VideoState.READY)
    answer = send_form(
        client, f"/videos/{video.public_id}/edit", title=" ", description="Typed long and well"
    )
    assert answer.status_code == 422
    assert "A video needs a title." in answer.text
    assert "Typed long and well" in answer.text
    assert _fresh(video).title == "Before"

    answer = send_form(client, f"/videos/{video.public_id}/edit", title="After")
    assert answer.status_code == 303
    assert _fresh(video).title == "After"


def test_delete_goes_to_the_bin_and_undo_brings_it_back(client: httpx.Client) -> None:
    video = _video(title="Oops", state=VideoState.READY)
    answer = send_form(client, f"/videos/{video.public_id}/delete")
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert "“Oops” is in the bin" in page.text
    assert f'action="/videos/{video.public_id}/restore"' in page.text
    assert _fresh(video).state is VideoState.TRASHED

    send_form(client, f"/videos/{video.public_id}/restore")
    assert _fresh(video).state is VideoState.READY


def test_card_of_a_video_that_has_gone_removes_itself(client: httpx.Client) -> None:
    video = _video(state=VideoState.TRASHED)
    answer = client.get(f"/videos/{video.public_id}/_card", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["hx-reswap"] == "delete"


def test_viewers_may_not_change_and_editors_not_delete_what_is_not_theirs(url: str) -> None:
    owner = add_user("o@example.org")
    video = _video(owner=owner, state=VideoState.READY)
    with browser(url, add_user("v@example.org", Role.VIEWER)) as viewer:
        for action in ("edit", "delete", "retry", "post"):
            answer = send_form(viewer, f"/videos/{video.public_id}/{action}", title="Mine now")
            assert answer.status_code == 403, action
    with browser(url, add_user("e@example.org", Role.EDITOR)) as editor:
        assert send_form(editor, f"/videos/{video.public_id}/delete").status_code == 403
        assert send_form(editor, f"/videos/{video.public_id}/edit", title="Better").is_redirect
    assert _fresh(video).title == "Better"


def _practice(settings: Settings) -> str:
    with database.connection_context():
        accounts.ensure_builtin(settings, open_vault(settings))
        return next(a.public_id for a in accounts.connected() if a.platform == "practice")


def test_form_that_comes_twice_makes_one_post(settings: Settings, client: httpx.Client) -> None:
    account = _practice(settings)
    video = _video(title="Once", state=VideoState.READY)
    page = client.get(f"/videos/{video.public_id}/post").text
    key = re.search(r'name="idempotency_key" value="([^"]+)"', page)
    assert key
    fields = {"accounts": account, "title": "Once", "idempotency_key": key[1], "when": "now"}
    for _ in range(2):
        answer = send_form(client, f"/videos/{video.public_id}/post", **fields)
        assert answer.headers["location"] == f"/videos/{video.public_id}"
    with database.connection_context():
        assert Post.select().count() == 1


def test_post_without_an_account_or_in_the_past_says_so_beside_what_was_typed(
    settings: Settings, client: httpx.Client
) -> None:
    account = _practice(settings)
    video = _video(title="T", state=VideoState.READY)
    path = f"/videos/{video.public_id}/post"
    answer = send_form(client, path, title="Typed <b>", when="now")
    assert answer.status_code == 422
    assert "Choose at least one account to post to." in answer.text
    assert "Typed &lt;b&gt;" in answer.text
    assert answer.text.index("<title>Error:") > 0
    for at, sentence in [
        ("2020-01-01T10:00", "This time has passed."),
        ("tomorrow", "Choose a date and a time."),
    ]:
        answer = send_form(client, path, accounts=account, title="T", when="later", publish_at=at)
        assert answer.status_code == 422
        assert sentence in answer.text
    with database.connection_context():
        assert Post.select().count() == 0


def test_time_of_a_post_is_meant_in_the_zone_of_its_author(settings: Settings, url: str) -> None:
    account = _practice(settings)
    video = _video(title="T", state=VideoState.READY)
    author = add_user("tokyo@example.org")
    with database.connection_context():
        author.time_zone = "Asia/Tokyo"
        author.save()
    with browser(url, author) as client:
        send_form(
            client, f"/videos/{video.public_id}/post", accounts=account, title="T", when="later",
            publish_at="2099-03-01T09:00",
        )  # fmt: skip
    with database.connection_context():
        post = Post.get()
        assert post.publish_at.isoformat() == "2099-03-01T00:00:00+00:00"
        assert post.time_zone == "Asia/Tokyo"


def test_each_account_can_have_its_own_text_and_is_asked_what_it_takes(
    settings: Settings, client: httpx.Client
) -> None:
    account = _practice(settings)
    video = _video(title="T", state=VideoState.READY)
    path = f"/videos/{video.public_id}/post"
    fields = {"accounts": account, "title": "x" * 101, "when": "now"}
    checked = send_form(client, f"{path}/check", **fields)
    assert "The title has 101 characters; 100 are allowed." in checked.text
    assert send_form(client, path, **fields).status_code == 422
    fine = send_form(client, path, **fields, **{f"title:{account}": "Short"})
    assert fine.status_code == 303
    with database.connection_context():
        (target,) = posts.latest_targets(Post.get())
        assert target.overrides == {"title": "Short"}


def test_jobs_page_says_which_worker_is_gone(url: str, client: httpx.Client) -> None:
    with database.connection_context():
        for name in ("media", "quick"):
            Heartbeat.replace(
                process=f"worker-{name}", pid=1, boot_id=boot_id(), beat_boottime_s=boottime_s()
            ).execute()
    page = client.get("/jobs").text
    assert "A worker is not running" in page
    assert "The delivery worker has never reported." in page
    with database.connection_context():
        Heartbeat.update(beat_boottime_s=boottime_s() - 3600).where(
            Heartbeat.process == "worker-media"
        ).execute()
    assert "2 workers are not running" in client.get("/jobs").text


def test_waiting_job_is_cancelled_and_retried_by_its_buttons(client: httpx.Client) -> None:
    video = _video(state=VideoState.RECEIVED)
    with database.connection_context():
        job = Job.create(kind="probe", queue="quick", key="k", video=video)
    page = client.get(f"/jobs/{job.public_id}").text
    assert f'action="/jobs/{job.public_id}/cancel"' in page
    assert send_form(client, f"/jobs/{job.public_id}/cancel").is_redirect
    with database.connection_context():
        assert Job.get_by_id(job.id).state is JobState.CANCELLED
    assert send_form(client, f"/jobs/{job.public_id}/retry").is_redirect
    with database.connection_context():
        assert Job.get_by_id(job.id).state is JobState.QUEUED


def test_jobs_are_narrowed_by_kind_title_and_owner(client: httpx.Client) -> None:
    with database.connection_context():
        mine, other = make_video(title="Bread 100%"), make_video(title="Harbour")
        found = [
            Job.create(kind=kind, queue="quick", key=f"{kind}{n}", video=video)
            for n, (kind, video) in enumerate([("probe", mine), ("encode", mine), ("probe", other)])
        ]

    def shown(query: str) -> list[bool]:
        page = client.get(f"/jobs?{query}").text
        return [f'id="job-{job.public_id}"' in page for job in found]

    assert shown("kind=encode") == [False, True, False]
    assert shown("q=bread+100%25") == [True, True, False]
    assert shown(f"video={other.public_id}") == [False, False, True]
    assert shown("show=failed") == [False] * 3
    assert shown("kind=nonsense&show=nonsense") == [True] * 3
    assert "Nothing matches" in client.get("/jobs?q=zebra").text


def test_all_waiting_jobs_are_cancelled_after_a_question(client: httpx.Client) -> None:
    assert "/jobs/cancel-waiting" not in client.get("/jobs").text
    with database.connection_context():
        video = make_video()
        waiting = Job.create(kind="poster", queue="quick", key="a", video=video)
        post = Job.create(kind="publish", queue="delivery", key="b", video=video)
    assert "/jobs/cancel-waiting" in client.get("/jobs").text
    assert "Cancel 1 job<" in client.get("/jobs/cancel-waiting").text
    assert send_form(client, "/jobs/cancel-waiting").is_redirect
    with database.connection_context():
        assert Job.get_by_id(waiting.id).state is JobState.CANCELLED
        assert Job.get_by_id(post.id).state is JobState.QUEUED
    assert client.get("/jobs/cancel-waiting").is_redirect


def test_page_of_a_job_lists_its_tries(client: httpx.Client) -> None:
    with database.connection_context():
        job = Job.create(kind="encode", queue="media", key="a", video=make_video())
        JobRun.create(
            job=job, fence=1, worker="media:4711:2:3", ended_at=now(), outcome="stalled",
            stage="Encoding", progress=0.42, error="It stood still.", detail="frame= 42",
        )  # fmt: skip
    page = client.get(f"/jobs/{job.public_id}").text
    for words in ("Stood still, ended", "media, process 4711", "Encoding, 42 %", "frame= 42"):
        assert words in page, words


def test_retry_is_offered_only_where_it_may_help(client: httpx.Client) -> None:
    sentence = "The file has only 2 bytes, too few for a video."
    video = _video(
        title="Two bytes", state=VideoState.FAILED, size_bytes=2, received_at=now(), error=sentence
    )
    with database.connection_context():
        ends = {"kind": "probe", "queue": "quick", "state": JobState.FAILED, "attempts": 1}
        job = Job.create(key="k", video=video, error=sentence, error_code="too_small", **ends)
    page = f"/videos/{video.public_id}"
    for path in ("/", page, f"{page}/_card"):
        text = client.get(path).text
        assert "Upload another copy" in text, path
        assert f'action="{page}/retry"' not in text, path
        assert "The original is kept" not in text, path
    assert "/retry" not in client.get("/jobs").text
    send_form(client, "/jobs/retry-failed")

    with database.connection_context():
        assert Job.get_by_id(job.id).state is JobState.FAILED
        other = make_video(state=VideoState.FAILED, received_at=now(), error="The disk is full.")
        full = Job.create(key="l", video=other, error_code="storage_full", **ends)
    for path in ("/", f"/videos/{other.public_id}"):
        assert f'action="/videos/{other.public_id}/retry"' in client.get(path).text, path
    assert "Retry 1 failed job<" in client.get("/jobs").text
    send_form(client, "/jobs/retry-failed")
    with database.connection_context():
        assert Job.get_by_id(full.id).state is JobState.QUEUED
        assert Job.get_by_id(job.id).state is JobState.FAILED
    # The box may have changed: whoever knows better still can.
    assert send_form(client, f"/jobs/{job.public_id}/retry").is_redirect
    with database.connection_context():
        assert Job.get_by_id(job.id).state is JobState.QUEUED


def test_tries_of_a_job_are_counted_against_their_limit_until_it_ends(client: httpx.Client) -> None:
    def tries(**columns: Any) -> str:
        with database.connection_context():
            job = Job.create(kind="probe", queue="quick", max_attempts=3, **columns)
        row = client.get(f"/jobs/{job.public_id}/_row").text
        found = re.search(r'data-label="Tries"[^>]*>([^<]*)<', row)
        assert found
        return found[1]

    assert tries(key="a", state=JobState.QUEUED, attempts=1) == "2 of 3"
    assert tries(key="b", state=JobState.COMPLETED) == "1"
    assert tries(key="c", state=JobState.FAILED, attempts=2) == "2"


@pytest.mark.parametrize("development", [True, False])
def test_components_are_for_development_alone(settings: Settings, development: bool) -> None:
    settings = settings.model_copy(update={"development": development})
    prepare(settings)
    with serving(settings) as url, browser(url, add_user()) as client:
        assert client.get("/_ui").status_code == (200 if development else 404)


def test_page_with_many_cards_is_small_and_quick_to_send(client: httpx.Client) -> None:
    for number in range(30):
        _video(state=VideoState.READY, title=f"Video {number}")
    answer = client.get("/", headers={"Accept-Encoding": "identity"})
    assert len(gzip.compress(answer.content)) <= 40_000
