"""Each call as Meta documents it: method, path, headers, form; and what its answers mean.

Source: platforms.md §2, which cites the pages.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import httpx
import pytest

from appliance.clock import now
from tasks.publish.graph import Graph
from tasks.publish.publisher import (
    Done,
    Failed,
    Held,
    MustEdit,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Staged,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.facebook import dress
from tasks.publish.publishers.facebook.locales import locale_of
from tasks.publish.publishers.facebook.upload import looked_in_vain
from tasks.publish.remote import Refused, call
from tests.tasks.publish.facebook.conftest import PAGE
from web.practice.ground import Fault
from web.practice.meta import people

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tasks.publish.facebook.conftest import OnPage

FORM = "application/x-www-form-urlencoded"


def only(calls: list[dict[str, Any]]) -> dict[str, Any]:
    (call,) = calls
    return call


def test_a_reel_is_begun_uploaded_and_finished_as_documented(page: OnPage) -> None:
    staged = page.stage()
    assert isinstance(staged, Staged) and staged.expires_at is not None
    begun = only(page.calls("reels.start"))
    assert (begun["method"], begun["path"]) == ("POST", f"/v25.0/{PAGE}/video_reels")
    assert begun["form"] == {"upload_phase": "start"}
    assert begun["headers"]["content-type"] == FORM

    sent = only(page.calls("reels.bytes"))
    assert (sent["method"], sent["path"]) == ("POST", f"/video-upload/v25.0/{page.video_id}")
    assert sent["headers"]["authorization"] == "OAuth …"  # not Bearer
    assert (sent["headers"]["offset"], sent["headers"]["file_size"]) == ("0", str(page.size))
    assert sent["headers"]["content-length"] == str(page.size)
    assert "transfer-encoding" not in sent["headers"]
    assert page.published() == []

    page.meta.ground.set_faults([])
    live = page.go_live()
    finished = only(page.calls("reels.finish"))
    assert (finished["method"], finished["path"]) == ("POST", f"/v25.0/{PAGE}/video_reels")
    assert finished["form"] == {
        "upload_phase": "finish",
        "video_id": page.video_id,
        "video_state": "PUBLISHED",
        "title": "Title é",
        "description": "Description\n#tag",
    }
    assert live == Done(page.video_id, f"{page.meta.base}/reel/{page.video_id}/")
    (public,) = page.published()
    assert public["sha256"] == page.target.media.sha256
    assert page.spent == [("reels", 1)]


def test_a_page_video_goes_in_the_pieces_that_facebook_names(page: OnPage) -> None:
    page.as_kind("video")
    assert isinstance(page.stage(), Staged)
    begun = only(page.calls("videos.start"))
    assert (begun["method"], begun["path"]) == ("POST", f"/v25.0/{PAGE}/videos")
    assert begun["form"] == {"upload_phase": "start", "file_size": str(page.size)}
    pieces = page.calls("videos.transfer")
    assert [piece["form"]["start_offset"] for piece in pieces] == ["0", "40000", "80000"]
    for piece in pieces:
        assert piece["headers"]["content-type"].startswith("multipart/form-data; boundary=")
        assert piece["files"] == ["video_file_chunk"]
        assert piece["form"]["upload_session_id"] == page.there()["session"]
    assert isinstance(page.go_live(), Done)
    finished = only(page.calls("videos.finish"))
    assert finished["form"] == {
        "upload_phase": "finish",
        "upload_session_id": page.there()["session"],
        "title": "Title é",
        "description": "Description\n#tag",
        "published": "true",
    }
    (public,) = page.published()
    assert public["sha256"] == page.target.media.sha256
    assert page.spent == []  # 30 a day are for Reels


def test_the_graph_api_gets_the_page_token_as_bearer_and_never_in_an_address(page: OnPage) -> None:
    page.stage()
    page.go_live()
    for said in page.calls():
        expected = "OAuth …" if said["endpoint"] == "reels.bytes" else "Bearer …"
        assert said["headers"]["authorization"] == expected
        assert "access_token" not in said["query"]


def test_tokens_stand_in_no_log(page: OnPage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    page.faults(Fault("reels.finish", "refuse", "100"))
    page.stage()
    step = page.go_live()
    assert page.token not in caplog.text and page.token not in repr(step)


def test_a_persons_token_is_refused_on_the_calls_of_a_page(page: OnPage) -> None:
    ground = page.meta.ground
    code = people.give_code(ground, people.PEOPLE[0]["id"], "x", ["pages_show_list"])
    person = people.redeem(ground, code, "x")
    assert person is not None
    page.change(credentials={"access_token": person["access_token"]})
    step = page.stage()
    assert isinstance(step, NeedsReconnect) and "permission" in step.reason


def test_redirects_are_not_followed(page: OnPage) -> None:
    answers = httpx.MockTransport(lambda request: httpx.Response(307, headers={"Location": "/x"}))
    client = httpx.Client(base_url="http://box", transport=answers)
    assert isinstance(call(client, "POST", "/y", now=now(), by_table=True), Refused)
    client.close()


# Resuming


@pytest.mark.parametrize(
    ("kind", "endpoint"), [("reel", "reels.bytes"), ("video", "videos.transfer")]
)
def test_an_upload_goes_on_where_the_platform_says(page: OnPage, kind: str, endpoint: str) -> None:
    page.as_kind(kind)
    page.faults(Fault(endpoint, "lose", "30000"))
    assert isinstance(page.stage(), Staged)
    calls = page.calls(endpoint)
    name = "headers" if kind == "reel" else "form"
    offsets = [call[name]["offset" if kind == "reel" else "start_offset"] for call in calls]
    if kind == "reel":
        assert offsets == ["0", "30000"]
    else:
        # The piece is sent again; Facebook names the right offset, and it goes on there.
        assert offsets[:3] == ["0", "0", "30000"]
    assert isinstance(page.go_live(), Done)
    assert [video["sha256"] for video in page.published()] == [page.target.media.sha256]


@pytest.mark.parametrize("kind", ["reel", "video"])
def test_a_new_worker_goes_on_with_the_upload_of_the_old_one(page: OnPage, kind: str) -> None:
    page.as_kind(kind)
    endpoint = "reels.bytes" if kind == "reel" else "videos.transfer"
    # Cut after half, and nothing works any more: this worker gives up.
    page.faults(
        Fault(endpoint, "lose", "20000"),
        Fault(endpoint, "break_before", lasts=True),
        Fault("video.get", "break_before", lasts=True),
    )
    assert isinstance(page.stage(), RetryAt)
    page.faults()
    assert isinstance(page.stage(), Staged)
    assert len(page.calls("reels.start") + page.calls("videos.start")) == 1
    assert isinstance(page.go_live(), Done)
    assert len(page.published()) == 1


def test_another_file_begins_another_upload(page: OnPage) -> None:
    page.stage()
    first = page.video_id
    page.change(media=replace(page.target.media, sha256="0" * 64))
    assert isinstance(page.stage(), Staged)
    assert page.video_id != first


def test_an_upload_that_came_to_nothing_begins_anew(page: OnPage) -> None:
    page.stage()
    page.meta.ground.remove("video", page.video_id)
    assert isinstance(page.stage(), Staged)
    assert len(page.calls("reels.start")) == 2


# Going live


@pytest.mark.parametrize("kind", ["reel", "video"])
@pytest.mark.parametrize("fault", ["lose", "break_after"])
def test_a_lost_finish_is_found_by_asking(page: OnPage, kind: str, fault: str) -> None:
    page.as_kind(kind)
    page.stage()
    endpoint = "reels.finish" if kind == "reel" else "videos.finish"
    page.faults(Fault(endpoint, fault))
    assert isinstance(page.go_live(), Unsure)
    assert isinstance(page.publisher.reconcile(page.target), Done)
    assert len(page.published()) == 1


@pytest.mark.parametrize("kind", ["reel", "video"])
@pytest.mark.parametrize("error", ["368", "77/99", "100"])
def test_a_look_that_is_refused_says_nothing_about_the_video(
    page: OnPage, kind: str, error: str
) -> None:
    page.as_kind(kind)
    page.stage()
    first = page.video_id
    page.faults(
        Fault(f"{kind}s.finish", "lose"), *[Fault("video.get", "refuse", error) for _ in range(3)]
    )
    assert isinstance(page.go_live(), Unsure)
    for look in (lambda: page.publisher.reconcile(page.target), page.poll, page.stage):
        step = look()
        assert isinstance(step, RetryAt) and step.counted
    assert page.video_id == first
    assert len(page.calls(f"{kind}s.start")) == 1
    assert page.calls("video.delete") == []
    assert isinstance(page.publisher.reconcile(page.target), Done)
    assert len(page.published()) == 1


@pytest.mark.parametrize("status", [403, 404, 418])
def test_the_page_of_a_proxy_is_no_word_of_facebook(status: int) -> None:
    refused = Refused(status, "The proxy says no.", None, None, f"HTTP {status}", {}, {})
    step = looked_in_vain(refused)
    assert isinstance(step, RetryAt) and step.counted


@pytest.mark.parametrize("kind", ["reel", "video"])
def test_a_finish_that_never_came_is_said_again(page: OnPage, kind: str) -> None:
    page.as_kind(kind)
    page.stage()
    page.faults(Fault("reels.finish", "lose_before"), Fault("videos.finish", "lose_before"))
    assert isinstance(page.go_live(), Unsure)
    assert isinstance(page.publisher.reconcile(page.target), Staged)
    assert isinstance(page.go_live(), Done)
    assert len(page.published()) == 1


@pytest.mark.parametrize("kind", ["reel", "video"])
def test_finish_said_twice_makes_one_post(page: OnPage, kind: str) -> None:
    page.as_kind(kind)
    page.stage()
    checkpoint = page.target.checkpoint
    assert isinstance(page.go_live(), Done)
    page.change(checkpoint=checkpoint)  # a worker that knows nothing of the first
    assert isinstance(page.go_live(), Done)
    assert len(page.published()) == 1


def test_accepted_is_not_public_until_it_is_processed(page: OnPage) -> None:
    page.stage()
    page.faults(Fault("processing", "slow", "3600"))
    step = page.go_live()
    assert isinstance(step, WaitUntil) and step.stage == "Facebook works on the Reel"
    assert page.published() == []
    assert isinstance(page.poll(), WaitUntil)
    page.meta.ground.change(
        "video", page.video_id, lambda video: {**video, "ready_at": video["created_at"]}
    )
    assert isinstance(page.poll(), Done)


def test_a_rejection_says_why_in_facebooks_words(page: OnPage) -> None:
    page.stage()
    page.faults(Fault("processing", "reject", "Aspect ratio of the video is invalid."))
    step = page.go_live()
    assert isinstance(step, Failed) and step.code == "media_rejected"
    assert "Aspect ratio of the video is invalid." in step.reason
    assert page.published() == []


def test_retry_after_a_rejection_sends_the_file_anew(page: OnPage) -> None:
    page.stage()
    page.faults(Fault("processing", "reject"))
    page.go_live()
    rejected = page.video_id
    assert isinstance(page.stage(), Staged)
    assert page.video_id != rejected
    assert isinstance(page.go_live(), Done)
    assert len(page.published()) == 1


def test_a_video_that_is_gone_after_it_was_accepted_is_not_sent_again(page: OnPage) -> None:
    page.stage()
    page.faults(Fault("processing", "slow", "60"))
    page.go_live()
    long_ago = (now() - timedelta(minutes=5)).isoformat()
    page.change(checkpoint={**page.target.checkpoint, "finishing": long_ago})
    page.meta.ground.remove("video", page.video_id)
    step = page.poll()
    assert isinstance(step, Failed) and step.code == "removed"


def test_who_cannot_tell_leaves_it_to_a_person(page: OnPage) -> None:
    page.stage()
    page.faults(Fault("reels.finish", "lose"), Fault("video.get", "blind", lasts=True))
    page.go_live()
    assert isinstance(page.publisher.reconcile(page.target), Unsure)


def test_a_page_has_thirty_reels_a_day(page: OnPage) -> None:
    page.stage()
    page.go_live()
    for number in range(29):
        page.meta.ground.put("video", str(number), {**page.there(), "id": str(number)})
    page.change(checkpoint={})
    page.stage()
    step = page.go_live()
    assert isinstance(step, RetryAt) and not step.counted and step.when is not None
    assert len(page.published()) == 30


# Long before: unpublished, or held by Facebook


def test_a_page_video_staged_ahead_is_unpublished_and_goes_live_by_one_call(page: OnPage) -> None:
    page.as_kind("video")
    page.change(ahead=True)
    assert page.stage() == Staged()
    assert only(page.calls("videos.finish"))["form"]["published"] == "false"
    assert page.published() == []
    before = len(page.calls())
    page.change(draft=replace(page.target.draft, title="Another title"))
    assert isinstance(page.go_live(), Done)
    update = page.calls()[before]
    assert (update["endpoint"], update["path"]) == ("video.update", f"/v25.0/{page.video_id}")
    assert update["form"]["published"] == "true"
    assert update["form"]["name"] == "Another title"  # texts of today, without another upload
    (public,) = page.published()
    assert public["title"] == "Another title"


def test_a_lost_answer_of_staging_ahead_is_found_by_asking(page: OnPage) -> None:
    page.as_kind("video")
    page.change(ahead=True)
    page.faults(Fault("videos.finish", "lose"))
    assert isinstance(page.stage(), Unsure)
    assert page.publisher.reconcile(page.target) == Staged()
    page.faults(Fault("video.update", "lose"))
    assert isinstance(page.go_live(), Unsure)
    assert isinstance(page.publisher.reconcile(page.target), Done)
    assert len(page.published()) == 1


@pytest.mark.parametrize("kind", ["reel", "video"])
def test_facebook_itself_keeps_it_until_its_time(page: OnPage, kind: str) -> None:
    page.as_kind(kind)
    at = (now() + timedelta(days=2)).replace(microsecond=0)
    page.change(publish_at=at)
    page.stage()
    assert page.go_live() == Held(at)
    form = only(page.calls("reels.finish") + page.calls("videos.finish"))["form"]
    assert form["scheduled_publish_time"] == str(int(at.timestamp()))
    if kind == "reel":
        assert form["video_state"] == "SCHEDULED"
    else:
        assert (form["published"], form["unpublished_content_type"]) == ("false", "SCHEDULED")
    assert page.poll() == Held(at)
    assert page.published() == []
    # Its time comes, whoever is awake here.
    page.meta.ground.change(
        "video", page.video_id, lambda video: {**video, "scheduled_at": video["created_at"]}
    )
    assert isinstance(page.poll(), Done)
    assert len(page.published()) == 1


@pytest.mark.parametrize("kind", ["reel", "video"])
def test_what_facebook_keeps_can_go_now(page: OnPage, kind: str) -> None:
    page.as_kind(kind)
    page.change(publish_at=now() + timedelta(days=2))
    page.stage()
    page.go_live()
    page.change(publish_at=None)
    assert isinstance(page.go_live(), Done)
    assert len(page.published()) == 1


def test_what_facebook_keeps_and_does_not_let_go_is_taken_back_and_sent_anew(page: OnPage) -> None:
    page.change(publish_at=now() + timedelta(days=2))
    page.stage()
    page.go_live()
    page.change(publish_at=None)
    page.faults(Fault("video.update", "refuse", "100"))
    assert page.go_live() == NotThere()
    assert page.target.checkpoint == {}
    assert isinstance(page.stage(), Staged)
    assert isinstance(page.go_live(), Done)
    assert len(page.published()) == 1


def test_a_time_that_is_too_near_is_waited_for_here(page: OnPage) -> None:
    at = now() + timedelta(minutes=5)
    page.change(publish_at=at)
    page.stage()
    step = page.go_live()
    assert isinstance(step, RetryAt) and step.when == at and not step.counted
    assert page.calls("reels.finish") == []


# Refusals


@pytest.mark.parametrize(
    ("said", "step", "words"),
    [
        ("190/463", NeedsReconnect, "expired"),
        ("190/460", NeedsReconnect, "password"),
        ("190", NeedsReconnect, "Connect"),
        ("200", NeedsReconnect, "permission"),
        ("10", NeedsReconnect, "permission"),
        ("368", Failed, "blocked"),
        ("506", Failed, "same post"),
        ("100", MustEdit, "doesn't accept"),
        ("4", RetryAt, "pause"),
        ("32", RetryAt, "pause"),
        ("2", Unsure, "out of order"),
        ("12345", Failed, "refuse"),
    ],
)
def test_errors_are_decided_by_the_table(page: OnPage, said: str, step: type, words: str) -> None:
    page.stage()
    page.faults(Fault("reels.finish", "refuse", said))
    found = page.go_live()
    assert type(found) is step
    assert words in found.reason  # type: ignore[union-attr]  # those that have one
    assert "HTTP 400" in found.detail  # type: ignore[union-attr]  # the raw answer
    assert page.published() == []


@pytest.mark.parametrize(("seconds", "least_s", "most_s"), [("7", 5, 8), ("600", 590, 610)])
def test_a_pause_lasts_as_long_as_meta_says(
    page: OnPage, seconds: str, least_s: int, most_s: int
) -> None:
    page.stage()
    page.faults(Fault("reels.finish", "throttle", seconds))
    step = page.go_live()
    assert isinstance(step, RetryAt) and not step.counted and step.when is not None
    assert least_s <= (step.when - now()).total_seconds() <= most_s


def test_trouble_of_the_upload_begins_anew(page: OnPage) -> None:
    page.stage()
    page.faults(Fault("reels.finish", "refuse", "6000"))
    assert page.go_live() == NotThere()
    assert page.target.checkpoint == {}


# After


def test_texts_comment_and_numbers(page: OnPage) -> None:
    page.stage()
    page.go_live()
    page.change(remote_id=page.video_id, draft=replace(page.target.draft, title="New"))
    assert page.publisher.edit(page.target) == Done(page.video_id)
    assert page.there()["title"] == "New"
    first = page.publisher.comment(page.target, "More of it: example.org")
    assert isinstance(first, Done)
    assert page.publisher.comment(page.target, "More of it: example.org") == first
    assert len(page.there()["comments"]) == 1
    counted = page.publisher.numbers(page.target)
    assert isinstance(counted, dict)
    assert set(counted) == {"views", "likes", "comments"} and counted["comments"] == 1


def test_a_lost_comment_is_found_the_second_time(page: OnPage) -> None:
    page.stage()
    page.go_live()
    page.change(remote_id=page.video_id)
    page.faults(Fault("comments", "lose"))
    assert isinstance(page.publisher.comment(page.target, "Hello"), RetryAt)
    assert isinstance(page.publisher.comment(page.target, "Hello"), Done)
    assert len(page.there()["comments"]) == 1


def test_who_may_not_comment_may_post_all_the_same(page: OnPage) -> None:
    page.stage()
    page.go_live()
    page.change(remote_id=page.video_id)
    page.faults(Fault("comments", "refuse", "200"))
    step = page.publisher.comment(page.target, "Hello")
    assert isinstance(step, Failed) and "comment as the Page" in step.reason
    page.faults(Fault("video.get", "refuse", "10"))
    assert page.publisher.numbers(page.target) == {}
    page.faults(Fault("video.get", "expire"))
    assert isinstance(page.publisher.numbers(page.target), NeedsReconnect)


def test_deleting_is_repeatable(page: OnPage) -> None:
    page.stage()
    page.go_live()
    page.change(remote_id=page.video_id)
    page.faults(Fault("video.delete", "lose"))
    assert isinstance(page.publisher.delete(page.target), RetryAt)
    assert page.publisher.delete(page.target) == NotThere()
    assert only(page.calls("video.delete"))["method"] == "DELETE"
    assert page.publisher.edit(page.target) == NotThere()
    assert page.publisher.numbers(page.target) == NotThere()
    assert page.published() == []


def test_an_upload_is_removed_when_the_post_is_cancelled(page: OnPage) -> None:
    page.stage()
    assert page.publisher.delete(page.target) == NotThere()
    assert page.meta.ground.all("video") == []


def test_cover_and_captions_go_with_it(page: OnPage, tmp_path: Path) -> None:
    cover = tmp_path / "cover.jpg"
    cover.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    captions = tmp_path / "captions.vtt"
    captions.write_text(
        "WEBVTT\nLanguage: en-GB\n\n1\n00:01.000 --> 00:02.500 align:start\n<v Ann>Hello\nthere\n"
    )
    for kind in ("reel", "video"):
        page.change(checkpoint={})
        page.as_kind(kind)
        page.change(cover=cover, captions=captions)
        page.stage()
        assert isinstance(page.go_live(), Done)
        assert page.there()["cover_sha256"]
        assert page.there()["captions"] == [
            {"locale": "en_GB", "text": "1\n00:00:01,000 --> 00:00:02,500\nHello\nthere\n"}
        ]


def test_a_cover_that_is_not_taken_does_not_fail_the_post(page: OnPage, tmp_path: Path) -> None:
    cover = tmp_path / "cover.jpg"
    cover.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    page.change(cover=cover)
    page.stage()
    page.faults(Fault("thumbnails", "refuse", "100"))
    assert isinstance(page.go_live(), Done)
    assert page.there()["cover_sha256"] == ""


@pytest.mark.parametrize(
    ("head", "locale"),
    [
        ("WEBVTT", "en_US"),
        ("WEBVTT - made by hand\nKind: captions\nLanguage: de", "de_DE"),
        ("WEBVTT\r\nLanguage: pt-PT", "pt_PT"),
        ("WEBVTT\nLanguage: PT", "pt_BR"),
        ("WEBVTT\nLanguage: tlh", None),
        ("WEBVTT\n\nNOTE\nLanguage: de", "en_US"),
    ],
)
def test_captions_say_their_language(head: str, locale: str | None) -> None:
    assert locale_of(f"{head}\n\n00:00.000 --> 00:01.000\nLanguage: fr\n") == locale


def test_captions_become_subrip() -> None:
    text = (
        "WEBVTT\r\n\r\nNOTE x\r\n\r\n01:02:03.004 --> 01:02:05.006\r\nOne\r\n\r\n"
        "00:07.000 --> 00:08.000\r\nTwo\r\n"
    )
    assert dress.to_srt(text) == (
        "1\n01:02:03,004 --> 01:02:05,006\nOne\n\n2\n00:00:07,000 --> 00:00:08,000\nTwo\n"
    )


def test_a_file_that_shrinks_while_it_is_sent_is_no_upload(page: OnPage, tmp_path: Path) -> None:
    file = tmp_path / "gone.mp4"
    page.change(file=file)
    step = page.stage()
    assert isinstance(step, RetryAt) and "can't be read" in step.reason


def test_forms_are_utf_8(page: OnPage) -> None:
    heard: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request.read())
        return httpx.Response(200, json={})

    client = httpx.Client(base_url="http://box", transport=httpx.MockTransport(answer))
    client.post("/x", data={"description": "é 🎬 & ="})
    client.close()
    assert dict(parse_qsl(heard[0].decode())) == {"description": "é 🎬 & ="}
    assert Graph(page.stand.settings, "t", practice=False).upload_path("video-upload", "1") == (
        "/video-upload/v25.0/1"
    )
