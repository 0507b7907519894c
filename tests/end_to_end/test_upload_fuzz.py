"""A thousand things that networks, clients and power switches do to uploads, at random.

A small model knows what was sent and what was told. Whatever happens, no offset that was told is
taken back, none is told of bytes that were not sent, and each file that is whole is one video, with
one first job, and with the bytes of its sender. The seed is fixed; ``APPLIANCE_TEST_FUZZ=20000``
(and ``APPLIANCE_TEST_SEED``) make it longer and other.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import struct
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.db import database
from appliance.models import Job, Upload, Video
from appliance.states import UploadState, VideoState
from storage.layout import Layout
from tests.web.serving import add_token, add_user, prepare, serving_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from appliance.settings import Settings

OPERATIONS = int(os.environ.get("APPLIANCE_TEST_FUZZ", "1000"))
SEED = int(os.environ.get("APPLIANCE_TEST_SEED", "20261121"))
KILL_EVERY = 200
AT_ONCE = 6
LONGEST = 400_000
POOL = random.Random(SEED).randbytes(2 * LONGEST)

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
# What may be answered to one of several requests at once; 503: its place was not free yet.
RIVALS = {200, 204, 409, 423, 503}


@dataclass
class File:
    """One upload, as its sender sees it.

    ``told``: the most that was ever told to be there. ``sent_upto``: no byte after it was sent.
    ``sure``: the offset is exactly ``told``.
    """

    body: memoryview
    location: str
    video_id: str
    told: int = 0
    sent_upto: int = 0
    sure: bool = True

    @property
    def whole(self) -> bool:
        return self.told == len(self.body)

    def hear(self, offset: int) -> None:
        assert offset >= self.told, f"{self.told} bytes were told, now it is {offset}"
        assert offset <= self.sent_upto, f"{offset} bytes told, {self.sent_upto} sent"
        self.told = offset


@dataclass
class Fuzz:
    settings: Settings
    token: str
    seeded: random.Random = field(default_factory=lambda: random.Random(SEED))
    files: list[File] = field(default_factory=list)
    finished: list[File] = field(default_factory=list)
    removed: int = 0
    restarts: int = 0
    refused: int = 0
    past: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    server: ExitStack = field(default_factory=ExitStack)
    url: str = ""
    process: Popen[bytes] | None = None
    client: httpx.Client = field(default_factory=httpx.Client)

    # The server

    def start(self) -> None:
        self.server = ExitStack()
        self.url, self.process = self.server.enter_context(serving_process(self.settings))
        headers = {"Authorization": f"Bearer {self.token}"}
        self.client = self.server.enter_context(
            httpx.Client(base_url=self.url, headers=headers, timeout=30)
        )

    def kill(self, file: File) -> None:
        """In the middle of a body."""
        assert self.process is not None
        sender, piece = self.begin(file, extra=self.seeded.randrange(2))
        with sender:
            sender.sendall(piece)
            self.process.kill()
        self.server.close()
        self.restarts += 1
        for each in self.files:
            each.sure = False
        self.start()

    # What a sender does

    def create(self) -> File:
        length = self.seeded.choice([1, 5000, LONGEST, self.seeded.randrange(1, LONGEST)])
        start = self.seeded.randrange(LONGEST)
        body = memoryview(POOL)[start : start + length]
        first = self.seeded.randrange(length) if self.seeded.random() < 0.3 else 0
        headers = {**TUS, "Upload-Length": str(length), **(BYTES if first else {})}
        answer = self.client.post("/files", headers=headers, content=bytes(body[:first]))
        assert answer.status_code == 201, answer.text
        headers = dict(answer.headers)
        file = File(body, headers["location"], headers["appliance-video-id"], sent_upto=first)
        file.hear(int(headers["upload-offset"]))
        assert file.told == first
        self.files.append(file)
        return file

    def look(self, file: File) -> None:
        answer = self.client.head(file.location, headers=TUS)
        assert answer.status_code == 200, answer.status_code
        file.hear(int(answer.headers["Upload-Offset"]))
        file.sure = True

    def patch(self, file: File, offset: int, size: int) -> httpx.Response:
        file.sent_upto = max(file.sent_upto, offset + size)
        return self.client.patch(
            file.location,
            headers={**TUS, **BYTES, "Upload-Offset": str(offset)},
            content=bytes(file.body[offset : offset + size]),
        )

    def piece(self, file: File) -> int:
        left = len(file.body) - file.told
        return self.seeded.choice([left, min(left, 100), self.seeded.randrange(left + 1)])

    def send(self, file: File) -> None:
        """Once more after a 409: a piece that was sent before may arrive after all."""
        self.sure(file)
        size = self.piece(file)
        upto = file.told + size
        answer = self.patch(file, file.told, size)
        if answer.status_code == 409:
            self.look(file)
            self.refused += 1
            return
        assert answer.status_code == 204, answer.text
        file.hear(int(answer.headers["Upload-Offset"]))
        assert file.told == upto

    def sure(self, file: File) -> None:
        if not file.sure:
            self.look(file)

    def begin(self, file: File, *, extra: int = 0) -> tuple[socket.socket, bytes]:
        """A PATCH by hand that announces ``extra`` bytes more than its piece has."""
        self.sure(file)
        size = self.piece(file)
        extra = min(extra, len(file.body) - file.told - size)
        piece = bytes(file.body[file.told : file.told + size])
        file.sent_upto = max(file.sent_upto, file.told + size)
        file.sure = False
        address = urlsplit(self.url)
        assert address.hostname is not None
        connection = socket.create_connection((address.hostname, address.port), timeout=30)
        lines = (
            f"PATCH {file.location} HTTP/1.1",
            "Host: box",
            "Tus-Resumable: 1.0.0",
            "Content-Type: application/offset+octet-stream",
            f"Upload-Offset: {file.told}",
            f"Content-Length: {size + extra}",
        )
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        return connection, piece

    def cut(self, file: File) -> None:
        """The connection ends in the middle of a body, politely or by a reset."""
        sender, piece = self.begin(file, extra=1000)
        with sender:
            sender.sendall(piece)
            if self.seeded.random() < 0.5:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def lose_answer(self, file: File) -> None:
        """All bytes went out; nobody waits for what the server says."""
        sender, piece = self.begin(file)
        with sender:
            sender.sendall(piece)

    def come_back(self, file: File) -> None:
        """The old connection hangs, and its sender asks again over a new one."""
        sender, piece = self.begin(file, extra=1000)
        with sender:
            sender.sendall(piece)
            self.look(file)
            self.send_if_open(file)

    def send_if_open(self, file: File) -> None:
        if not file.whole:
            self.send(file)

    def repeat(self, file: File) -> None:
        """The same piece once more, as after a lost answer."""
        self.sure(file)
        self.misplace(file, self.seeded.randrange(file.told + 1))

    def run_ahead(self, file: File) -> None:
        """A later piece comes before an earlier one."""
        self.sure(file)
        self.misplace(file, self.seeded.randrange(file.told, len(file.body)))

    def misplace(self, file: File, offset: int) -> None:
        size = self.seeded.randrange(len(file.body) - offset + 1)
        before = file.sent_upto
        answer = self.patch(file, offset, size)
        assert answer.status_code in (204, 409), answer.text
        if answer.status_code == 409 and before <= file.told:
            file.sent_upto = before  # nothing of it was taken, and nothing else is under way
        if "Upload-Offset" in answer.headers:
            file.hear(int(answer.headers["Upload-Offset"]))
        file.sure = False

    def overdo(self, file: File) -> None:
        """More bytes than the file has: nothing of them is taken."""
        self.sure(file)
        answer = self.client.patch(
            file.location,
            headers={**TUS, **BYTES, "Upload-Offset": str(file.told)},
            content=bytes(len(file.body) - file.told + 1),
        )
        assert answer.status_code in (413, 409), answer.text

    def race(self, file: File) -> None:
        """Several requests at once, each with bytes that are right where they say."""
        self.sure(file)
        at, size = file.told, self.piece(file)
        back = self.seeded.randrange(at + 1)
        calls: list[Callable[[], httpx.Response]] = [
            lambda: self.patch(file, at, size),
            lambda: self.patch(file, at, size // 2),
            lambda: self.patch(file, back, at - back),
            lambda: self.client.head(file.location, headers=TUS),
        ]
        self.seeded.shuffle(calls)
        with ThreadPoolExecutor(len(calls)) as pool:
            answers = [call.result() for call in [pool.submit(each) for each in calls]]
        statuses = sorted(answer.status_code for answer in answers)
        assert set(statuses) <= RIVALS, statuses
        told = [answer.headers.get("Upload-Offset") for answer in answers]
        for offset in sorted(int(each) for each in told if each is not None):
            assert offset <= file.sent_upto
            file.told = max(file.told, offset)
        file.sure = False

    def remove(self, file: File) -> None:
        answer = self.client.delete(file.location, headers=TUS)
        assert answer.status_code == 204, answer.text
        self.files.remove(file)
        after = self.client.head(file.location, headers=TUS).status_code
        if after == 404:  # its last bytes had come after all: the video stays
            assert file.sent_upto == len(file.body)
            self.finished.append(file)
        else:
            assert after == 410
            self.removed += 1

    def say_complete(self, file: File) -> None:
        self.sure(file)
        address = f"/api/v1/videos/{file.video_id}/upload/complete"
        answer = self.client.post(address, json={"success": True})
        if answer.status_code == 409:
            file.hear(answer.json()["offset"])
        else:  # a piece that was sent before has arrived after all, and was the last
            assert answer.status_code == 200, answer.text
            assert file.sent_upto == len(file.body)
        file.sure = False

    # All of it

    def step(self, number: int) -> None:
        while len(self.files) < AT_ONCE:
            self.create()
        file = self.seeded.choice(self.files)
        act: Callable[[File], None] = self.seeded.choices(
            [
                self.send,
                self.cut,
                self.lose_answer,
                self.come_back,
                self.repeat,
                self.run_ahead,
                self.overdo,
                self.race,
                self.look,
                self.say_complete,
                self.remove,
            ],
            [24, 20, 14, 6, 8, 8, 3, 8, 6, 2, 1],
        )[0]
        if number % KILL_EVERY == KILL_EVERY - 1:
            act = self.kill
        self.sure(file)
        self.past.append(f"{number}: {act.__name__} {file.location[-6:]} at {file.told}")
        if not file.whole:
            act(file)
        self.put_away(file)

    def put_away(self, file: File) -> None:
        if file not in self.files:
            return
        self.sure(file)
        if file.whole:
            assert self.patch(file, file.told, 0).status_code == 204, "the last one once more"
            self.files.remove(file)
            self.finished.append(file)


@pytest.mark.slow
@pytest.mark.timeout(120 + OPERATIONS // 4)
def test_a_thousand_accidents(settings: Settings) -> None:
    prepare(settings)
    fuzz = Fuzz(settings, add_token(add_user()))
    fuzz.start()
    try:
        for number in range(OPERATIONS):
            fuzz.step(number)
        for file in list(fuzz.files):
            while not file.whole:
                fuzz.send(file)
            fuzz.put_away(file)
    except BaseException as exc:
        exc.add_note(f"seed {SEED}, after:\n" + "\n".join(fuzz.past))
        raise
    finally:
        fuzz.server.close()
    assert fuzz.restarts == OPERATIONS // KILL_EVERY
    assert fuzz.refused < OPERATIONS / 20, "409 is for the rare piece that comes late"
    check_all(fuzz, Layout(settings.data))


def check_all(fuzz: Fuzz, layout: Layout) -> None:
    with database.connection_context():
        states = [row.state for row in Upload.select()]
        assert states.count(UploadState.COMPLETE) == len(fuzz.finished) > AT_ONCE
        assert states.count(UploadState.TERMINATED) == fuzz.removed
        assert len(states) == len(fuzz.finished) + fuzz.removed
        assert Video.select().count() == len(fuzz.finished)
        for file in fuzz.finished:
            video = Video.get(Video.public_id == file.video_id)
            assert video.state is VideoState.RECEIVED
            assert Job.select().where(Job.video == video, Job.kind == "probe").count() == 1
            stored = layout.original(file.video_id).read_bytes()
            assert hashlib.sha256(stored).digest() == hashlib.sha256(file.body).digest()
    assert list(layout.uploads.iterdir()) == []
