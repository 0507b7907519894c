"""Several requests for one upload: who gets it, who is told what, and what is kept."""

from __future__ import annotations

import fcntl
import http.client
import os
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.models import Job, Role, Upload, Video
from storage import uploads
from tests.web.serving import add_user, script, served, wait_until

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


def patch(client: httpx.Client, location: str, offset: int, body: Any) -> httpx.Response:
    headers = {**TUS, **BYTES, "Upload-Offset": str(offset)}
    return client.patch(location, headers=headers, content=body)


def offset_of(client: httpx.Client, location: str) -> int:
    answer = client.head(location, headers=TUS)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["Upload-Offset"])


def original(layout: Layout) -> bytes:
    (video,) = Video.select()
    return layout.original(video.public_id).read_bytes()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str


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

    def answer(self) -> Answer:
        found = http.client.HTTPResponse(self.socket, method="PATCH")
        found.begin()
        return Answer(found.status, found.headers, found.read().decode())


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
        answer = sender.answer()  # though it is silent now
        assert answer.status == 410
        assert "An admin has cancelled this upload" in answer.text
    assert client.head(location, headers=TUS).status_code == 410
    assert list(layout.uploads.iterdir()) == []


# Who comes back


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_a_newcomer_takes_over_from_a_silent_sender(
    client: httpx.Client, url: str, layout: Layout, method: str
) -> None:
    location = made(client)
    with sending(url, location, 0, len(BODY)) as sender:
        sender.send(BODY[:1000])
        wait_for_size(layout, 1000)
        headers = {**TUS, **BYTES, "Upload-Offset": "1000"}
        body = BODY[1000:] if method == "PATCH" else b""
        answer = client.request(method, location, headers=headers, content=body)
        assert answer.status_code in (200, 204), answer.text
        old = sender.answer()
        assert old.status == 409
        assert old.headers["Upload-Offset"] == "1000"
        assert old.headers["Connection"] == "close"
    if method == "PATCH":
        assert original(layout) == BODY
    elif method == "DELETE":
        assert Video.select().count() == 0
    else:
        assert answer.headers["Upload-Offset"] == "1000"


def test_a_newcomer_takes_over_from_a_sender_in_full_flow(
    client: httpx.Client, url: str, layout: Layout
) -> None:
    """The old connection goes on sending all the time; what it brought so far is kept."""
    body = os.urandom(40_000_000)
    location = made(client, len(body))
    with sending(url, location, 0, len(body)) as sender, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send_slowly, sender, body)
        wait_until("bytes arrive", lambda: upload_file(layout).stat().st_size > 100_000)
        offset = offset_of(client, location)
        assert 100_000 < offset < len(body)
        assert sent.result() < len(body), "it was cut"
        assert patch(client, location, offset, body[offset:]).status_code == 204
    assert original(layout) == body
    assert Job.select().count() == 1


def send_slowly(sender: Sender, body: bytes) -> int:
    """How much went out before the other side answered or closed."""
    for start in range(0, len(body), 50_000):
        readable, _, _ = select.select([sender.socket], [], [], 0.002)
        if readable:
            return start
        try:
            sender.send(body[start : start + 50_000])
        except OSError:
            return start
    return len(body)


def test_of_many_newcomers_one_wins_and_all_are_answered(
    client: httpx.Client, url: str, layout: Layout
) -> None:
    location = made(client)
    fills = [bytes([number]) * len(BODY) for number in range(12)]
    with sending(url, location, 0, len(BODY)), ThreadPoolExecutor(12) as pool:
        start = threading.Barrier(len(fills))

        def race(fill: bytes) -> httpx.Response:
            with httpx.Client(base_url=url, timeout=20) as own:
                start.wait()
                return patch(own, location, 0, fill)

        answers = list(pool.map(race, fills))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [204] + [409] * 11
    (winner,) = [
        fill for fill, answer in zip(fills, answers, strict=True) if answer.status_code == 204
    ]
    assert original(layout) == winner, "never mixed"
    assert Job.select().count() == 1
    assert list(layout.uploads.iterdir()) == [], "no lock files"


def test_of_several_that_send_slowly_from_the_same_byte_one_wins(
    url: str, client: httpx.Client, layout: Layout
) -> None:
    """None of them is done within the moment that the first is left alone anyway."""
    fills = [os.urandom(1000) * 40_000 for _ in range(3)]
    location = made(client, len(fills[0]))
    start = threading.Barrier(len(fills))

    def race(fill: bytes) -> Answer:
        with sending(url, location, 0, len(fill)) as sender:
            start.wait()
            send_slowly(sender, fill)
            return sender.answer()

    with ThreadPoolExecutor(len(fills)) as pool:
        answers = list(pool.map(race, fills))
    assert sorted(answer.status for answer in answers) == [204, 409, 409]
    (winner,) = [fill for fill, answer in zip(fills, answers, strict=True) if answer.status == 204]
    assert original(layout) == winner


def test_newcomers_of_all_kinds_leave_one_whole_file(
    client: httpx.Client, url: str, layout: Layout
) -> None:
    location = made(client)
    with ThreadPoolExecutor(8) as pool:

        def look_and_send(number: int) -> None:
            with httpx.Client(base_url=url, timeout=20) as own:
                while True:
                    answer = own.head(location, headers=TUS)
                    assert answer.status_code == 200
                    offset = int(answer.headers["Upload-Offset"])
                    if offset == len(BODY):
                        return
                    upto = offset + 10_000 * (number + 1)
                    sent = patch(own, location, offset, BODY[offset:upto])
                    assert sent.status_code in (204, 409), sent.text

        list(pool.map(look_and_send, range(8)))
    assert original(layout) == BODY
    assert Job.select().count() == 1


