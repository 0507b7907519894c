"""Upload grants and the word that an upload is complete (contract: S1-35…42, S3, S4)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.models import Role, Source, Upload, User, Video, VideoTag, Visibility
from appliance.states import UploadState, VideoState
from tests.web.draft_wire import PARTIAL, probes, raw
from tests.web.granting import BODY, WANTED, complete, granted, put_part
from tests.web.serving import add_user, script, wait_until
from tests.web.tus_client import BYTES, TUS, upload_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.layout import Layout
    from tests.web.serving import Served

SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def stranger(one_server: Served) -> Iterator[httpx.Client]:
    """Who has the address, and nothing else."""
    with httpx.Client(timeout=20) as client:
        yield client


@pytest.fixture
def grant(sender: httpx.Client) -> dict[str, Any]:
    return granted(sender)


# The grant


def test_a_grant_says_where_and_how_long(grant: dict[str, Any], one_server: Served) -> None:
    """S4-08, S4-09, S4-13."""
    url = one_server.url
    assert set(grant) == {"video_id", "upload_url", "expires_in", "status_url"}
    assert grant["upload_url"].startswith(f"{url}/files/")
    assert grant["status_url"] == f"{url}/api/v1/videos/{grant['video_id']}/status"
    video = Video.get()
    assert (video.state, video.title, video.source) == (VideoState.UPLOADING, "Talk", Source.API)
    assert (video.size_bytes, Upload.get().length) == (len(BODY), len(BODY))


def test_a_grant_lives_as_set_until_its_first_byte(
    sender: httpx.Client,
    stranger: httpx.Client,
    one_server: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S1-35, S3-10, S4-12: the life is a setting; bytes prolong it."""
    settings = one_server.settings.model_copy(update={"upload_grant_hours": 1 / 6})
    monkeypatch.setattr(one_server.app.state, "settings", settings)
    grant = granted(sender)
    assert abs(grant["expires_in"] - 600) < 5
    put_part(stranger, grant["upload_url"], 0, 1000)
    left = Upload.get().expires_at - now()
    assert abs(left - timedelta(hours=settings.upload_idle_hours)) < timedelta(minutes=1)


def test_a_grant_that_waited_too_long_is_over(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    """S4-27, S4-57. And the word about it is the same before and after it was swept."""
    back = timedelta(hours=25)
    Upload.update(
        touched_at=now() - back,
        touched_boot_s=Upload.touched_boot_s - back.total_seconds(),
        expires_at=now() - timedelta(hours=1),
    ).execute()
    for success in (True, True, False):
        assert complete(sender, grant["video_id"], success=success).status_code == 404
    assert put_part(stranger, grant["upload_url"], 0, 1000).status_code == 410
    assert Upload.get().state is not UploadState.RECEIVING


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"filename": ""}, "filename", "name"),
        ({"filename": "\u202e\0"}, "filename", "name"),
        ({"filename": 5}, "filename", "filename"),
        ({"file_size": 0}, "file_size", "empty"),
        ({"file_size": -1}, "file_size", "fewer than 0 bytes"),
        ({"file_size": 10**12}, "file_size", "at most 21.5 GB"),
        ({"file_size": "five"}, "file_size", "file_size"),
        ({"file_size": True}, "file_size", "file_size"),
        ({"file_size": 1.5}, "file_size", "file_size"),
        ({"content_type": "text/html"}, "content_type", "Only videos"),
        ({"content_type": "image/gif"}, "content_type", "Only videos"),
        ({"content_type": "video"}, "content_type", "Only videos"),
        ({"content_type": "video/"}, "content_type", "Only videos"),
        ({"content_type": ""}, "content_type", "Only videos"),
        ({"sha256": "abc"}, "sha256", "64"),
        ({"tags": ["x" * 50]}, "tags", "too long"),
        ({"visibility": "world"}, "visibility", "visibility"),
        ({"key": "videos/1.mp4"}, "key", "key"),
    ],
    ids=str,
)
def test_what_can_not_come_is_refused_before(
    sender: httpx.Client, change: dict[str, Any], field: str, word: str
) -> None:
    """S1-37, S4-10, S4-44: one sentence, and the field that it is about."""
    answer = sender.post("/api/v1/uploads", json={**WANTED, **change})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert word in answer.json()["detail"]
    assert Upload.select().count() == 0


