"""Grants for scripts, the plain PUT, the word "complete", and the form without script."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.access import Scope
from appliance.clock import now
from appliance.models import Job, Role, Source, Upload, User, Video, Visibility
from appliance.states import UploadState, VideoState
from appliance.vault import open_vault
from tests.web.serving import add_user, script, wait_until
from web.upload_form import upload_form_action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served

BODY = os.urandom(200_000)
WANTED = {"filename": "Talk.mp4", "file_size": len(BODY), "content_type": "video/mp4"}


@pytest.fixture
def settings(one_server: Served) -> Settings:
    return one_server.settings


@pytest.fixture
def url(one_server: Served) -> str:
    return one_server.url


@pytest.fixture
def owner(url: str) -> User:
    return add_user()


@pytest.fixture
def client(url: str, owner: User) -> Iterator[httpx.Client]:
    with script(url, owner) as client:
        yield client


@pytest.fixture
def stranger(url: str) -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def grant(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/api/v1/uploads", json=WANTED)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def original(layout: Layout, video_id: str) -> bytes:
    return layout.original(video_id).read_bytes()


def complete(client: httpx.Client, video_id: str, *, success: bool = True) -> httpx.Response:
    return client.post(f"/api/v1/videos/{video_id}/upload/complete", json={"success": success})


def test_a_grant_says_where_and_how_long(
    grant: dict[str, Any], url: str, settings: Settings
) -> None:
    assert set(grant) == {"video_id", "upload_url", "expires_in", "status_url"}
    assert grant["upload_url"].startswith(f"{url}/files/")
    assert abs(grant["expires_in"] - settings.upload_idle_hours * 3600) < 60
    assert grant["status_url"] == f"{url}/api/v1/videos/{grant['video_id']}/status"
    video = Video.get()
    assert (video.state, video.title, video.source) == (VideoState.UPLOADING, "Talk", Source.API)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filename": ""}, "filename"),
        ({"filename": "\u202e\0"}, "filename"),
        ({"file_size": 0}, "file_size"),
        ({"file_size": -1}, "file_size"),
        ({"file_size": 10**15}, "file_size"),
        ({"content_type": "text/html"}, "content_type"),
        ({"content_type": "image/gif"}, "content_type"),
        ({"content_type": ""}, "content_type"),
    ],
    ids=str,
)
def test_name_size_and_type_are_checked_first(
    client: httpx.Client, change: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/uploads", json={**WANTED, **change})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert Upload.select().count() == 0


def test_a_grant_needs_somebody_who_may(url: str, owner: User) -> None:
    assert httpx.post(f"{url}/api/v1/uploads", json=WANTED).status_code == 401
    with script(url, add_user("viewer@example.org", Role.VIEWER)) as viewer:
        assert viewer.post("/api/v1/uploads", json=WANTED).status_code == 403
    with script(url, owner, [Scope.READ]) as reader:
        assert reader.post("/api/v1/uploads", json=WANTED).status_code == 403


def test_one_plain_put_is_enough(
    stranger: httpx.Client, grant: dict[str, Any], layout: Layout
) -> None:
    answer = stranger.put(grant["upload_url"], content=BODY, headers={"Content-Type": "video/mp4"})
    assert answer.status_code == 201
    assert answer.json() == {
        "video_id": grant["video_id"],
        "offset": len(BODY),
        "length": len(BODY),
    }
    assert original(layout, grant["video_id"]) == BODY
    assert Job.select().count() == 1
    assert stranger.put(grant["upload_url"], content=BODY).status_code == 201


def test_the_address_takes_tus_as_well(
    stranger: httpx.Client, grant: dict[str, Any], layout: Layout
) -> None:
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    answer = stranger.patch(grant["upload_url"], headers=headers, content=BODY)
    assert answer.status_code == 204
    assert original(layout, grant["video_id"]) == BODY


@pytest.mark.parametrize(("body", "status"), [(BODY + b"x", 413), (BODY[:-1], 400), (b"", 400)])
def test_a_put_of_another_size_is_refused(
    stranger: httpx.Client, grant: dict[str, Any], layout: Layout, body: bytes, status: int
) -> None:
    assert stranger.put(grant["upload_url"], content=body).status_code == status
    (file,) = layout.uploads.iterdir()
    assert file.stat().st_size == 0


def test_a_put_without_length_is_refused(stranger: httpx.Client, grant: dict[str, Any]) -> None:
    assert stranger.put(grant["upload_url"], content=iter([BODY])).status_code == 411


def put_part(client: httpx.Client, grant: dict[str, Any], first: int, stop: int) -> httpx.Response:
    wanted = f"bytes {first}-{stop - 1}/{len(BODY)}"
    return client.put(
        grant["upload_url"], content=BODY[first:stop], headers={"Content-Range": wanted}
    )


def test_a_put_goes_on_by_content_range(
    stranger: httpx.Client, grant: dict[str, Any], layout: Layout
) -> None:
    first = put_part(stranger, grant, 0, 50_000)
    assert (first.status_code, first.headers["Upload-Offset"]) == (202, "50000")
    gap = put_part(stranger, grant, 60_000, 70_000)
    assert (gap.status_code, gap.headers["Upload-Offset"]) == (409, "50000")
    asked = stranger.put(grant["upload_url"], headers={"Content-Range": f"bytes */{len(BODY)}"})
    assert (asked.status_code, asked.json()["offset"]) == (202, 50_000)
    assert put_part(stranger, grant, 50_000, len(BODY)).status_code == 201
    assert original(layout, grant["video_id"]) == BODY


@pytest.mark.parametrize(
    "wanted", ["bytes 0-9/5", "bytes 5-1/200000", "0-9/200000", "bytes 0-9/*", "items 0-9/200000"]
)
def test_a_content_range_that_makes_no_sense(
    stranger: httpx.Client, grant: dict[str, Any], wanted: str
) -> None:
    answer = stranger.put(grant["upload_url"], content=BODY[:10], headers={"Content-Range": wanted})
    assert answer.status_code == 400


def test_a_whole_put_after_a_cut_one_starts_anew(
    stranger: httpx.Client, grant: dict[str, Any], layout: Layout
) -> None:
    (file,) = layout.uploads.iterdir()
    parts = urlsplit(grant["upload_url"])
    head = f"PUT {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(BODY)}"
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + b"x" * 60_000)
        wait_until("the first bytes are there", lambda: file.stat().st_size == 60_000)
    assert stranger.put(grant["upload_url"], content=BODY).status_code == 201
    assert original(layout, grant["video_id"]) == BODY


def test_complete_waits_for_the_last_byte(
    client: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    put_part(stranger, grant, 0, 50_000)
    early = complete(client, grant["video_id"])
    assert early.status_code == 409
    assert early.headers["Content-Type"].startswith("application/problem+json")
    assert (early.json()["offset"], early.json()["length"]) == (50_000, len(BODY))
    put_part(stranger, grant, 50_000, len(BODY))
    for _ in range(2):
        done = complete(client, grant["video_id"])
        assert done.status_code == 200
        assert done.json() == {
            "video_id": grant["video_id"],
            "state": "received",
            "status_url": grant["status_url"],
        }
    assert Job.select().count() == 1


def test_a_sender_may_say_that_it_failed(
    client: httpx.Client, stranger: httpx.Client, grant: dict[str, Any], layout: Layout
) -> None:
    put_part(stranger, grant, 0, 50_000)
    for _ in range(2):
        answer = complete(client, grant["video_id"], success=False)
        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert Video.get().error == "The sender reported that the upload failed."
    assert list(layout.uploads.iterdir()) == []
    assert put_part(stranger, grant, 50_000, len(BODY)).status_code == 410
    assert complete(client, grant["video_id"]).status_code == 409


def test_what_is_here_can_not_fail_any_more(
    client: httpx.Client, stranger: httpx.Client, grant: dict[str, Any]
) -> None:
    stranger.put(grant["upload_url"], content=BODY)
    assert complete(client, grant["video_id"], success=False).status_code == 409
    assert Video.get().state is VideoState.RECEIVED


def test_other_peoples_uploads_are_not_found(url: str, grant: dict[str, Any]) -> None:
    with script(url, add_user("editor@example.org", Role.EDITOR)) as other:
        assert complete(other, grant["video_id"]).status_code == 404
        assert complete(other, "0" * 26).status_code == 404


# The form without script


def send(url: str, action: str, files: Any, data: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(f"{url}{action}", files=files, data=data or {})


@pytest.fixture
def action(owner: User, settings: Settings) -> str:
    return upload_form_action(open_vault(settings), owner)


def test_a_form_is_streamed_into_a_video(
    url: str, action: str, layout: Layout, owner: User
) -> None:
    answer = send(
        url,
        action,
        {"file": ('My "clip".mp4', BODY, "video/mp4")},
        {"title": "From a form", "visibility": "private"},
    )
    video = Video.get()
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/videos/{video.public_id}")
    assert (video.title, video.visibility, video.owner_id) == (
        "From a form",
        Visibility.PRIVATE,
        owner.id,
    )
    assert (video.state, video.size_bytes) == (VideoState.RECEIVED, len(BODY))
    assert original(layout, video.public_id) == BODY


def test_several_files_lead_to_the_library(url: str, action: str) -> None:
    files = [("file", (f"{n}.mp4", BODY[:n], "video/mp4")) for n in (10, 20)]
    assert send(url, action, files).headers["Location"] == "/"
    assert sorted(video.size_bytes for video in Video.select()) == [10, 20]


def test_a_form_without_a_file_says_so(url: str, action: str) -> None:
    answer = send(url, action, {"file": ("", b"", "application/octet-stream")})
    assert answer.status_code == 422
    assert "Choose a file first" in answer.text
    assert Video.select().count() == 0


def test_a_form_that_is_none(url: str, action: str) -> None:
    answer = httpx.post(f"{url}{action}", content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    broken = httpx.post(
        f"{url}{action}",
        content=b"--b\r\nnonsense",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert broken.status_code == 422


def test_a_form_of_unknown_length_finds_no_way_around_the_reserve(url: str, action: str) -> None:
    part = b"--b\r\nContent-Disposition: form-data; name=file; filename=a.mp4\r\n\r\nabc\r\n--b--"
    answer = httpx.post(
        url + action,
        content=iter([part]),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, "Content-Length" in answer.text) == (422, True)
    assert Video.select().count() == 0


def test_a_cut_form_leaves_nothing(url: str, action: str, layout: Layout) -> None:
    parts = urlsplit(url)
    head = (
        b"--b\r\nContent-Disposition: form-data; name=file; filename=a.mp4\r\n\r\n" + b"x" * 50_000
    )
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
        connection.sendall(
            f"POST {action} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 99999\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            + head
        )
        wait_until("the form arrives", lambda: Video.select().count() == 1)
    wait_until("it is gone again", lambda: Video.select().count() == 0)
    assert Upload.get().state is UploadState.TERMINATED
    assert list(layout.uploads.iterdir()) == []


def test_the_action_is_only_good_as_signed(
    url: str, action: str, owner: User, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    files = {"file": ("a.mp4", b"abc", "video/mp4")}
    other = add_user("other@example.org", Role.EDITOR)
    forged = action.replace(owner.public_id, other.public_id)
    assert send(url, forged, files).status_code == 403
    assert send(url, "/upload/nonsense", files).status_code == 403
    monkeypatch.setattr("web.upload_form.LIFE", timedelta(seconds=-1))
    old = upload_form_action(open_vault(settings), owner)
    assert send(url, old, files).status_code == 403
    User.update(deactivated_at=now()).where(User.id == owner.id).execute()
    assert send(url, action, files).status_code == 403
    assert Video.select().count() == 0
