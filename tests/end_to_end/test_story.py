"""The whole story by HTTP, through real processes: upload → ready → public link → practice post."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests import media
from tests.end_to_end.box import Box, running_box, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("story")) as box:
        yield box


def test_a_video_becomes_ready_and_is_fetched_in_ranges(box: Box) -> None:
    clip = media.webm_vp9()
    video = box.wait_video(box.upload(clip, name="Mein Urlaub.webm"), "ready")

    assert video["title"] == "Mein Urlaub"
    assert video["social_ready_status"] == "ready"
    url = video["social_ready_url"]
    whole = httpx.get(url)
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.content[4:8] == b"ftyp"
    part = httpx.get(url, headers={"Range": "bytes=100-299", "If-Range": whole.headers["etag"]})
    assert part.status_code == 206
    assert part.content == whole.content[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    head = httpx.head(url)
    assert head.headers["content-length"] == str(len(whole.content))
    beyond = httpx.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416


def test_the_original_comes_back_byte_for_byte(box: Box) -> None:
    clip = media.webm_vp9()
    video_id = box.upload(clip)
    with box.client() as client:
        original = client.get(f"/media/{video_id}/original")
    assert sha256(original.content) == sha256(clip.read_bytes())


def test_a_ready_video_is_posted_and_the_platform_holds_the_rendition(box: Box) -> None:
    video = box.wait_video(box.upload(media.h264_aac()), "ready")
    post = box.wait_post(box.post(video["video_id"], key="ready")["post_id"], "completed")

    (result,) = post["results"]
    assert result["success"] is True
    assert result["platform"] == "practice"
    with box.client() as client:
        page = client.get(result["url"])
        assert page.status_code == 200
        assert "<video" in page.text


def test_a_post_of_a_video_that_is_not_ready_waits_and_goes_out_by_itself(box: Box) -> None:
    video_id = box.upload(media.webm_vp9(seconds=6))
    created = box.post(video_id, key="early")
    assert created["status"] in ("pending", "processing")
    post = box.wait_post(created["post_id"], "completed")
    assert [result["state"] for result in post["results"]] == ["published"]


def test_the_same_key_is_the_same_post(box: Box) -> None:
    video = box.wait_video(box.upload(media.h264_aac()), "ready")
    first = box.post(video["video_id"], key="twice")
    second = box.post(video["video_id"], key="twice")
    assert first["post_id"] == second["post_id"]


@pytest.mark.parametrize("name", ["not_a_video", "two_bytes", "playlist", "audio_only"])
def test_what_is_no_video_fails_with_a_sentence_and_the_box_goes_on(box: Box, name: str) -> None:
    video = box.wait_video(box.upload(getattr(media, name)(), name="holiday.mp4"), "failed")
    assert len(video["error"]) > 20
    assert video["social_ready_url"] is None
    good = box.wait_video(box.upload(media.h264_aac()), "ready")
    assert good["error"] is None


def test_stop_is_clean_and_a_start_finds_everything(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_box(tmp_path_factory.mktemp("restart")) as box:
        video = box.wait_video(box.upload(media.h264_aac()), "ready")
        with box.client() as client, client.stream("GET", "/api/v1/events") as stream:
            assert stream.status_code == 200  # an open live page must not hold the stop up
            assert box.stop() == 0
        box.start()
        again = box.get(f"/api/v1/videos/{video['video_id']}")
        assert again["state"] == "ready"
