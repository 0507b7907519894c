"""A thousand connections that stop in the middle, and one person who just wants to upload."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import select
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.db import database
from appliance.models import Video
from storage.layout import Layout
from tests.web.serving import add_user, prepare, script, serving_process, wait_until
from tests.web.tus_client import made, patch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

STALLED = 1000
# Of the process, with a thousand connections more than before: 64 KiB for each.
MOST_GROWTH_BYTES = STALLED * 64 << 10
LENGTH = 48_000_000


def rss_bytes(pid: int) -> int:
    """Source: proc(5), /proc/pid/statm, the second field in pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def unfinished(client: httpx.Client, locations: list[str]) -> list[bytes]:
    """Requests that end in the middle: of nothing, of the head, and of two kinds of bodies."""
    token = client.headers["Authorization"]
    grant = (
        f"POST /api/v1/uploads HTTP/1.1\r\nHost: box\r\nAuthorization: {token}\r\n"
        'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"filename": "a'
    )
    patches = [
        f"PATCH {location} HTTP/1.1\r\nHost: box\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        "Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n"
        + "x"
        * 1000
        for location in locations
    ]
    kinds = ["", "GET /videos HTTP/1.1\r\nHost: box\r\nX-Half: y", grant]
    return [text.encode() for text in (*kinds * len(patches), *patches)]


@contextmanager
def stalled(url: str, requests: list[bytes]) -> Iterator[list[socket.socket]]:
    address = urlsplit(url)
    assert address.hostname is not None
    with ExitStack() as stack:
        found = []
        for number in range(STALLED):
            connection = socket.create_connection((address.hostname, address.port), timeout=30)
            stack.enter_context(connection)
            connection.sendall(requests[number % len(requests)])
            found.append(connection)
        yield found


def answers_of(connections: list[socket.socket]) -> list[bytes]:
    """What was said on those that were answered or closed."""
    found = []
    for connection in connections:
        look = select.poll()  # select() itself takes no descriptors above 1023
        look.register(connection, select.POLLIN)
        if look.poll(0):
            try:
                found.append(connection.recv(65536))
            except ConnectionResetError:
                found.append(b"")
    return found


@pytest.mark.slow
def test_a_good_upload_among_a_thousand_stalled_ones(settings: Settings) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < STALLED + 500:
        pytest.skip(f"this process may open only {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, STALLED + 500), hard))
    prepare(settings)
    lost, other = add_user("lost@example.org"), add_user("other@example.org")
    body = random.Random(1).randbytes(LENGTH)
    with (
        serving_process(settings) as (url, process),
        script(url, lost) as theirs,
        script(url, other) as ours,
    ):
        requests = unfinished(theirs, [made(theirs, 1_000_000) for _ in range(40)])
        assert patch(ours, made(ours, LENGTH), 0, body).status_code == 204  # all is warm now
        rss_before, files_before = rss_bytes(process.pid), open_files(process.pid)
        with stalled(url, requests) as connections:
            # Of the bodies, those over the limit are answered, and closed a moment later.
            wait_until("most are taken in", lambda: open_files(process.pid) > STALLED // 2)
            growth = rss_bytes(process.pid) - rss_before
            assert patch(ours, made(ours, LENGTH), 0, body).status_code == 204
            growth = max(growth, rss_bytes(process.pid) - rss_before)
            assert growth < MOST_GROWTH_BYTES, f"{growth >> 20} MiB more"
            # The same person, from a place where the network works: not locked out by the past.
            again = made(theirs, LENGTH)
            wait_until("a place is free", lambda: patch(theirs, again, 0, body).status_code == 204)
            answers = answers_of(connections)
            assert answers, "more bodies of one person than may be"
            for answer in answers:
                status = answer[9:12]
                assert status in (b"409", b"503", b"408", b"423", b""), answer
                assert status != b"503" or b"retry-after: 2" in answer
        wait_until("they are forgotten", lambda: open_files(process.pid) < files_before + 50)
    with database.connection_context():
        whole = list(Video.select().where(Video.received_at.is_null(False)))
    assert len(whole) == 3
    for video in whole:
        stored = Layout(settings.data).original(video.public_id).read_bytes()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(body).digest()
