"""Reading a file that is still being uploaded: all of it or a clear end, never anything else."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import videos
from appliance.clock import now
from appliance.db import database
from appliance.models import Role, Source, Upload, User, Video
from appliance.states import UploadState
from storage import uploads
from storage.uploads import (
    Created,
    GrowingFile,
    NewUpload,
    Slot,
    Store,
    UploadAborted,
    UploadStalled,
    feed,
    growing,
    receive,
)
from storage.uploads.files import write_at
from tests import media
from tests.cutting import Fault, bad_network
from tests.factories import make_user
from tests.storage.test_uploads import chunks_of
from tests.web.serving import add_token, add_user, prepare, serving_process, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout
    from storage.uploads import Held

BODY = random.Random(5).randbytes(300_000)
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


@pytest.fixture
def created(store: Store) -> Created:
    new = NewUpload(length=len(BODY), filename="clip.mp4", source=Source.BROWSER)
    return store.create(make_user(), new)


@contextmanager
def holding(store: Store, created: Created) -> Iterator[Held]:
    held = store.open(created.upload_id, created.token)
    try:
        yield held
    finally:
        held.close()


def put(store: Store, created: Created, data: bytes) -> None:
    """Append and acknowledge, as a request does."""
    with holding(store, created) as held:
        assert held.handle is not None
        write_at(held.handle, data, held.offset)
        held.offset += len(data)
        store.settle(held)


class Reading:
    """A reader that works in a thread, as a job does: with no connection of its caller."""

    def __init__(self, layout: Layout, created: Created, **options: Any) -> None:
        self.got = bytearray()
        self.ended: BaseException | None = None
        self.whole = False
        self.looks = 0
        self._stop = threading.Event()
        self._layout, self._created, self._options = layout, created, options
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _check(self) -> None:
        self.looks += 1
        if self._stop.is_set():
            raise InterruptedError("the worker stops")

    def _run(self) -> None:
        try:
            with GrowingFile(
                self._layout, self._created.upload_id, check=self._check, **self._options
            ) as reader:
                for block in reader:
                    self.got += block
            self.whole = True
        except BaseException as exc:
            self.ended = exc

    def wait_for(self, size: int) -> None:
        wait_until(f"{size} bytes are read", lambda: len(self.got) >= size or self.ended)
        assert self.ended is None, self.ended

    def wait_for_end(self) -> BaseException | None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
        return self.ended

    def stop(self) -> None:
        self._stop.set()


def test_follows_the_writer_and_the_rename_to_the_end(
    store: Store, created: Created, layout: Layout
) -> None:
    put(store, created, BODY[:1000])
    reading = Reading(layout, created)
    reading.wait_for(1000)
    put(store, created, BODY[1000:200_000])
    reading.wait_for(200_000)
    put(store, created, BODY[200_000:])
    assert reading.wait_for_end() is None
    assert reading.whole and bytes(reading.got) == BODY


def test_one_that_comes_late_reads_the_original(
    store: Store, created: Created, layout: Layout
) -> None:
    put(store, created, BODY)
    with GrowingFile(layout, created.upload_id) as reader:
        assert reader.complete and reader.length == len(BODY)
        assert b"".join(reader) == BODY
        assert reader.read() == b""


def test_never_reads_what_may_be_taken_back(store: Store, created: Created, layout: Layout) -> None:
    put(store, created, BODY[:5000])
    reading = Reading(layout, created)
    with holding(store, created) as held:
        assert held.handle is not None
        write_at(held.handle, b"wrong" * 1000, 5000)  # of a PATCH whose checksum won't fit
        reading.wait_for(5000)
        before = reading.looks
        wait_until("it has looked again and again", lambda: reading.looks > before + 3)
        assert len(reading.got) == 5000
        store.take_back(held, 5000)
    put(store, created, BODY[5000:])
    assert reading.wait_for_end() is None
    assert bytes(reading.got) == BODY


def test_a_request_whose_checksum_is_wrong_leaks_nothing(
    store: Store, created: Created, layout: Layout
) -> None:
    class Wrong:
        def update(self, chunk: bytes, /) -> None: ...

        def check(self) -> None:
            raise uploads.DigestMismatch("What arrived isn't what was sent.")

    reading = Reading(layout, created)
    with holding(store, created) as held, pytest.raises(uploads.DigestMismatch):
        asyncio.run(receive(store, held, Slot(), chunks_of(b"x" * 200_000), Wrong()))
    put(store, created, BODY)
    assert reading.wait_for_end() is None
    assert bytes(reading.got) == BODY


def terminate(store: Store, created: Created) -> None:
    with holding(store, created) as held:
        store.terminate(held)


def fail(store: Store, created: Created) -> None:
    with holding(store, created) as held:
        store.fail(held)


def expire(store: Store, created: Created) -> None:
    Upload.update(expires_at=now(), touched_boot_s=-1e9).execute()
    uploads.recover(store.settings)


def lose(store: Store, created: Created) -> None:
    os.truncate(store.layout.upload(created.upload_id), 10)
    with pytest.raises(uploads.UploadGone):
        store.open(created.upload_id, created.token)


def cancel(store: Store, created: Created) -> None:
    uploads.cancel(store.settings, created.upload_id, make_user("a@example.org", Role.ADMIN))


def trash(store: Store, created: Created) -> None:
    videos.trash(Video.get(), actor=User.get())


def begin_again(store: Store, created: Created) -> None:
    with holding(store, created) as held:
        store.restart(held)
    put(store, created, BODY[::-1][:200_000])  # longer than before, at once


def fall_back(store: Store, created: Created) -> None:
    """The disk could not be written to, under a policy that settles before it syncs."""
    with holding(store, created) as held:
        held.row.durable_offset = 100
        store.fall_back(held)
        assert held.handle is not None
        assert os.fstat(held.handle).st_size == 100


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (terminate, "cancelled"),
        (fail, "failed"),
        (expire, "too long"),
        (lose, "gone from the disk"),
        (cancel, "An admin has cancelled"),
        (trash, "deleted"),
        (begin_again, "begun again"),
        (fall_back, "begun again"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_aborts_with_the_reason(
    end: Callable[[Store, Created], None],
    words: str,
    store: Store,
    created: Created,
    layout: Layout,
) -> None:
    put(store, created, BODY[:150_000])
    reading = Reading(layout, created)
    reading.wait_for(150_000)
    end(store, created)
    ended = reading.wait_for_end()
    assert isinstance(ended, UploadAborted) and not isinstance(ended, UploadStalled)
    assert words in ended.reason
    assert bytes(reading.got) == BODY[:150_000] and not reading.whole


def test_bytes_replaced_between_look_and_read_are_not_handed_out(
    store: Store, created: Created, layout: Layout
) -> None:
    put(store, created, BODY[:150_000])
    with GrowingFile(layout, created.upload_id) as reader:
        assert reader.settled == 150_000  # it has looked
        begin_again(store, created)
        with pytest.raises(UploadAborted):
            reader.read()


def test_there_is_nothing_to_read_of_an_ended_upload(
    store: Store, created: Created, layout: Layout
) -> None:
    terminate(store, created)
    with pytest.raises(UploadAborted, match="cancelled"):
        GrowingFile(layout, created.upload_id)


def test_a_worker_that_stops_and_patience_that_ends(
    store: Store, created: Created, layout: Layout
) -> None:
    put(store, created, BODY[:10])
    stopped, impatient = Reading(layout, created), Reading(layout, created, patience_s=0.3)
    stopped.wait_for(10)
    stopped.stop()
    assert isinstance(stopped.wait_for_end(), InterruptedError)
    assert isinstance(impatient.wait_for_end(), UploadStalled)
    assert Upload.get().state is UploadState.RECEIVING


def test_waiting_costs_little(store: Store, created: Created, layout: Layout) -> None:
    """Looks are a pause apart: no loop that spins."""
    looks = []
    began_s = time.monotonic()

    def check() -> None:
        looks.append(time.monotonic())
        if len(looks) == 5:
            raise InterruptedError

    put(store, created, BODY[:10])
    with GrowingFile(layout, created.upload_id, check=check) as reader:
        assert reader.read() == BODY[:10]
        with pytest.raises(InterruptedError):
            reader.read()
    assert looks[-1] - began_s >= 3 * growing.PAUSE_S


# With programs


def test_a_program_that_reads_no_further_is_no_error(
    store: Store, created: Created, layout: Layout
) -> None:
    put(store, created, BODY)
    command = ["head", "-c", "1000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        with GrowingFile(layout, created.upload_id) as reader:
            feed(reader, process.stdin)
        assert process.stdout.read() == BODY[:1000]
    assert process.returncode == 0


def test_a_program_that_reads_nothing_does_not_keep_the_worker(
    store: Store, created: Created, layout: Layout
) -> None:
    put(store, created, BODY)
    looks = []

    def check() -> None:
        looks.append(1)
        if len(looks) == 4:
            raise InterruptedError

    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE) as process:
        assert process.stdin
        with (
            GrowingFile(layout, created.upload_id, check=check) as reader,
            pytest.raises(InterruptedError),
        ):
            feed(reader, process.stdin)
        process.kill()


def test_an_abort_leaves_the_input_open_for_the_kill(
    store: Store, created: Created, layout: Layout
) -> None:
    """Had it been closed, the program would take the beginning for the whole."""
    put(store, created, BODY[:1000])
    command = ["sh", "-c", "cat >/dev/null; echo whole"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        with GrowingFile(layout, created.upload_id) as reader:
            terminate(store, created)
            with pytest.raises(UploadAborted):
                feed(reader, process.stdin)
        process.kill()
        assert process.stdout.read() == b""


ENCODED = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "15", "-b:v", "4M", "-minrate", "4M")
KINDS = {
    "mp4": (*ENCODED, "-pix_fmt", "yuv420p", *media.AAC, "-movflags", "+faststart"),
    "mkv": (*ENCODED, "-pix_fmt", "yuv420p", *media.AAC),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "4M",
             "-c:a", "libopus"),
    "ts": (*ENCODED, "-pix_fmt", "yuv420p", *media.AAC, "-f", "mpegts"),
}  # fmt: skip


def clip(kind: str) -> Path:
    return media.clip(
        f"growing.{kind}", *KINDS[kind], size="640x360", seconds=2,
        source="testsrc2=s={size}:r={fps}:d={seconds},noise=alls=40:allf=t",
    )  # fmt: skip


def frames(*inputs: str) -> list[str]:
    """ffmpeg's arguments for the digest of each frame."""
    return [
        *(media.FFMPEG, "-hide_banner", "-loglevel", "error"),
        *(*inputs, "-map", "0:v", "-map", "0:a", "-f", "framemd5", "-"),
    ]