# A disk that doesn't answer, and other processes


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No sync comes back before the event is set."""
    answers, real = threading.Event(), os.fdatasync

    def hang(handle: int) -> None:
        assert answers.wait(20)
        real(handle)

    monkeypatch.setattr("os.fdatasync", hang)
    monkeypatch.setattr("storage.uploads.slots.WAIT_S", 0.3)
    monkeypatch.setattr("storage.uploads.slots._LEAST_S", 0.1)
    yield answers
    answers.set()


def test_a_look_never_hangs_on_a_disk_that_does(
    client: httpx.Client, layout: Layout, hanging_disk: threading.Event
) -> None:
    location = made(client)
    upload_file(layout).write_bytes(BODY[:1000])  # as after a kill: here, and not sure to be
    for _ in range(3):  # the first waits for the disk, the others for the first
        answer = client.head(location, headers=TUS)
        assert (answer.status_code, answer.headers["Retry-After"]) == (423, "1")
    hanging_disk.set()
    wait_until("the slot is free", lambda: client.head(location, headers=TUS).status_code == 200)
    assert offset_of(client, location) == 1000
    assert patch(client, location, 1000, BODY[1000:]).status_code == 204
    assert original(layout) == BODY


def test_a_look_gives_up_while_a_sender_waits_for_the_disk(
    client: httpx.Client, url: str, layout: Layout, hanging_disk: threading.Event
) -> None:
    location = made(client)
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=url, timeout=20) as other:
        sent = pool.submit(patch, other, location, 0, BODY)
        wait_for_size(layout, len(BODY))
        answer = client.head(location, headers=TUS)
        assert (answer.status_code, answer.headers["Retry-After"]) == (423, "1")
        hanging_disk.set()
        assert sent.result().status_code == 204
    assert offset_of(client, location) == len(BODY)


def test_a_short_look_of_another_process_is_waited_for(
    client: httpx.Client, url: str, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = made(client)
    with upload_file(layout).open("rb") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)  # as the sweep in the ticker's process does
        sent = pool.submit(patch, client, location, 0, BODY)
        fcntl.flock(file, fcntl.LOCK_UN)
        assert sent.result().status_code == 204
        location = made(client)
    monkeypatch.setattr("web.upload_desk.WAIT_S", 0.1)
    with upload_file(layout).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert client.head(location, headers=TUS).status_code == 423
    assert offset_of(client, location) == 0


# Too many, too silent, too slow


@contextmanager
def limited(settings: Settings, **limits: Any) -> Iterator[str]:
    with served(settings.model_copy(update=limits)) as running:
        yield running.url


def test_more_bodies_than_allowed_wait(
    settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.upload_desk.STALE_S", 60.0)
    with limited(settings, max_bodies_per_person=1, max_upload_bodies=2) as url:
        ann, bob, eve = (add_user(f"{name}@example.org") for name in ("ann", "bob", "eve"))
        with script(url, ann) as anns, script(url, bob) as bobs, script(url, eve) as eves:
            first, second, third, fourth = made(anns), made(anns), made(bobs), made(eves)
            with sending(url, first, 0, len(BODY)) as sender:
                sender.send(BODY[:1000])
                wait_for_bytes(layout, first)
                refused = patch(anns, second, 0, BODY)
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
                assert "1 of your uploads are sending" in refused.text
                assert refused.headers["Upload-Offset"] == "0"
                with sending(url, third, 0, len(BODY)) as other:
                    other.send(BODY[:1000])
                    wait_for_bytes(layout, third)
                    assert "as many uploads as it can" in patch(eves, fourth, 0, BODY).text
                assert offset_of(bobs, third) == 1000  # takes over, so that its place is free
                assert patch(eves, fourth, 0, BODY).status_code == 204


def wait_for_bytes(layout: Layout, location: str) -> None:
    """Until its sender is taken in."""
    path = layout.upload(location.removeprefix("/files/").partition(".")[0])
    wait_until("bytes arrive", lambda: path.stat().st_size > 0)


def test_a_silent_body_loses_its_place_to_a_new_one(
    settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.upload_desk.STALE_S", 0.0)
    with limited(settings, max_bodies_per_person=1) as url, script(url, add_user()) as client:
        first = made(client)
        with sending(url, first, 0, len(BODY)) as sender:
            sender.send(BODY[:1000])
            wait_for_size(layout, 1000)
            second = made(client)
            assert patch(client, second, 0, BODY).status_code == 204
            answer = sender.answer()
            assert (answer.status, answer.headers["Upload-Offset"]) == (409, "1000")
        assert patch(client, first, 1000, BODY[1000:]).status_code == 204


def test_a_body_that_trickles_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.upload_body.PACE_OVER_S", 0.1)
    with limited(settings, upload_min_rate=1_000_000) as url, script(url, add_user()) as client:
        location = made(client)
        with sending(url, location, 0, len(BODY)) as sender:
            for byte in BODY:
                sender.send(bytes([byte]))
                if select.select([sender.socket], [], [], 0.01)[0]:
                    break
            answer = sender.answer()
        assert answer.status == 409
        assert offset_of(client, location) >= int(answer.headers["Upload-Offset"]) > 0