@pytest.mark.parametrize(
    "kind",
    ["video/mp4", "VIDEO/QuickTime", "audio/mpeg", "application/mxf", "video/webm;codecs=vp9"],
)
def test_types_of_videos_and_sound(sender: httpx.Client, kind: str) -> None:
    granted(sender, content_type=kind)


def test_a_full_box_says_so_before(
    sender: httpx.Client, one_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = one_server.settings.model_copy(update={"disk_reserve": 1 << 60})
    monkeypatch.setattr(one_server.app.state, "settings", full)
    answer = sender.post("/api/v1/uploads", json=WANTED)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert "no room for this file" in answer.json()["detail"]
    assert Video.select().count() == 0


def test_everything_that_may_be_said(sender: httpx.Client) -> None:
    granted(
        sender,
        title="A talk",
        visibility="private",
        sha256=SHA256.upper(),
        index_moved=True,
        tags=["Summer", "#party", "summer"],
    )
    video = Video.get()
    assert (video.title, video.visibility) == ("A talk", Visibility.PRIVATE)
    assert (video.sent_sha256, video.index_moved) == (SHA256, True)
    assert sorted(tag.name for tag in VideoTag.select()) == ["party", "summer"]
    assert Upload.get().sent_sha256 == SHA256


def test_a_grant_is_made_whole_or_not_at_all(sender: httpx.Client) -> None:
    """No crash can part the tags from their video: what fails late undoes all of it."""
    database.execute_sql(
        "CREATE TRIGGER late BEFORE INSERT ON video_tag BEGIN SELECT RAISE(ABORT, 'late'); END"
    )
    assert sender.post("/api/v1/uploads", json={**WANTED, "tags": ["party"]}).status_code == 500
    assert (Upload.select().count(), Video.select().count()) == (0, 0)
    database.execute_sql("DROP TRIGGER late")
    granted(sender, tags=["party"])


def test_a_grant_needs_somebody_who_may(one_server: Served, owner: User) -> None:
    """S1-36, S4-18."""
    url = one_server.url
    assert httpx.post(f"{url}/api/v1/uploads", json=WANTED).status_code == 401
    with script(url, add_user("viewer@example.org", Role.VIEWER)) as viewer:
        assert viewer.post("/api/v1/uploads", json=WANTED).status_code == 403
    with script(url, owner, [Scope.READ, Scope.WRITE]) as reader:
        answer = reader.post("/api/v1/uploads", json=WANTED)
        assert (answer.status_code, "upload" in answer.json()["detail"]) == (403, True)


def test_each_grant_is_for_one_upload(sender: httpx.Client) -> None:
    """S3-08, S3-11: one address, one file, one path; none can be guessed from another."""
    first, second = granted(sender), granted(sender)
    assert first["upload_url"] != second["upload_url"]
    mixed = first["upload_url"].rpartition(".")[0] + "." + second["upload_url"].rpartition(".")[2]
    assert sender.put(mixed, content=BODY).status_code == 404


def test_the_address_takes_tus(stranger: httpx.Client, grant: dict[str, Any], box: Layout) -> None:
    headers = {**TUS, **BYTES, "Upload-Offset": "0"}
    answer = stranger.patch(grant["upload_url"], headers=headers, content=BODY)
    assert answer.status_code == 204
    assert box.original(grant["video_id"]).read_bytes() == BODY


def test_the_address_takes_the_draft(
    stranger: httpx.Client, grant: dict[str, Any], box: Layout
) -> None:
    draft = {"Upload-Draft-Interop-Version": "8"}
    asked = stranger.head(grant["upload_url"], headers=draft)
    assert (asked.headers["Upload-Offset"], asked.headers["Upload-Complete"]) == ("0", "?0")
    assert asked.headers["Upload-Length"] == str(len(BODY))
    headers = {**draft, **PARTIAL, "Upload-Offset": "0", "Upload-Complete": "?1"}
    answer = stranger.patch(grant["upload_url"], headers=headers, content=BODY)
    assert (answer.status_code, answer.json()["video_id"]) == (201, grant["video_id"])
    assert box.original(grant["video_id"]).read_bytes() == BODY


def test_the_address_is_no_place_to_read_from(
    stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    """S3-19: what was sent is private."""
    stranger.put(grant["upload_url"], content=BODY)
    assert stranger.get(grant["upload_url"]).status_code == 405
    assert stranger.get(grant["status_url"]).status_code == 401


# The word that it is complete


def test_complete_waits_for_the_last_byte(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    """S3-12, S4-14, S4-15, S4-17, S4-29, S4-43."""
    none = complete(sender, grant["video_id"])
    assert (none.status_code, none.json()["offset"]) == (409, 0)
    put_part(stranger, grant["upload_url"], 0, 50_000)
    early = complete(sender, grant["video_id"])
    assert early.status_code == 409
    assert early.headers["Content-Type"].startswith("application/problem+json")
    document = early.json()
    assert (document["offset"], document["length"]) == (50_000, len(BODY))
    assert (document["code"], "50000 of 200000 bytes" in document["detail"]) == (
        "bytes_missing",
        True,
    )
    put_part(stranger, grant["upload_url"], 50_000, len(BODY))
    for _ in range(2):
        done = complete(sender, grant["video_id"])
        assert done.status_code == 200
        assert done.json() == {
            "video_id": grant["video_id"],
            "state": "received",
            "status_url": grant["status_url"],
            "sha256_matches": None,
        }
    assert probes() == 1


def test_complete_while_bytes_arrive_leaves_them_in_peace(
    one_server: Served, sender: httpx.Client, grant: dict[str, Any], box: Layout
) -> None:
    target = grant["upload_url"].removeprefix(one_server.url)
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, BODY[:70_000]) as connection:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 70_000)
        early = complete(sender, grant["video_id"])
        assert (early.status_code, early.json()["code"]) == (409, "bytes_missing")
        connection.sendall(BODY[70_000:])
        assert connection.recv(100).startswith(b"HTTP/1.1 201")
    assert complete(sender, grant["video_id"]).status_code == 200


def test_giving_up_ends_what_is_being_sent(
    one_server: Served, sender: httpx.Client, grant: dict[str, Any], box: Layout
) -> None:
    target = grant["upload_url"].removeprefix(one_server.url)
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, BODY[:70_000]) as connection:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 70_000)
        answer = complete(sender, grant["video_id"], success=False)
        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    assert list(box.uploads.iterdir()) == []


