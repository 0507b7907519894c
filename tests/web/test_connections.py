"""Connections that stop in the middle of a request are closed; those that only wait are not."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from tests.web.serving import bound_socket, wait_until
from web.connections import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and says how long it was; ``/slow`` waits for the client to go."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    if scope["path"] == "/slow":
        await receive()
    text = str(size).encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("web.connections.HEAD_S", 0.3)
    monkeypatch.setattr("web.connections.BODY_S", 0.3)
    config = uvicorn.Config(
        echo, http=Connection, log_config=None, lifespan="off", ws="none", timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    with bound_socket() as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until("it has started", lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    """Until the other side closes."""
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


POST = b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408"),
        (b"GET / HTTP/1.1\r\nHost: box\r\nX-Slow", b"HTTP/1.1 408"),
        (POST + b"12345", b""),
        (POST + b"0123456789" + b"GET / HT", b"HTTP/1.1 200"),
    ],
    ids=["nothing", "a piece of a line", "no end of the head", "no end of the body", "the second"],
)
def test_an_unfinished_request_is_given_up(port: int, sent: bytes, answer: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        assert read_all(connection).startswith(answer)


def test_a_head_without_end_is_refused(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 70_000)
        assert read_all(connection).startswith(b"HTTP/1.1 431")


def test_who_waits_for_an_answer_or_between_requests_is_left_alone(port: int) -> None:
    with connect(port) as slow, connect(port) as idle, connect(port) as stalled:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: box\r\n\r\n")
        idle.sendall(POST + b"0123456789")
        assert b"10" in idle.recv(65536)
        for _ in range(3):  # each of these is given up after the time that those two wait, too
            with connect(port) as stalled:
                assert read_all(stalled) == b""
        idle.sendall(POST + b"0123456789")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        slow.settimeout(0.01)
        with pytest.raises(TimeoutError):
            slow.recv(1)
