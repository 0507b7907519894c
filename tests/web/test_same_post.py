"""The same video to the same account again, as a script, a form and the shell meet it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance import posts, schedule_rules
from appliance.cli import run
from appliance.models import Post, PostTarget, Role
from appliance.states import ApprovalState, PostState, TargetState
from tests.tasks.publish.posting import Poster, connected, emptied
from tests.web.serving import add_token, add_user, browser, script, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Video


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        yield poster
        with connected():
            schedule_rules.keep(approval="nobody", actor=None)


@pytest.fixture
def video(box: Poster) -> Video:
    return box.video(title="Summer")


@pytest.fixture
def page(box: Poster) -> Iterator[httpx.Client]:
    with browser(box.url, box.user) as client:
        yield client


def fail(post: Post) -> None:
    with connected():
        (target,) = posts.latest_targets(post)
        posts.fail_target(target, "No.", code="no")


def count_posts() -> int:
    with connected():
        return Post.select().count()


def test_of_many_calls_without_a_key_one_makes_a_post(box: Poster, video: Video) -> None:
    wanted = {"video_id": video.public_id, "platforms": ["practice"]}
    with script(box.url, box.user) as client:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.post("/api/v1/posts", json=wanted), range(8)))
        assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
        made = next(a.json() for a in answers if a.status_code == 202)
        refused = next(a for a in answers if a.status_code == 409)
        assert refused.headers["content-type"] == "application/problem+json"
        problem = refused.json()
        assert (problem["code"], problem["post_id"]) == ("same_post", made["post_id"])
        assert problem["same"][0]["state"] == "waiting"
        assert made["post_id"] in problem["detail"] and "“again”" in problem["detail"]
        assert client.post("/api/v1/posts", json={**wanted, "again": True}).status_code == 202
    assert count_posts() == 2


def test_submit_and_retry_over_the_api(box: Poster, video: Video) -> None:
    first = box.post(video)
    draft = box.post(video, draft=True)
    with script(box.url, box.user) as client:
        path = f"/api/v1/posts/{draft.public_id}/submit"
        assert client.post(path).json()["code"] == "same_post"
        stale = client.post(path, json={"again": True, "as_of": "2020-01-01T00:00:00Z"})
        assert (stale.status_code, stale.json()["code"]) == (409, "changed_meanwhile")
        zoneless = client.post(path, json={"as_of": "2020-01-01T00:00:00"})
        assert (zoneless.status_code, zoneless.json()["field"]) == (422, "as_of")
        read = client.get(f"/api/v1/posts/{draft.public_id}").json()["updated_at"]
        assert client.post(path, json={"again": True, "as_of": read}).status_code == 202

        fail(first)
        (target,) = box.look(first)[1]
        whole = f"/api/v1/posts/{first.public_id}"
        for path in (f"{whole}/retry", f"{whole}/targets/{target.public_id}/retry"):
            refused = client.post(path)
            assert refused.json()["post_id"] == draft.public_id
            assert client.post(path, json={"again": True}).status_code == 202
            fail(first)


def test_a_yes_and_a_no_over_the_api_are_to_what_was_read(box: Poster, video: Video) -> None:
    with connected():
        schedule_rules.keep(approval="editors", actor=None)
        editor = add_user("ed@example.org", Role.EDITOR)
    wanted = {"video_id": video.public_id, "platforms": ["practice"]}
    with script(box.url, editor) as theirs, script(box.url, box.user) as client:
        asked = theirs.post("/api/v1/posts", json=wanted).json()["post_id"]
        made = client.post("/api/v1/posts", json=wanted).json()["post_id"]
        path = f"/api/v1/posts/{asked}"
        said_no = {"note": "No", "as_of": "2020-01-01T00:00:00Z"}
        assert client.post(f"{path}/refuse", json=said_no).json()["code"] == "changed_meanwhile"
        refused = client.post(f"{path}/approve", json={}).json()
        assert (refused["code"], refused["post_id"]) == ("same_post", made)
        assert client.post(f"{path}/approve", json={"again": True}).status_code == 202


def test_the_form_shows_the_clash_and_takes_a_second_press(
    box: Poster, video: Video, page: httpx.Client
) -> None:
    first = box.post(video)
    with connected():
        (practice,) = box.accounts("practice")
    path = f"/videos/{video.public_id}/post"
    fields = {"accounts": practice.public_id, "title": "Summer", "when": "now"}
    # Before anything is pressed.
    told = send_form(page, f"{path}/check", **fields).text
    assert f"is on its way to “{practice.name}” already" in told
    assert f'href="/posts/{first.public_id}"' in told and "all the same" not in told

    refused = send_form(page, path, **fields)
    assert refused.status_code == 409
    assert "Nothing was sent: this would be a second post" in refused.text
    assert 'name="again" value="yes"' in refused.text and 'value="Summer"' in refused.text
    assert count_posts() == 1
    assert send_form(page, path, **fields, again="yes").status_code == 303
    assert count_posts() == 2


def test_pages_ask_before_a_draft_a_yes_and_a_retry(
    box: Poster, video: Video, page: httpx.Client
) -> None:
    first = box.post(video)
    draft = box.post(video, draft=True)
    with connected():
        read = Post.get_by_id(draft.id).updated_at
    fields = {"back": f"/posts/{draft.public_id}", "as_of": read.isoformat()}
    path = f"/schedule/{draft.public_id}/submit"
    stale = send_form(page, path, **{**fields, "as_of": "2020-01-01T00:00:00+00:00"})
    assert (stale.status_code, "changed meanwhile" in stale.text) == (409, True)
    asked = send_form(page, path, **fields)
    assert asked.status_code == 409
    assert "Post it again all the same" in asked.text
    assert f'name="as_of" value="{read.isoformat()}"' in asked.text
    assert send_form(page, path, **fields, again="yes").headers["location"] == fields["back"]

    with connected():
        schedule_rules.keep(approval="editors", actor=None)
        editor = add_user("ed@example.org", Role.EDITOR)
    fail(first)
    fail(draft)
    waits = _asked_by(box, editor, video)
    third = box.post(video)
    path = f"/schedule/{waits.public_id}/approve"
    assert f"/posts/{third.public_id}" in send_form(page, path, back="/schedule").text
    assert send_form(page, path, back="/schedule", again="yes").status_code == 303
    assert box.look(waits)[0] == PostState.PENDING

    (target,) = box.look(first)[1]
    for path in (
        f"/posts/{first.public_id}/retry",
        f"/posts/{first.public_id}/targets/{target.public_id}/retry",
    ):
        assert send_form(page, path).status_code == 409
        assert send_form(page, path, again="yes").status_code == 303
        assert box.look(first)[1][0].state is TargetState.WAITING
        fail(first)


def _asked_by(box: Poster, editor: object, video: Video) -> Post:
    from tasks.publish import dispatch

    with connected():
        accounts = box.accounts("practice")
        post = dispatch.create(box.settings, video, accounts, author=editor)  # type: ignore[arg-type]  # a User
    assert post.approval is ApprovalState.REQUESTED
    return post


def test_a_no_to_what_was_changed_meanwhile_is_told_in_the_form(
    box: Poster, video: Video, page: httpx.Client
) -> None:
    with connected():
        schedule_rules.keep(approval="editors", actor=None)
        editor = add_user("ed@example.org", Role.EDITOR)
    post = _asked_by(box, editor, video)
    path = f"/schedule/{post.public_id}/refuse"
    shown = page.get(path, params={"as_of": "2020-01-01T00:00:00+00:00"}).text
    assert 'name="as_of" value="2020-01-01T00:00:00+00:00"' in shown
    answer = send_form(page, path, note="Old logo", as_of="2020-01-01T00:00:00+00:00")
    assert (answer.status_code, "changed meanwhile" in answer.text) == (422, True)
    assert "Old logo" in answer.text
    with connected():
        assert Post.get_by_id(post.id).approval is ApprovalState.REQUESTED


def test_the_shell_says_again(
    box: Poster, video: Video, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_URL", box.url)
    monkeypatch.setenv("APPLIANCE_TOKEN", add_token(box.user))
    first = box.post(video)
    words = ("post", video.public_id, "--to", "practice", "--json")
    assert run(list(words)) == 1
    said = capsys.readouterr()
    assert first.public_id in said.out + said.err and "“again”" in said.out + said.err
    assert run([*words, "--again"]) == 0
    made = json.loads(capsys.readouterr().out)["post_id"]
    fail(first)
    assert run(["posts", "retry", first.public_id]) == 1
    assert made in capsys.readouterr().err
    assert run(["posts", "retry", first.public_id, "--again"]) == 0
    with connected():
        assert PostTarget.select().where(PostTarget.state == TargetState.WAITING).count() == 2
