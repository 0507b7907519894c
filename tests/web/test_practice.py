"""The practice platform: strict about what it fetches, and shows people what they may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.models import Post, Role, Visibility
from tests import media
from tests.tasks.publish.posting import Poster, emptied, link_to, working
from tests.web.serving import add_user, browser, script, send_form, wait_until
from web.practice.mp4 import complaint, walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = "/practice/api/v1"


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        yield poster


@pytest.fixture
def client(box: Poster) -> Iterator[httpx.Client]:
    """Somebody with the platform's own token."""
    headers = {"Authorization": f"Bearer {box.practice.token}"}
    with httpx.Client(base_url=box.url, headers=headers, timeout=20) as client:
        yield client


def hand_over(client: httpx.Client, url: str, **more: Any) -> str:
    answer = client.post(f"{API}/media", json={"video_url": url, "title": "Clip", **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def ended(client: httpx.Client, media_id: str) -> Any:
    def look() -> Any:
        data = client.get(f"{API}/media/{media_id}?fields=status_code,status").json()
        return data if data["status_code"] != "IN_PROGRESS" else None

    return wait_until("the fetch has ended", look)


def publish(client: httpx.Client, media_id: str) -> httpx.Response:
    return client.post(f"{API}/media_publish", json={"creation_id": media_id})


def test_a_container_is_fetched_after_the_answer_and_published_once(
    box: Poster, client: httpx.Client
) -> None:
    media_id = hand_over(client, link_to(box))
    assert ended(client, media_id)["status_code"] == "FINISHED"
    first, second = publish(client, media_id), publish(client, media_id)
    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]["error_subcode"]) == (400, 2207900)
    assert client.get(f"{API}/media").json()["items"][0]["post_id"] == first.json()["id"]


def test_a_bad_address_is_taken_and_fails_later(box: Poster, client: httpx.Client) -> None:
    media_id = hand_over(client, f"{box.url}/public/{'x' * 32}/clip.mp4")
    assert "404" in ended(client, media_id)["status"]
    assert publish(client, media_id).status_code == 400