class Slow:
    """A tus client that brings ``data`` in small requests and resumes after whatever happens."""

    def __init__(self, url: str, token: str, data: bytes) -> None:
        self.client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
        self.data = data
        self.resumed = 0
        headers = {**TUS, "Upload-Length": str(len(data))}
        answer = self._insist(lambda: self.client.post("/files", headers=headers))
        self.location = answer.headers["Location"]
        self.upload_id = self.location.rpartition("/")[2].partition(".")[0]

    def _insist(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + 40
        while True:
            try:
                answer = ask()
            except httpx.TransportError:
                self.resumed += 1
                assert time.monotonic() < deadline
                time.sleep(0.05)
                continue
            assert answer.status_code in (200, 201, 204), answer.text
            return answer

    def send(self, piece_bytes: int, pause_s: float) -> None:
        offset = 0
        while offset < len(self.data):
            headers = {**TUS, **BYTES, "Upload-Offset": str(offset)}
            piece = self.data[offset : offset + piece_bytes]
            try:
                answer = self.client.patch(self.location, headers=headers, content=piece)
                answer.raise_for_status()
            except httpx.HTTPError:
                self.resumed += 1
                answer = self._insist(lambda: self.client.head(self.location, headers=TUS))
            offset = int(answer.headers["Upload-Offset"])
            time.sleep(pause_s)  # the uplink


@pytest.mark.slow
def test_ffmpeg_makes_the_same_of_a_file_that_is_still_coming(
    settings: Settings, layout: Layout
) -> None:
    """Four containers at a time over a network that cuts, with a server killed midway."""
    prepare(settings)
    token = add_token(add_user())
    chance = random.Random(11)
    # Each connection, however many: some end by themselves before they are cut.
    cuts = (Fault(chance.randrange(200_000, 900_000)) for _ in itertools.count())
    read_early: dict[str, int] = {}

    def follow(kind: str, sender: Slow) -> str:
        with subprocess.Popen(
            frames("-i", "pipe:0"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin and process.stdout
            with (
                ThreadPoolExecutor(1) as pool,
                GrowingFile(layout, sender.upload_id, patience_s=60) as reader,
            ):
                output = pool.submit(process.stdout.read)
                read_early[kind] = 0 if reader.complete else reader.settled
                try:
                    feed(reader, process.stdin)
                except BaseException:
                    process.kill()  # or its reader would be waited for, for ever
                    raise
                return output.result().decode()

    with serving_process(settings) as (url, process), bad_network(url, cuts) as network:
        senders = {kind: Slow(network.url, token, clip(kind).read_bytes()) for kind in KINDS}
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(s.send, 100_000, 0.05) for s in senders.values()]
            wait_until("bytes have come", lambda: all_settled(senders, 1))
            made = {kind: pool.submit(follow, kind, s) for kind, s in senders.items()}
            wait_until("some more", lambda: all_settled(senders, 300_000))
            process.kill()
            process.wait()
            with serving_process(settings) as (again, _):
                network.lead_to(again)
                for job in sent:
                    job.result()
                results = {kind: job.result() for kind, job in made.items()}
    for sender in senders.values():
        sender.client.close()
    assert network.done > 4 and all(sender.resumed for sender in senders.values())
    for kind, result in results.items():
        assert 0 < read_early[kind] < len(senders[kind].data)
        whole = subprocess.run(frames("-i", str(clip(kind))), check=True, capture_output=True)
        assert result == whole.stdout.decode(), kind


def all_settled(senders: dict[str, Slow], at_least: int) -> bool:
    with database.connection_context():
        offsets = {row.public_id: row.settled_offset for row in Upload.select()}
    return all(offsets[sender.upload_id] >= at_least for sender in senders.values())
