"""What goes over the wire, held to YouTube's documentation endpoint by endpoint."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from tasks.publish.leftovers import remove_unseen
from tasks.publish.publisher import (
    Done,
    Failed,
    Held,
    MustEdit,
    NeedsReconnect,
    NotThere,
    PostDraft,
    RetryAt,
    Staged,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.youtube.api import Api
from tasks.publish.publishers.youtube.upload import looked_in_vain
from tasks.publish.remote import Refused
from tests import media
from tests.tasks.publish.youtube.channel import CHANNEL, STEP, digest, film

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tasks.publish.youtube.channel import Channel

PLAYLIST = f"PL{CHANNEL[2:]}"


def cover(tmp_path: Path) -> Path:
    place = tmp_path / "cover.jpg"
    media.ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(place))
    return place


def test_a_post_is_a_private_upload_and_then_a_change_of_its_status(channel: Channel) -> None:
    target = channel.target()
    assert channel.stage(target) == Staged()
    (video,) = channel.videos
    assert video["status"]["privacyStatus"] == "private"
    assert video["sha256"] == digest()
    done = channel.go_live(target)
    assert done == Done(video["id"], f"https://www.youtube.com/watch?v={video['id']}")
    (video,) = channel.videos
    assert video["status"]["privacyStatus"] == "public"
    assert channel.endpoints() == [
        "videos.insert", "upload.bytes", "videos.list", "videos.list", "videos.update",
    ]  # fmt: skip
    assert channel.spent == {"uploads": 1, "units": 52}


def test_an_upload_begins_as_documented(channel: Channel) -> None:
    chosen = {
        "made_for_kids": True,
        "synthetic_media": "on",
        "tags": "sea, long words ,",
        "category": "19",
        "language": "pt-BR",
        "notify_subscribers": False,
    }
    channel.stage(channel.target(chosen=chosen))
    call = channel.call("videos.insert")
    assert (call["method"], call["path"]) == ("POST", "/upload/youtube/v3/videos")
    assert parse_qs(call["query"]) == {
        "uploadType": ["resumable"],
        "part": ["snippet,status"],
        "notifySubscribers": ["false"],
    }
    headers = call["headers"]
    assert headers["authorization"] == "Bearer …"
    assert headers["content-type"] == "application/json; charset=UTF-8"
    assert headers["x-upload-content-length"] == str(film().stat().st_size)
    assert headers["x-upload-content-type"] == "video/mp4"
    assert call["body"] == {
        "snippet": {
            "title": "Summer",
            "description": "What we did",
            "categoryId": "19",
            "tags": ["sea", "long words"],
            "defaultLanguage": "pt-BR",
            "defaultAudioLanguage": "pt-BR",
        },
        "status": {
            "privacyStatus": "private",
            "selfDeclaredMadeForKids": True,
            "containsSyntheticMedia": True,
        },
    }


def test_the_bytes_go_in_one_request(channel: Channel) -> None:
    channel.stage(channel.target())
    (call,) = channel.ground.calls("upload.bytes")
    assert call["method"] == "PUT"
    assert call["headers"]["content-length"] == str(film().stat().st_size)
    assert call["headers"]["content-type"] == "video/mp4"
    assert "content-range" not in call["headers"]
    assert "transfer-encoding" not in call["headers"]


def test_a_cut_upload_goes_on_where_the_session_says(channel: Channel) -> None:
    channel.fault("upload.bytes", "lose_before", str(STEP + 5000))
    assert channel.stage(channel.target()) == Staged()
    assert channel.endpoints()[:4] == [
        "videos.insert", "upload.bytes", "upload.status", "upload.bytes",
    ]  # fmt: skip
    total = film().stat().st_size
    asked = channel.call("upload.status")["headers"]
    assert asked["content-range"] == f"bytes */{total}"
    assert asked["content-length"] == "0"
    resumed = channel.call("upload.bytes", 1)["headers"]
    assert resumed["content-range"] == f"bytes {STEP}-{total - 1}/{total}"
    assert resumed["content-length"] == str(total - STEP)
    (video,) = channel.videos
    assert video["sha256"] == digest()


def test_a_session_that_holds_nothing_answers_without_a_range(channel: Channel) -> None:
    channel.fault("upload.bytes", "lose_before", "0")
    target = channel.target()
    assert isinstance(channel.stage(target), Unsure)  # nothing arrived: no round without a pause
    assert channel.publisher.reconcile(channel.go_on(target)) == NotThere()
    assert channel.stage(channel.go_on(target)) == Staged()
    assert channel.endpoints().count("videos.insert") == 1  # the same session
    assert len(channel.videos) == 1


def test_the_session_is_saved_before_the_first_byte(channel: Channel) -> None:
    channel.fault("upload.bytes", "lose_before", "0")
    channel.stage(channel.target())
    assert [sorted(state) for state in channel.saved] == [
        ["opened_at"], ["opened_at", "session"],
    ]  # fmt: skip


def test_an_answer_that_was_lost_after_all_bytes_is_asked_for(channel: Channel) -> None:
    channel.fault("upload.bytes", "lose")
    assert channel.stage(channel.target()) == Staged()
    assert channel.endpoints()[1:3] == ["upload.bytes", "upload.status"]
    assert len(channel.videos) == 1


def test_a_session_that_youtube_forgot_begins_anew(channel: Channel) -> None:
    target = channel.target()
    channel.fault("upload.bytes", "lose_before", "0")
    channel.stage(target)
    channel.fault("upload.status", "refuse")
    assert channel.stage(channel.go_on(target)) == Staged()
    assert channel.endpoints().count("videos.insert") == 2
    assert len(channel.videos) == 1


def test_a_forgotten_session_that_became_a_video_is_found(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    lost = replace(target, checkpoint=channel.saved[1])  # as it was before the answer
    assert "video" not in lost.checkpoint
    channel.fault("upload.status", "blind")
    assert channel.publisher.stage(lost, channel.save) == Staged()
    assert channel.saved[-1]["video"] == channel.videos[0]["id"]
    assert channel.endpoints().count("videos.insert") == 1
    looked = parse_qs(channel.call("playlistItems.list")["query"])
    assert looked["playlistId"] == [f"UU{CHANNEL[2:]}"]


def test_two_videos_that_look_alike_are_for_a_person_to_tell_apart(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    lost = replace(target, checkpoint=channel.saved[1])
    channel.stage(target)  # somebody else uploads the same
    channel.fault("upload.status", "blind", lasts=True)
    assert isinstance(channel.publisher.reconcile(lost), Unsure)
    assert isinstance(channel.publisher.stage(lost, channel.save), Unsure)
    assert len(channel.videos) == 2


def test_the_token_only_goes_to_youtubes_own_hosts(channel: Channel) -> None:
    from tasks.publish.publishers.youtube.api import Api
    from tasks.publish.remote import Answer

    api = Api(channel.stand.settings, channel.target())
    ours = f"{channel.stand.settings.youtube_api_url}/upload/youtube/v3/videos?upload_id=1"
    for address, expected in [
        (ours, ours),
        ("https://upload.googleapis.com/x", "https://upload.googleapis.com/x"),
        ("http://upload.googleapis.com/x", None),
        ("https://evil.example/x", None),
        ("https://googleapis.com.evil.example/x", None),
        ("", None),
    ]:
        assert api.session_of(Answer({}, {"location": address})) == expected


def test_going_live_rewrites_the_whole_status(channel: Channel) -> None:
    target = channel.target(chosen={"made_for_kids": True, "synthetic_media": True})
    channel.stage(target)
    id = channel.videos[0]["id"]

    def by_hand(video: dict[str, object]) -> dict[str, object]:
        status = {**video["status"], "embeddable": False, "license": "creativeCommon"}  # type: ignore[dict-item]
        return {**video, "status": status}

    channel.ground.change("video", id, by_hand)
    channel.go_live(target)
    call = channel.call("videos.update")
    assert (call["method"], call["path"]) == ("PUT", "/youtube/v3/videos")
    assert parse_qs(call["query"]) == {"part": ["status"]}
    assert call["headers"]["content-type"] == "application/json"
    assert call["body"] == {
        "id": id,
        "status": {
            "privacyStatus": "public",
            "license": "creativeCommon",
            "embeddable": False,
            "publicStatsViewable": True,
            "selfDeclaredMadeForKids": True,
            "containsSyntheticMedia": True,
        },
    }


@pytest.mark.parametrize("privacy", ["unlisted", "private"])
def test_who_can_see_it_is_as_chosen(channel: Channel, privacy: str) -> None:
    target = channel.target(chosen={"privacy": privacy})
    assert channel.stage(target) == Staged()
    assert isinstance(channel.go_live(target), Done)
    assert channel.videos[0]["status"]["privacyStatus"] == privacy


def test_what_was_chosen_for_the_account_counts_unless_the_post_says_otherwise(
    channel: Channel,
) -> None:
    target = channel.target(options={"privacy": "unlisted", "category": "10"})
    channel.stage(target)
    channel.go_live(target)
    (video,) = channel.videos
    assert video["status"]["privacyStatus"] == "unlisted"
    assert video["snippet"]["categoryId"] == "10"


def test_a_second_go_live_changes_nothing(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    assert channel.go_live(target) == channel.go_live(target)
    assert channel.endpoints().count("videos.update") == 1


def test_a_lost_answer_to_go_live_is_looked_up(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    channel.fault("videos.update", "lose")
    assert isinstance(channel.go_live(target), Unsure)
    assert isinstance(channel.publisher.reconcile(channel.go_on(target)), Done)


@pytest.mark.parametrize("reason", ["forbidden", "accessNotConfigured", "whatIsThat"])
def test_a_look_that_is_refused_says_nothing_about_the_video(channel: Channel, reason: str) -> None:
    target = channel.target()
    channel.stage(target)
    channel.fault("videos.update", "lose")
    assert isinstance(channel.go_live(target), Unsure)
    for _ in range(3):
        channel.fault("videos.list", "refuse", reason)
    target = channel.go_on(target)
    for step in (
        channel.publisher.reconcile(target),
        channel.publisher.poll(target),
        channel.publisher.stage(target, channel.save),
    ):
        assert isinstance(step, RetryAt) and step.counted
    assert channel.endpoints().count("videos.insert") == 1
    assert "videos.delete" not in channel.endpoints()
    assert isinstance(channel.publisher.reconcile(target), Done)
    assert len(channel.videos) == 1


def test_a_session_that_may_not_be_asked_about_is_kept(channel: Channel) -> None:
    target = channel.target()
    channel.fault("upload.bytes", "lose_before", "0")
    assert isinstance(channel.stage(target), Unsure)
    session = channel.saved[-1]["session"]
    with pytest.MonkeyPatch.context() as patch:
        answer = Refused(403, "The proxy says no.", None, None, "HTTP 403", {}, {})
        patch.setattr(Api, "ask_session", lambda self, session: answer)
        for _ in range(3):
            assert isinstance(channel.publisher.reconcile(channel.go_on(target)), RetryAt)
        assert isinstance(channel.stage(channel.go_on(target)), RetryAt)
    assert channel.saved[-1]["session"] == session
    assert channel.endpoints().count("videos.insert") == 1


@pytest.mark.parametrize("status", [403, 404, 418])
def test_the_page_of_a_proxy_is_no_word_of_youtube(status: int) -> None:
    refused = Refused(status, "The proxy says no.", None, None, f"HTTP {status}", {}, {})
    step = looked_in_vain(refused)
    assert isinstance(step, RetryAt) and step.counted


def test_a_project_without_audit_is_noticed_and_the_video_uploaded_anew(channel: Channel) -> None:
    target = channel.target()
    channel.fault("videos.insert", "lock_private")
    channel.stage(target)
    failed = channel.go_live(target)
    assert isinstance(failed, Failed)
    assert failed.code == "locked_private"
    assert "audit" in failed.reason
    locked = channel.videos[0]["id"]
    assert channel.stage(channel.go_on(target)) == Staged()  # Retry, after the audit
    assert isinstance(channel.go_live(target), Done)
    (video,) = channel.videos
    assert video["id"] != locked


def test_youtube_keeps_a_post_until_its_time(channel: Channel) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    target = channel.target(publish_at=at)
    assert channel.stage(target) == Held(at)
    status = channel.call("videos.insert")["body"]["status"]
    assert status["privacyStatus"] == "private"
    assert status["publishAt"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert channel.publisher.reconcile(channel.go_on(target)) == Held(at)
    # The time has come.
    id = channel.videos[0]["id"]

    def later(video: dict[str, object]) -> dict[str, object]:
        gone = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        return {**video, "status": {**video["status"], "publishAt": gone}}  # type: ignore[dict-item]

    channel.ground.change("video", id, later)
    assert isinstance(channel.publisher.poll(channel.go_on(target)), Done)
    assert "videos.update" not in channel.endpoints()


def test_a_held_post_can_go_out_at_once(channel: Channel) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    target = channel.target(publish_at=at)
    channel.stage(target)
    assert isinstance(channel.go_live(replace(target, publish_at=None)), Done)
    status = channel.videos[0]["status"]
    assert status["privacyStatus"] == "public"
    assert "publishAt" not in status


def test_only_public_videos_can_be_held_there(channel: Channel) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    target = channel.target(publish_at=at, chosen={"privacy": "unlisted"})
    assert isinstance(channel.stage(target), MustEdit)
    assert channel.endpoints() == []


@pytest.mark.parametrize("privacy", ["unlisted", "private"])
def test_what_is_not_public_is_never_given_a_time_afterwards(
    channel: Channel, privacy: str
) -> None:
    target = channel.target(chosen={"privacy": privacy})
    assert channel.stage(target) == Staged()
    at = datetime.now(UTC) + timedelta(hours=2)
    step = channel.go_live(replace(target, publish_at=at))
    assert isinstance(step, RetryAt)
    assert (step.when, step.counted) == (at, False)
    assert "videos.update" not in channel.endpoints()
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert isinstance(channel.go_live(replace(target, publish_at=past)), Done)
    (status,) = (video["status"] for video in channel.videos)
    assert status["privacyStatus"] == privacy
    assert "publishAt" not in status


def test_a_staged_post_goes_live_never_before_its_time(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    assert channel.go_live(replace(target, publish_at=at)) == Held(at)
    assert channel.videos[0]["status"]["privacyStatus"] == "private"


def test_the_cover_comes_along(channel: Channel, tmp_path: Path) -> None:
    picture = cover(tmp_path)
    assert channel.stage(channel.target(cover=picture)) == Staged()
    call = channel.call("thumbnails.set")
    assert (call["method"], call["path"]) == ("POST", "/upload/youtube/v3/thumbnails/set")
    assert parse_qs(call["query"])["videoId"] == [channel.videos[0]["id"]]
    assert call["headers"]["content-type"] == "image/jpeg"
    assert call["size_bytes"] == picture.stat().st_size
    assert channel.videos[0]["cover_sha256"]


def test_a_cover_that_isnt_taken_is_said_and_fails_nothing(
    channel: Channel, tmp_path: Path
) -> None:
    channel.fault("thumbnails.set", "refuse", "forbidden")
    target = channel.target(cover=cover(tmp_path))
    assert channel.stage(target) == Staged()
    done = channel.go_live(target)
    assert isinstance(done, Done)
    assert "verified" in done.note
    # And it isn't tried again with every step.
    channel.stage(channel.go_on(target))
    assert channel.endpoints().count("thumbnails.set") == 1


def test_captions_come_along_once(channel: Channel, tmp_path: Path) -> None:
    text = "WEBVTT\nLanguage: de\n\n00:00.000 --> 00:01.000\nGrüße\n"
    (tmp_path / "captions.vtt").write_text(text, encoding="utf-8")
    target = channel.target(captions=tmp_path / "captions.vtt")
    channel.fault("captions.insert", "lose")
    assert channel.stage(target) == Staged()
    (caption,) = channel.ground.all("caption")
    assert caption["snippet"]["language"] == "de"
    assert caption["snippet"]["videoId"] == channel.videos[0]["id"]
    assert (
        caption["text"].strip() == text.replace("\n", "\r\n").strip() or "Grüße" in caption["text"]
    )
    kind = channel.call("captions.insert")["headers"]["content-type"]
    assert kind.startswith("multipart/related; boundary=")
    assert channel.spent["units"] == 801  # both calls cost; and one look


def test_the_video_goes_into_the_playlist_once(channel: Channel) -> None:
    address = f"https://www.youtube.com/playlist?list={PLAYLIST}"
    target = channel.target(chosen={"playlist": address})
    channel.stage(target)
    assert channel.ground.all("item") == []  # nobody sees a gap in the playlist
    channel.fault("playlistItems.insert", "lose")
    assert isinstance(channel.go_live(target), Done)
    (item,) = channel.ground.all("item")
    assert (item["playlist"], item["video"]) == (PLAYLIST, channel.videos[0]["id"])
    body = channel.call("playlistItems.insert")["body"]
    assert body["snippet"]["resourceId"]["kind"] == "youtube#video"


def test_a_worker_that_died_before_the_playlist_makes_up_for_it(channel: Channel) -> None:
    target = channel.target(chosen={"playlist": PLAYLIST})
    channel.stage(target)
    before = channel.go_on(target)
    channel.go_live(target)
    with channel.ground.connection() as db:
        db.execute("DELETE FROM thing WHERE kind = 'item'")
    assert channel.publisher.reconcile(before) == Staged()
    assert isinstance(channel.publisher.go_live(before, channel.save), Done)
    assert len(channel.ground.all("item")) == 1
    assert channel.endpoints().count("videos.update") == 1


def test_a_playlist_that_isnt_there_is_said(channel: Channel) -> None:
    target = channel.target(chosen={"playlist": "PLnotthere0000"})
    channel.stage(target)
    done = channel.go_live(target)
    assert isinstance(done, Done)
    assert "playlist" in done.note


def test_shorts_are_recognised(channel: Channel) -> None:
    upright = replace(channel.target().media, width=90, height=160, duration_s=180.0)
    target = channel.target(media=upright)
    channel.stage(target)
    done = channel.go_live(target)
    assert isinstance(done, Done)
    assert done.url == f"https://www.youtube.com/shorts/{done.remote_id}"


def test_texts_are_changed_and_the_rest_of_the_snippet_stays(channel: Channel) -> None:
    target = channel.target(chosen={"tags": "sea, sun", "category": "19", "language": "en"})
    channel.stage(target)
    done = channel.go_live(target)
    assert isinstance(done, Done)
    edited = replace(target, remote_id=done.remote_id, draft=PostDraft("Autumn", "Later"))
    assert channel.publisher.edit(edited) == done
    call = channel.call("videos.update", 1)
    assert parse_qs(call["query"]) == {"part": ["snippet"]}
    assert channel.videos[0]["snippet"] == {
        "title": "Autumn",
        "description": "Later",
        "categoryId": "19",
        "tags": ["sea", "sun"],
        "defaultLanguage": "en",
    }
    assert channel.videos[0]["status"]["privacyStatus"] == "public"


def test_a_removed_video_cant_be_edited(channel: Channel) -> None:
    assert channel.publisher.edit(channel.target(remote_id="gone")) == NotThere()


def test_the_first_comment_is_made_once(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    target = channel.go_on(target)
    channel.fault("commentThreads.insert", "lose")
    assert isinstance(channel.publisher.comment(target, "First!"), RetryAt)
    assert isinstance(channel.publisher.comment(target, "First!"), Done)
    (comment,) = channel.ground.all("comment")
    text = comment["snippet"]["topLevelComment"]["snippet"]["textOriginal"]
    assert text == "First!"
    channel.fault("commentThreads.insert", "refuse", "commentsDisabled")
    assert isinstance(channel.publisher.comment(target, "Second"), Failed)


def test_numbers_are_numbers(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    numbers = channel.publisher.numbers(channel.go_on(target))
    assert isinstance(numbers, dict)
    assert set(numbers) == {"views", "likes", "comments"}
    assert channel.publisher.numbers(channel.target(remote_id="gone")) == NotThere()


def test_what_was_staged_or_posted_can_be_removed(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    assert channel.publisher.delete(channel.go_on(target)) == NotThere()
    assert channel.videos == []
    assert channel.publisher.delete(channel.go_on(target)) == NotThere()
    call = channel.call("videos.delete")
    assert (call["method"], call["path"]) == ("DELETE", "/youtube/v3/videos")


@pytest.mark.parametrize("shown", ["unlisted", "public"])
def test_what_somebody_shows_by_hand_is_no_leftover(channel: Channel, shown: str) -> None:
    target = channel.target()
    channel.stage(target)
    mine = replace(channel.go_on(target), unseen_only=True)
    (video,) = channel.videos

    def show(kept: dict[str, Any]) -> dict[str, Any]:
        return {**kept, "status": {**kept["status"], "privacyStatus": shown}}

    channel.ground.change("video", video["id"], show)
    assert isinstance(remove_unseen(channel.publisher, mine), Done)
    assert "videos.delete" not in channel.endpoints() and len(channel.videos) == 1
    shown = "private"
    channel.ground.change("video", video["id"], show)
    channel.fault("videos.list", "break_before", skip=1)
    assert isinstance(remove_unseen(channel.publisher, mine), RetryAt)
    assert remove_unseen(channel.publisher, mine) == NotThere()
    assert channel.videos == []


def test_a_cancelled_upload_leaves_nothing(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    whole = replace(target, checkpoint=channel.saved[1])  # the answer was lost, all bytes are there
    assert channel.publisher.delete(whole) == NotThere()
    assert channel.videos == []
    channel.fault("upload.bytes", "lose_before", "0")
    channel.saved.clear()
    channel.stage(target)
    assert channel.publisher.delete(channel.go_on(target)) == NotThere()


def test_a_video_that_was_deleted_there_is_uploaded_again(channel: Channel) -> None:
    target = channel.target()
    channel.stage(target)
    channel.publisher.delete(channel.go_on(target))
    assert channel.go_live(target) == NotThere()
    assert channel.stage(channel.go_on(target)) == Staged()
    assert isinstance(channel.go_live(target), Done)


def test_slow_processing_is_waited_for(channel: Channel) -> None:
    channel.fault("processing", "slow", "60")
    target = channel.target()
    step = channel.publisher.stage(target, channel.save)
    assert isinstance(step, WaitUntil)
    assert isinstance(channel.publisher.poll(channel.go_on(target)), WaitUntil)
    long_ago = {**channel.saved[-1], "uploaded_at": "2026-01-01T00:00:00Z"}
    patient = replace(target, checkpoint=long_ago)
    assert channel.publisher.poll(patient) == Staged()  # goes live as it is


@pytest.mark.parametrize(
    ("reason", "words"),
    [("duplicate", "already"), ("length", "youtube.com/verify"), ("codec", "encoded")],
)
def test_a_rejected_video_says_why(channel: Channel, reason: str, words: str) -> None:
    channel.fault("processing", "reject", reason)
    failed = channel.stage(channel.target())
    assert isinstance(failed, Failed)
    assert words in failed.reason
    assert reason in failed.detail


def test_retry_uploads_anew_what_youtube_has_rejected(channel: Channel) -> None:
    target = channel.target()
    channel.fault("processing", "reject", "length")
    assert isinstance(channel.stage(target), Failed)
    rejected = channel.videos[0]["id"]
    assert channel.stage(channel.go_on(target)) == Staged()  # the channel is verified by now
    (video,) = channel.videos
    assert video["id"] != rejected


def test_a_sign_in_that_ended_asks_for_a_new_one(channel: Channel) -> None:
    assert isinstance(channel.stage(channel.target(credentials={})), NeedsReconnect)
    target = channel.target()
    channel.stage(target)
    channel.fault("videos.list", "expire")
    assert isinstance(channel.go_live(target), NeedsReconnect)


def test_a_pause_is_kept(channel: Channel) -> None:
    channel.fault("videos.insert", "throttle", "90")
    step = channel.stage(channel.target())
    assert isinstance(step, RetryAt)
    assert step.when is not None
    assert not step.counted


def test_a_broken_start_made_nothing_and_is_simply_repeated(channel: Channel) -> None:
    for kind in ("lose", "break_after", "break_before", "lose_before"):
        channel.fault("videos.insert", kind)
        assert isinstance(channel.stage(channel.target()), RetryAt)
    assert channel.stage(channel.target()) == Staged()
    assert len(channel.videos) == 1


def test_no_token_is_in_an_address_or_a_log(
    channel: Channel, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    target = channel.target(chosen={"playlist": PLAYLIST}, cover=cover(tmp_path))
    channel.fault("upload.bytes", "lose_before", "0")
    channel.stage(target)
    channel.stage(channel.go_on(target))
    channel.go_live(target)
    channel.publisher.comment(channel.go_on(target), "First!")
    channel.publisher.delete(channel.go_on(target))
    assert channel.token not in caplog.text
    assert not any(channel.token in call["path"] + call["query"] for call in channel.ground.calls())
