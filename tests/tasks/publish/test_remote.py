"""What an answer (or none) says about what happened there; and the way over our own socket."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.clock import boot_id
from appliance.models import Heartbeat
from appliance.settings import Settings
from tasks.publish.own_socket import listening_address, own_socket_client
from tasks.publish.publisher import NeedsReconnect, RetryAt
from tasks.publish.remote import Answer, Lost, Refused, call, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@contextmanager
def saying(answer: bytes, *, uds: Path | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says ``answer`` to the first request and closes; its address, what it heard."""
    heard: list[bytes] = []
    family = socket.AF_INET if uds is None else socket.AF_UNIX
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if uds is None else str(uds))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}" if uds is None else f"unix:{uds}"
        yield address, heard
        thread.join(timeout=10)
        assert not thread.is_alive()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def ask(answer: bytes) -> Any:
    with saying(answer) as (address, _), httpx.Client(base_url=f"http://{address}") as client:
        return call(client, "POST", "/x", now=NOW, json={})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http("200 OK", b'{"id": "1"}'), Answer),
        (http("200 OK", b'{"id": '), Lost),
        (http("200 OK", b"[1]"), Lost),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", Lost),
        (b"", Lost),
        (b"\xff\xfe", Lost),
        (http("500 Oops", b"{}"), Lost),
        (http("504 Late"), Lost),
        (http("302 Found", b"", "Location: /y"), Refused),
        (http("400 No", b'{"error": {"message": "Too long", "code": 36004}}'), Refused),
        (http("404 No", b"<html>"), Refused),
        (http("401 Who"), NeedsReconnect),
        (http("429 Slow"), RetryAt),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_an_answer_means(answer: bytes, kind: type) -> None:
    assert type(ask(answer)) is kind


def test_what_nobody_took_was_not_done() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with httpx.Client(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}") as client:
            answer = call(client, "POST", "/x", now=NOW)
    assert isinstance(answer, RetryAt)


def test_an_answer_that_takes_too_long_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=0.2) as client:
            assert isinstance(call(client, "POST", "/x", now=NOW), Lost)


def test_the_platforms_own_words_are_kept() -> None:
    refused = ask(
        http("400 No", b'{"error": {"message": "Spam", "code": 4, "error_subcode": 2207051}}')
    )
    assert (refused.message, refused.code, refused.subcode) == ("Spam", 4, 2207051)
    assert "HTTP 400" in refused.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", NOW + timedelta(seconds=7)),
        ("Sun, 01 Mar 2026 12:05:00 GMT", NOW + timedelta(minutes=5)),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("9" * 400, NOW + timedelta(seconds=10**6)),
    ],
    ids=["seconds", "date", "none", "words", "negative", "absurd"],
)
def test_retry_after(text: str, expected: datetime | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == expected


@pytest.mark.parametrize("unix", [False, True], ids=["port", "unix"])
def test_the_own_socket_hears_what_the_outside_would_send(unix: bool, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, public_url="https://video.example.org")
    with (
        saying(http("200 OK"), uds=tmp_path / "web.sock" if unix else None) as (address, heard),
        own_socket_client(settings, address) as client,
    ):
        answer = client.get("/public/abc/x.mp4?a=b%20c", headers={"Range": "bytes=0-1"})
    assert answer.status_code == 200
    assert heard[0].startswith(b"GET /public/abc/x.mp4?a=b%20c HTTP/1.1\r\n")
    assert b"host: video.example.org\r\n" in heard[0].lower()
    assert b"range: bytes=0-1\r\n" in heard[0].lower()


@pytest.mark.usefixtures("db")
def test_an_open_port_is_found_on_the_heartbeat(settings: Settings) -> None:
    assert listening_address(settings) == "127.0.0.1:0"
    Heartbeat.create(
        process="web", pid=1, boot_id=boot_id(), beat_boottime_s=0.0,
        info={"listen": "127.0.0.1:4711"},
    )  # fmt: skip
    assert listening_address(settings) == "127.0.0.1:4711"
    fixed = settings.model_copy(update={"listen": "unix:/run/web.sock"})
    assert listening_address(fixed) == "unix:/run/web.sock"
