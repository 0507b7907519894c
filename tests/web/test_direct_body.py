"""Bodies go from the socket into the file, and what comes before and after them is plain HTTP."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database
from appliance.models import Upload, Video
from storage.layout import Layout
from tests.web.serving import add_token, add_user, prepare, serving, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

TUS = "Tus-Resumable: 1.0.0\r\n"
BODY = os.urandom(3_000_000)


class Wire:
    """One connection, and what is said on it, byte by byte."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("http://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.host = host
        self._rest = b""

    def send(self, *parts: str | bytes) -> None:
        self.socket.sendall(b"".join(p.encode() if isinstance(p, str) else p for p in parts))

    def head(self, method: str, path: str, *headers: str) -> str:
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.host}", *headers, TUS, ""])

    def patch(self, path: str, offset: int, *headers: str) -> str:
        kind = "Content-Type: application/offset+octet-stream"
        return self.head("PATCH", path, kind, f"Upload-Offset: {offset}", *headers)

    def answer(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._rest:
            more = self.socket.recv(65536)
            assert more, f"hung up after {self._rest!r}"
            self._rest += more
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = int(headers.get("content-length", 0)) if "204" not in first else 0
        while len(self._rest) < size:
            self._rest += self.socket.recv(65536)
        self._rest = self._rest[size:]
        return int(first.split()[1]), headers


@contextmanager
def wired(settings: Settings, size: int) -> Iterator[tuple[Wire, str, str]]:
    """A connection, the path of an upload that was begun on it, and the box's address."""
    prepare(settings)
    token = add_token(add_user())
    with serving(settings) as url:
        wire = Wire(url)
        bearer = f"Authorization: Bearer {token}"
        wire.send(wire.head("POST", "/files", bearer, f"Upload-Length: {size}"))
        status, headers = wire.answer()
        assert status == 201
        yield wire, headers["location"], url
        wire.socket.close()


def arrived(settings: Settings) -> bytes:
    with database.connection_context():
        return Layout(settings.data).original(Video.get().public_id).read_bytes()


def length(size: int) -> str:
    return f"Content-Length: {size}"


def test_requests_follow_each_other_on_one_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one may be in the same packet as the end of a body."""

    async def by_asgi(body: Any) -> None:
        raise AssertionError("a body went through ASGI")

    monkeypatch.setattr("web.upload_body.Body._next_message", by_asgi)
    first, second = BODY[:1_000_000], BODY[1_000_000:]
    with wired(settings, len(BODY)) as (wire, path, _):
        wire.send(wire.patch(path, 0, length(len(first))), first, wire.head("HEAD", path))
        assert wire.answer()[0] == 204
        assert wire.answer()[1]["upload-offset"] == "1000000"
        wire.send(wire.patch(path, len(first), length(len(second))))
        for start in range(0, len(second), 99_999):
            wire.send(second[start : start + 99_999])
        assert wire.answer()[0] == 204
        wire.send("GET /health/live HTTP/1.1\r\nHost: box\r\n\r\n")
        assert wire.answer()[0] == 200
    assert arrived(settings) == BODY


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
def test_a_sender_that_waits_for_100_is_told_to_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr("web.direct_body._LEAST_BYTES", 1 << 60)
    with wired(settings, len(BODY)) as (wire, path, _):
        wire.send(wire.patch(path, 0, length(len(BODY)), "Expect: 100-continue"))
        assert wire.answer()[0] == 100
        wire.send(BODY)
        assert wire.answer()[0] == 204
    assert arrived(settings) == BODY


def test_chunked_bodies_arrive_as_well(settings: Settings) -> None:
    with wired(settings, len(BODY)) as (wire, path, _):
        wire.send(wire.patch(path, 0, "Transfer-Encoding: chunked"))
        for start in range(0, len(BODY), 70_000):
            piece = BODY[start : start + 70_000]
            wire.send(f"{len(piece):x}\r\n", piece, "\r\n")
        wire.send("0\r\n\r\n")
        assert wire.answer()[0] == 204
    assert arrived(settings) == BODY


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
def test_what_came_before_a_cut_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr("web.direct_body._LEAST_BYTES", 1 << 60)
    with wired(settings, len(BODY)) as (wire, path, url):
        wire.send(wire.patch(path, 0, length(len(BODY))), BODY[:700_001])
        wire.socket.close()

        def kept() -> bool:
            with database.connection_context():
                return bool(Upload.get().durable_offset == 700_001)

        wait_until("all that was sent is on disk", kept)
        again = Wire(url)
        rest = BODY[700_001:]
        again.send(again.patch(path, 700_001, length(len(rest))), rest)
        assert again.answer()[0] == 204
        again.socket.close()
    assert arrived(settings) == BODY


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
def test_a_refusal_is_read_by_who_is_still_sending(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr("web.direct_body._LEAST_BYTES", 1 << 60)
    with wired(settings, len(BODY)) as (wire, path, _):
        wire.send(wire.patch(path, 5, length(1_000_000)))
        wire.send(BODY[:1_000_000])
        status, headers = wire.answer()
        assert (status, headers["upload-offset"], headers["connection"]) == (409, "0", "close")
        assert wire.socket.recv(1) == b"", "the next byte would mean nothing"
