"""Several requests for one upload: who gets it, who is told what, and what is kept."""

from __future__ import annotations

import http.client
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.models import Role, Upload
from storage import uploads
from tests.web.serving import add_user, script, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.models import User
    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
BODY = os.urandom(300_000)


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


def made(client: httpx.Client, length: int = len(BODY)) -> str:
    answer = client.post("/files", headers={**TUS, "Upload-Length": str(length)})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


class Sender:
    """A PATCH by hand: sends what it is told to, when it is told to."""

    def __init__(self, url: str, location: str, offset: int, size: int) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.socket = socket.create_connection((address.hostname, address.port), timeout=20)
        lines = (
            f"PATCH {location} HTTP/1.1",
            "Host: box",
            "Tus-Resumable: 1.0.0",
            "Content-Type: application/offset+octet-stream",
            f"Upload-Offset: {offset}",
            f"Content-Length: {size}",
        )
        self.socket.sendall("\r\n".join((*lines, "", "")).encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> http.client.HTTPResponse:
        found = http.client.HTTPResponse(self.socket, method="PATCH")
        found.begin()
        return found


@contextmanager
def sending(url: str, location: str, offset: int, size: int) -> Iterator[Sender]:
    sender = Sender(url, location, offset, size)
    try:
        yield sender
    finally:
        sender.socket.close()


def upload_file(layout: Layout) -> Path:
    (file,) = layout.uploads.iterdir()
    return file


def wait_for_size(layout: Layout, size: int) -> None:
    wait_until(f"{size} bytes are written", lambda: upload_file(layout).stat().st_size == size)


def test_a_sender_hears_soon_that_its_upload_was_cancelled(
    client: httpx.Client, url: str, settings: Settings, layout: Layout
) -> None:
    location = made(client)
    admin = add_user("admin@example.org", Role.ADMIN)
    with sending(url, location, 0, len(BODY)) as sender:
        sender.send(BODY[:1000])
        wait_for_size(layout, 1000)
        uploads.cancel(settings, Upload.get().public_id, admin)
        answer: Any = sender.answer()  # though it is silent now
        assert answer.status == 410
        assert b"An admin has cancelled this upload" in answer.read()
    assert client.head(location, headers=TUS).status_code == 410
    assert list(layout.uploads.iterdir()) == []