@pytest.mark.parametrize(
    "url", ["http://example.org/clip.mp4", "file:///etc/passwd", "http://127.0.0.1:9/x.mp4"]
)
def test_the_fetcher_never_leaves_the_box(client: httpx.Client, url: str) -> None:
    answer = ended(client, hand_over(client, url))
    assert "only fetches from this box" in answer["status"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (media.webm_vp9, "isn't supported"),
        (media.index_last, "isn't at the front"),
        (media.truncated, "isn't supported"),
        (media.not_a_video, "isn't supported"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_files_that_platforms_refuse_are_refused(
    box: Poster, client: httpx.Client, make: Any, words: str
) -> None:
    answer = ended(client, hand_over(client, link_to(box, make())))
    assert answer["status_code"] == "ERROR"
    assert words in answer["status"]


def test_a_large_file_comes_in_pieces_and_whole(
    box: Poster, client: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "large.mp4"
    file.write_bytes(media.h264_aac().read_bytes())
    media.append_free_box(file, 7, size=9_000_000)
    media_id = hand_over(client, link_to(box, file))
    assert ended(client, media_id)["status_code"] == "FINISHED"
    assert box.practice.store.file(media_id).read_bytes() == file.read_bytes()
    found = box.practice.store.get(media_id)
    assert found is not None and found.ranges >= 3 + 3


def test_what_is_removed_while_it_is_fetched_leaves_no_file(
    box: Poster, client: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "large.mp4"
    file.write_bytes(media.h264_aac().read_bytes())
    media.append_free_box(file, 7, size=100_000_000)
    media_id = hand_over(client, link_to(box, file))
    place = box.practice.store.file(media_id)
    aside = place.with_suffix(".part")
    # It may be over before anybody looks, on a busy machine.
    wait_until("the fetch has begun", lambda: aside.exists() or place.exists())
    assert box.practice.store.delete(media_id)
    wait_until("the fetch is over", lambda: not aside.exists() and not place.exists())


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic wrong"])
def test_strangers_are_turned_away(box: Poster, token: str) -> None:
    with httpx.Client(base_url=box.url, headers={"Authorization": token}) as stranger:
        assert stranger.get(f"{API}/media").status_code == 401
        assert stranger.post(f"{API}/media", json={"video_url": "x"}).status_code == 401
        assert stranger.put(f"{API}/faults", json={}).status_code == 401


def test_only_tokens_of_admins_look_around(box: Poster) -> None:
    with script(box.url, box.user) as admin:
        assert admin.get(f"{API}/media").json() == {"items": [], "next_cursor": None}
    with script(box.url, add_user("editor@example.org", Role.EDITOR)) as editor:
        assert editor.get(f"{API}/media").status_code == 401


def test_faults_are_set_over_the_api_and_used_up(client: httpx.Client) -> None:
    assert client.put(f"{API}/faults", json={"throttle": 7}).json() == {"throttle": 7.0}
    paused = client.get(f"{API}/media")
    assert (paused.status_code, paused.headers["retry-after"]) == (429, "7")
    assert client.get(f"{API}/media").status_code == 200
    assert client.put(f"{API}/faults", json={"explode": 1}).status_code == 400


def test_a_lost_answer_is_a_connection_that_breaks(box: Poster, client: httpx.Client) -> None:
    box.fault(lose_create=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(f"{API}/media", json={"video_url": link_to(box), "title": "Clip"})
    assert len(client.get(f"{API}/media").json()["items"]) == 1


@pytest.fixture
def posted(box: Poster) -> Post:
    post = box.post(box.video(visibility=Visibility.PRIVATE), title="Ours <b>alone</b>")
    with working(box.settings):
        box.wait(post, "completed")
    return post


def test_the_pages_show_a_video_to_those_who_may_see_it(box: Poster, posted: Post) -> None:
    post_id = box.received()[0].post_id
    with browser(box.url, box.user) as owner:
        overview = owner.get("/practice")
        assert "Ours &lt;b&gt;alone&lt;/b&gt;" in overview.text
        page = owner.get(f"/practice/v/{post_id}")
        assert "<video" in page.text
        file = owner.get(f"/practice/v/{post_id}/video.mp4", headers={"Range": "bytes=0-99"})
        assert (file.status_code, len(file.content)) == (206, 100)
        assert file.headers["content-type"] == "video/mp4"
    with browser(box.url, add_user("editor@example.org", Role.EDITOR)) as other:
        assert "Ours" not in other.get("/practice").text
        assert other.get(f"/practice/v/{post_id}").status_code == 404
        assert other.get(f"/practice/v/{post_id}/video.mp4").status_code == 404
    with browser(box.url) as stranger:
        assert stranger.get("/practice").status_code == 303


def test_an_admin_sets_faults_and_removes_videos_on_the_pages(box: Poster, posted: Post) -> None:
    fetched = box.received()[0]
    post_id = fetched.post_id
    with browser(box.url, box.user) as owner:
        send_form(owner, "/practice/faults", slow="on", slow_value="3", lose_publish="on")
        assert box.practice.store.faults() == {"slow": 3.0, "lose_publish": 0.0}
        send_form(owner, "/practice/faults")
        assert box.practice.store.faults() == {}
        assert send_form(owner, f"/practice/v/{post_id}/remove").status_code == 303
        assert owner.get(f"/practice/v/{post_id}").status_code == 404
    assert box.received() == []
    assert not box.practice.store.file(fetched.id).exists()


def test_boxes() -> None:
    whole = media.h264_aac().read_bytes()
    boxes = walk(lambda offset, length: whole[offset : offset + length], len(whole))
    assert complaint(boxes) is None
    assert sum(box.size for box in boxes) == len(whole)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x04ftyp",
        b"\0\0\0\x08ftyp" * 65,
        b"\xff\xff\xff\xffftyp",
        b"\0\0\0\x01ftyp\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\x08moov\0\0\0\x08ftyp",
    ],
)
def test_boxes_of_hostile_files(content: bytes) -> None:
    try:
        why_not = complaint(
            walk(lambda offset, length: content[offset : offset + length], len(content))
        )
    except ValueError as exc:
        why_not = str(exc)
    assert why_not
