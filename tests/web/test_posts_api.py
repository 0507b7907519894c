"""Posts over the API: taken at once, exactly once, told how they went."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import posts
from appliance.access import Scope
from appliance.models import IdempotencyKey, Post, PostTarget, Role, Visibility
from appliance.states import TargetState
from tests.tasks.publish.posting import Poster, connected, emptied, working
from tests.web.serving import add_user, script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Video


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        yield poster


@pytest.fixture
def client(box: Poster) -> Iterator[httpx.Client]:
    with script(box.url, box.user) as client:
        yield client


@pytest.fixture
def video(box: Poster) -> Video:
    return box.video(title="Summer")


def press(
    client: httpx.Client, video: Video, *, key: str | None = None, **body: Any
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    wanted = {"video_id": video.public_id, "platforms": ["practice"], **body}
    return client.post("/api/v1/posts", json=wanted, headers=headers)


def count_posts() -> int:
    with connected():
        return Post.select().count()


def test_a_post_is_taken_at_once_and_tells_how_it_went(
    box: Poster, client: httpx.Client, video: Video
) -> None:
    taken = press(client, video, title="Hello")
    assert taken.status_code == 202
    assert taken.json()["status"] == "pending"
    assert taken.headers["location"] == taken.json()["status_url"]
    waiting = client.get(taken.json()["status_url"])
    assert waiting.headers["retry-after"] == "3"
    assert waiting.json()["results"][0]["success"] is None

    with working(box.settings), connected():
        box.wait(Post.get(Post.public_id == taken.json()["post_id"]), "completed")
    answer = client.get(taken.json()["status_url"])
    assert "retry-after" not in answer.headers
    shape = answer.json()
    assert (shape["status"], shape["title"], shape["platforms"]) == (
        "completed",
        "Hello",
        ["practice"],
    )
    (result,) = shape["results"]
    assert (result["success"], result["state"], result["attempts"]) == (True, "published", 1)
    assert result["url"].endswith(f"/practice/v/{result['remote_id']}")


def test_the_same_key_and_request_give_the_same_answer(client: httpx.Client, video: Video) -> None:
    first, second = (press(client, video, key="abc") for _ in range(2))
    assert first.json() == second.json()
    assert (first.status_code, second.status_code) == (202, 202)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert count_posts() == 1


def test_the_same_key_for_another_request_is_refused(client: httpx.Client, video: Video) -> None:
    press(client, video, key="abc")
    other = press(client, video, key='"abc"', title="Another")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert count_posts() == 1


def test_a_refused_request_leaves_its_key_free(client: httpx.Client, video: Video) -> None:
    assert press(client, video, key="abc", title="x" * 200).status_code == 422
    assert press(client, video, key="abc", title="Shorter").status_code == 202


def test_keys_of_two_people_do_not_meet(box: Poster, client: httpx.Client, video: Video) -> None:
    with script(box.url, add_user("other@example.org", Role.EDITOR)) as other:
        theirs = press(other, video, key="abc", again=True)
        assert press(client, video, key="abc", again=True).json() != theirs.json()
    assert count_posts() == 2


def test_many_copies_of_a_request_at_once_make_one_post(client: httpx.Client, video: Video) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: press(client, video, key="abc"), range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["post_id"] for answer in answers}) == 1
    assert count_posts() == 1
    with connected():
        assert IdempotencyKey.select().count() == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel".encode()])
def test_a_bad_key_is_refused(client: httpx.Client, video: Video, key: str | bytes) -> None:
    answer = client.post(
        "/api/v1/posts",
        json={"video_id": video.public_id, "platforms": ["practice"]},
        headers={"Idempotency-Key": key},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"platforms": ["myspace"]}, "unknown_account", "Connected platforms: folder, practice"),
        ({"platforms": [], "accounts": ["x"]}, "unknown_account", "no account “x”"),
        ({"platforms": []}, "invalid_input", "at least one account"),
        ({"publish_at": "2020-01-01T00:00:00Z"}, "invalid_input", "has passed"),
        ({"publish_at": "2090-01-01T00:00:00"}, "invalid_input", "no zone"),
        ({"publish_at": "tomorrow"}, "invalid_input", "publish_at"),
        ({"titel": "x"}, "invalid_input", "titel"),
        ({"title": "x" * 101}, "must_edit", "100 are allowed"),
    ],
)
def test_what_cannot_be_posted_says_why(
    client: httpx.Client, video: Video, body: dict[str, Any], code: str, words: str
) -> None:
    answer = press(client, video, **body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert words in answer.text
    assert count_posts() == 0


def test_other_peoples_private_videos_and_posts_are_not_there(
    box: Poster, client: httpx.Client
) -> None:
    hidden = box.video(visibility=Visibility.PRIVATE)
    post_id = press(client, hidden).json()["post_id"]
    with script(box.url, add_user("editor@example.org", Role.EDITOR)) as other:
        assert press(other, hidden).status_code == 404
        assert other.get(f"/api/v1/posts/{post_id}").status_code == 404
        assert other.post(f"/api/v1/posts/{post_id}/cancel").status_code == 404
        assert other.get("/api/v1/posts").json()["items"] == []


def test_a_token_needs_the_scope(box: Poster, video: Video) -> None:
    with script(box.url, box.user, [Scope.READ]) as reader:
        assert press(reader, video).status_code == 403
        assert reader.get("/api/v1/posts").status_code == 200


def test_the_list_has_pages_and_filters(client: httpx.Client, video: Video) -> None:
    made = [press(client, video, again=True).json()["post_id"] for _ in range(3)]
    client.post(f"/api/v1/posts/{made[0]}/cancel")
    first = client.get("/api/v1/posts", params={"limit": 2}).json()
    rest = client.get("/api/v1/posts", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [p["post_id"] for p in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    cancelled = client.get("/api/v1/posts", params={"status": "cancelled"}).json()["items"]
    assert [p["post_id"] for p in cancelled] == made[:1]
    assert client.get("/api/v1/posts", params={"status": "lost"}).status_code == 422


def test_what_is_over_cannot_be_cancelled_or_retried(client: httpx.Client, video: Video) -> None:
    url = press(client, video).json()["status_url"]
    assert client.post(f"{url}/retry").status_code == 409
    assert client.post(f"{url}/cancel").json()["status"] == "cancelled"
    assert client.post(f"{url}/cancel").status_code == 409


def test_retry_sends_the_failed_target(box: Poster, client: httpx.Client, video: Video) -> None:
    box.fault(refuse_publish=1)
    url = press(client, video, platforms=["practice", "folder"]).json()["status_url"]
    with working(box.settings), connected():
        post = Post.get()
        box.wait(post, "partial")
        failed = client.get(url).json()
        assert "told to refuse" in failed["error"]
        assert client.post(f"{url}/retry").status_code == 202
        box.wait(post, "completed")
    assert len(box.received()) == 1


@pytest.mark.parametrize(("there", "status"), [(True, "completed"), (False, "pending")])
def test_a_person_settles_what_nobody_knows(
    client: httpx.Client, video: Video, there: bool, status: str
) -> None:
    url = press(client, video).json()["status_url"]
    with connected():
        target = PostTarget.get()
        for state in (
            TargetState.STAGING,
            TargetState.STAGED,
            TargetState.PUBLISHING,
            TargetState.UNSURE,
            TargetState.NEEDS_PERSON,
        ):
            assert posts.move_target(target, state)
    result = client.get(url).json()["results"][0]
    assert (result["state"], result["success"]) == ("needs_person", None)
    settle = f"{url}/targets/{result['target_id']}/settle"
    assert client.post(settle, json={"there": there}).json()["status"] == status
    assert client.post(settle, json={"there": there}).status_code in (404, 409)


def test_a_draft_goes_out_when_it_is_submitted(client: httpx.Client, video: Video) -> None:
    taken = press(client, video, draft=True).json()
    assert taken["status"] == "draft"
    sent = client.post(f"{taken['status_url']}/submit")
    assert (sent.status_code, sent.json()["status"]) == (202, "pending")


def test_accounts_are_listed(client: httpx.Client) -> None:
    items = client.get("/api/v1/accounts").json()["items"]
    assert [(item["platform"], item["state"]) for item in items] == [
        ("folder", "connected"),
        ("practice", "connected"),
    ]