def test_a_sender_may_say_that_it_failed(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any], box: Layout
) -> None:
    """S4-16, S4-26."""
    put_part(stranger, grant["upload_url"], 0, 50_000)
    for _ in range(2):
        answer = complete(sender, grant["video_id"], success=False)
        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert Video.get().error == "The sender reported that the upload failed."
    assert list(box.uploads.iterdir()) == []
    assert put_part(stranger, grant["upload_url"], 50_000, len(BODY)).status_code == 410
    for _ in range(2):
        after = complete(sender, grant["video_id"])
        assert (after.status_code, after.json()["code"]) == (409, "upload_gone")


def test_what_is_here_can_not_fail_any_more(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    stranger.put(grant["upload_url"], content=BODY)
    for _ in range(2):
        assert complete(sender, grant["video_id"], success=False).status_code == 409
    assert Video.get().state is VideoState.RECEIVED


def test_bytes_that_were_lost_are_told_of(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any], box: Layout
) -> None:
    put_part(stranger, grant["upload_url"], 0, 50_000)
    upload_file(box).unlink()
    for _ in range(2):
        answer = complete(sender, grant["video_id"])
        assert (answer.status_code, answer.json()["code"]) == (409, "upload_gone")
    assert complete(sender, grant["video_id"], success=False).status_code == 200
    assert Video.get().state is VideoState.FAILED


