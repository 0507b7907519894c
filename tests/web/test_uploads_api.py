"""The form without script."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.clock import now
from appliance.models import Role, Upload, User, Video, Visibility
from appliance.states import UploadState, VideoState
from appliance.vault import open_vault
from tests.web.serving import add_user, wait_until
from web.upload_form import upload_form_action

if TYPE_CHECKING:
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
    assert layout.original(video.public_id).read_bytes() == BODY


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
