"""Unfinished uploads: who sees which, how far and how fast they are, and cancelling them."""

from __future__ import annotations

import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.models import Role, Upload, User, Video
from appliance.states import UploadState
from tests.web.serving import add_user, browser, script, send_form, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.serving import Served

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"


@pytest.fixture
def url(one_server: Served) -> str:
    return one_server.url


@pytest.fixture
def owner(url: str) -> User:
    return add_user()


@pytest.fixture
def editor(url: str) -> User:
    return add_user("editor@example.org", Role.EDITOR)


@pytest.fixture
def client(url: str, owner: User) -> Iterator[httpx.Client]:
    with script(url, owner) as client:
        yield client


def begin(client: httpx.Client, name: str = "Talk.mp4", length: int | None = 1000) -> str:
    """Its address."""
    sized = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    named = b64encode(name.encode()).decode()
    answer = client.post("/files", headers={**TUS, **sized, "Upload-Metadata": f"filename {named}"})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def send(client: httpx.Client, address: str, body: bytes, offset: int = 0) -> httpx.Response:
    headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": BYTES}
    return client.patch(address, headers=headers, content=body)


def listed(client: httpx.Client) -> list[Any]:
    return client.get("/api/v1/uploads").json()["items"]  # type: ignore[no-any-return]


def test_the_list_says_whose_how_far_and_until_when(client: httpx.Client) -> None:
    address = begin(client)
    assert send(client, address, b"x" * 250).status_code == 204
    (found,) = listed(client)
    assert found["title"] == "Talk"
    assert found["owner"] == "owner"
    assert (found["offset"], found["length"], found["progress"]) == (250, 1000, 0.25)
    assert found["expires_at"] > found["touched_at"] >= found["created_at"]
    assert address.split("/")[-1].startswith(found["upload_id"])
    assert "token" not in str(found)  # whoever sees the list can't send
    assert address.split(".")[-1] not in str(found)


def test_an_upload_whose_length_is_not_known_yet(client: httpx.Client) -> None:
    address = begin(client, length=None)
    send(client, address, b"x" * 250)
    (found,) = listed(client)
    assert (found["offset"], found["length"], found["progress"]) == (250, None, None)


def test_editors_see_their_own_and_admins_all(url: str, client: httpx.Client, editor: User) -> None:
    begin(client, "Owners.mp4")
    with script(url, editor) as theirs:
        begin(theirs, "Editors.mp4")
        assert [row["title"] for row in listed(theirs)] == ["Editors"]
    assert [row["title"] for row in listed(client)] == ["Editors", "Owners"]


def test_what_is_finished_is_not_listed(client: httpx.Client) -> None:
    send(client, begin(client), b"x" * 1000)
    assert listed(client) == []


class Sending:
    """A PATCH whose body has begun and not ended."""

    def __init__(self, url: str, address: str, body: bytes, size: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=10)
        self.socket.sendall(
            f"PATCH {address} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            f"Content-Type: {BYTES}\r\nContent-Length: {size}\r\n\r\n".encode()
            + body
        )

    def answer(self) -> str:
        found = b""
        while piece := self.socket.recv(4096):
            found += piece
            if b"\r\n\r\n" in found:
                break
        return found.decode()


def test_while_bytes_arrive_it_says_so_with_pace(url: str, client: httpx.Client) -> None:
    address = begin(client, length=1_000_000)
    sending = Sending(url, address, b"x" * 400_000, 1_000_000)
    with sending.socket:
        found = wait_until(
            "the bytes are counted",
            lambda: next((row for row in listed(client) if row["offset"] == 400_000), None),
        )
        assert found["sending"] is True
        assert found["bytes_per_s"] > 0
        assert found["eta_s"] is not None
    wait_until("it is idle", lambda: listed(client)[0]["bytes_per_s"] is None)


def test_cancelling_ends_it_while_bytes_arrive(url: str, client: httpx.Client) -> None:
    address = begin(client, length=1_000_000)
    sending = Sending(url, address, b"x" * 400_000, 1_000_000)
    with sending.socket:
        wait_until("bytes arrive", lambda: listed(client)[0]["offset"] > 0)
        upload_id = listed(client)[0]["upload_id"]
        assert client.delete(f"/api/v1/uploads/{upload_id}").status_code == 204
        assert " 410 " in sending.answer().splitlines()[0]
    assert listed(client) == []
    assert Upload.get().state is UploadState.TERMINATED
    assert Video.select().count() == 0
    assert client.delete(f"/api/v1/uploads/{upload_id}").status_code == 409


def test_uploads_of_others_are_none(url: str, client: httpx.Client, editor: User) -> None:
    begin(client)
    upload_id = listed(client)[0]["upload_id"]
    with script(url, editor) as theirs:
        assert theirs.delete(f"/api/v1/uploads/{upload_id}").status_code == 404
        assert theirs.delete(f"/api/v1/uploads/{'x' * 26}").status_code == 404
    assert len(listed(client)) == 1


def test_the_page_lists_and_cancels(url: str, owner: User, client: httpx.Client) -> None:
    with browser(url, owner) as visitor:
        assert "No unfinished uploads" in visitor.get("/uploads").text
        begin(client, "<b>Talk.mp4")
        upload_id = listed(client)[0]["upload_id"]
        page = visitor.get("/uploads").text
        assert "&lt;b&gt;Talk" in page and "<b>Talk" not in page
        assert f"/uploads/{upload_id}/cancel" in page
        assert "<html" not in visitor.get("/uploads/_list").text
        question = visitor.get(f"/uploads/{upload_id}/cancel").text
        assert "0 bytes" in question and "Cancel upload" in question
        in_dialog = visitor.get(f"/uploads/{upload_id}/cancel", headers={"HX-Request": "true"})
        assert "<html" not in in_dialog.text
        answer = send_form(visitor, f"/uploads/{upload_id}/cancel")
        assert (answer.status_code, answer.headers["location"]) == (303, "/uploads")
        assert "No unfinished uploads" in visitor.get("/uploads").text
        # Somebody else was first: no error, the list.
        assert visitor.get(f"/uploads/{upload_id}/cancel").status_code == 303


def test_the_jobs_page_leads_there_for_those_who_may_upload(url: str, owner: User) -> None:
    with browser(url, owner) as visitor:
        assert 'href="/uploads"' in visitor.get("/jobs").text
    with browser(url, add_user("viewer@example.org", Role.VIEWER)) as visitor:
        assert 'href="/uploads"' not in visitor.get("/jobs").text