def test_complete_goes_on_after_a_crash(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any], box: Layout
) -> None:
    """All bytes are in the file, but the process died before it said so."""
    upload_file(box).write_bytes(BODY)
    assert complete(sender, grant["video_id"]).json()["state"] == "received"
    assert box.original(grant["video_id"]).read_bytes() == BODY


def test_the_digest_may_come_at_the_end(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    stranger.put(grant["upload_url"], content=BODY)
    done = complete(sender, grant["video_id"], sha256=SHA256)
    assert (done.status_code, done.json()["sha256_matches"]) == (200, None)
    Video.update(sha256=SHA256).execute()  # as the probe does
    done = complete(sender, grant["video_id"], sha256=SHA256.upper())
    assert (done.status_code, done.json()["sha256_matches"]) == (200, True)


def test_a_file_that_is_not_what_was_sent(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    stranger.put(grant["upload_url"], content=BODY)
    Video.update(sha256=SHA256).execute()
    for _ in range(2):
        answer = complete(sender, grant["video_id"], sha256="0" * 64)
        assert (answer.status_code, answer.json()["code"]) == (409, "digest_mismatch")
        assert "isn't what was sent" in answer.json()["detail"]
    assert complete(sender, grant["video_id"]).status_code == 409
    assert Video.get().state is VideoState.FAILED


def test_two_digests_of_one_file(sender: httpx.Client, stranger: httpx.Client) -> None:
    grant = granted(sender, sha256=SHA256)
    stranger.put(grant["upload_url"], content=BODY)
    answer = complete(sender, grant["video_id"], sha256="0" * 64)
    assert (answer.status_code, answer.json()["code"]) == (409, "digest_differs")
    assert complete(sender, grant["video_id"], sha256=SHA256).status_code == 200


@pytest.mark.parametrize("sha256", ["", "x" * 64, "0" * 63])
def test_a_digest_that_is_none(sender: httpx.Client, grant: dict[str, Any], sha256: str) -> None:
    answer = complete(sender, grant["video_id"], sha256=sha256)
    assert (answer.status_code, answer.json()["field"]) == (422, "sha256")


def test_other_peoples_uploads_are_not_found(one_server: Served, grant: dict[str, Any]) -> None:
    """S1-39, S4-18, S3-20."""
    url = one_server.url
    with script(url, add_user("editor@example.org", Role.EDITOR)) as other:
        for success in (True, False):
            assert complete(other, grant["video_id"], success=success).status_code == 404
        assert complete(other, "0" * 26).status_code == 404
    assert Video.get().state is VideoState.UPLOADING
    assert httpx.post(f"{url}/api/v1/videos/{grant['video_id']}/upload/complete").status_code == 401
    with script(url, User.get(User.role == Role.OWNER), [Scope.READ]) as reader:
        assert complete(reader, grant["video_id"]).status_code == 403
    with script(url, add_user("admin@example.org", Role.ADMIN)) as admin:
        assert complete(admin, grant["video_id"]).status_code == 409  # admins see all


def test_a_deactivated_sender_is_stopped(
    sender: httpx.Client, stranger: httpx.Client, grant: dict[str, Any], owner: User
) -> None:
    User.update(deactivated_at=now()).where(User.id == owner.id).execute()
    assert stranger.put(grant["upload_url"], content=BODY).status_code == 410
    assert Video.select().count() == 0
