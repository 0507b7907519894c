"""SIGKILL before every call that touches the disk or the database, one after the other.

A forked child does one step of an upload and kills itself before its N-th such call, for every N;
then the sweep runs, as it does at the next start. No hooks in the code: the interpreter's own
profiler sees the calls.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database
from appliance.models import Job, Source, Upload, User, Video
from appliance.states import UploadState, VideoState
from storage import uploads
from storage.uploads import Created, DigestMismatch, NewUpload, Slot, Store, joining, receive
from tests.factories import make_tables, make_user
from tests.mortality import die, said_by_child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from appliance.settings import Settings
    from storage.layout import Layout

BODY = random.Random(5).randbytes(50_000)
CALLS = {
    "close", "commit", "copy_file_range", "execute", "fdatasync", "fsync", "ftruncate", "mkdir",
    "open", "pwrite", "rename", "unlink",
}  # fmt: skip
MOST = 200


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    """In memory, where there is such a disk: processes die here, the machine doesn't."""
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK):
        yield settings
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="appliance-tests-") as name:
        yield settings.model_copy(update={"data": Path(name) / "data"})


@pytest.fixture
def store(settings: Settings, layout: Layout) -> Iterator[Store]:
    """Not on the fixture ``db``: its connection is closed and opened again around each fork."""
    make_tables(settings)
    database.connect()
    yield Store(settings, layout)
    database.close()


@pytest.fixture
def user(store: Store) -> User:
    return make_user()


def killed_at(number: int, step: Callable[[], object]) -> bool:
    """Run ``step`` in a child that dies before its call ``number``; False: it came to its end."""
    database.close()  # a connection must not be in two processes
    count = 0

    def look(frame: Any, event: str, called: Any) -> None:
        nonlocal count
        if event == "c_call" and getattr(called, "__name__", "") in CALLS:
            count += 1
            if count == number:
                die()

    def counted_step() -> int:
        database.connect()
        sys.setprofile(look)
        try:
            step()
        finally:
            sys.setprofile(None)
        return count

    said = said_by_child(counted_step)
    database.connect()
    return said is None


def recover(store: Store) -> None:
    """What the next start does; files are made to look old enough to be judged."""
    for path in store.layout.uploads.iterdir():
        os.utime(path, (0, 0))
    uploads.recover(store.settings)


def create(store: Store, user: User) -> Created:
    return store.create(user, NewUpload(length=len(BODY), filename="a.mp4", source=Source.BROWSER))


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 20_000):
        yield data[start : start + 20_000]


def append(store: Store, created: Created, upto: int = len(BODY)) -> None:
    held = store.open(created.upload_id, created.token)
    asyncio.run(receive(store, held, Slot(), chunks_of(BODY[held.offset : upto])))
    store.settle(held)
    held.close()


def check_consistent(store: Store) -> None:
    """Every open upload has its file, every file its upload, every video what it says."""
    rows = {
        row.public_id: row
        for row in Upload.select().where(
            Upload.state.in_([UploadState.RECEIVING, UploadState.FINISHING])
        )
    }
    assert {path.name for path in store.layout.uploads.iterdir()} == set(rows)
    for row in rows.values():
        assert store.layout.upload(row.public_id).stat().st_size >= row.durable_offset
    for video in Video.select():
        original = store.layout.original(video.public_id)
        if video.state is VideoState.RECEIVED:
            assert original.read_bytes() == BODY
            assert Job.select().where(Job.video == video, Job.kind == "probe").count() == 1
        else:
            assert video.state is VideoState.UPLOADING
            assert not original.exists()


def test_killed_anywhere_while_creating(store: Store, user: User) -> None:
    for number in range(1, MOST):
        killed = killed_at(number, lambda: create(store, user))
        recover(store)
        check_consistent(store)
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 10
    assert Upload.select().count() >= 1


def test_killed_anywhere_while_receiving_the_last_bytes(store: Store, user: User) -> None:
    for number in range(1, MOST):
        created = create(store, user)
        append(store, created, 10_000)
        killed = killed_at(number, lambda c=created: append(store, c))  # type: ignore[misc]
        recover(store)
        check_consistent(store)
        row = Upload.get(Upload.public_id == created.upload_id)
        if row.state is UploadState.RECEIVING:
            append(store, created)  # the sender goes on
            check_consistent(store)
        video = Video.get(Video.public_id == created.video_id)
        assert video.state is VideoState.RECEIVED
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 20


def test_killed_anywhere_while_terminating(store: Store, user: User) -> None:
    def terminate(created: Created) -> None:
        held = store.open(created.upload_id, created.token)
        store.terminate(held)
        held.close()

    for number in range(1, MOST):
        created = create(store, user)
        append(store, created, 10_000)
        killed = killed_at(number, lambda c=created: terminate(c))  # type: ignore[misc]
        recover(store)
        check_consistent(store)
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 8


class Sum:
    """A digest that is right when all of ``BODY`` has come."""

    def __init__(self) -> None:
        self.seen = b""

    def update(self, chunk: bytes, /) -> None:
        self.seen += chunk

    def check(self) -> None:
        if self.seen != BODY[10_000:]:
            raise DigestMismatch("Something else came.")


def test_killed_anywhere_while_receiving_what_is_checked(store: Store, user: User) -> None:
    """All of the body counts or none, whenever we die."""

    def append_checked(created: Created) -> None:
        held = store.open(created.upload_id, created.token)
        asyncio.run(receive(store, held, Slot(), chunks_of(BODY[10_000:]), Sum()))
        store.settle(held)
        held.close()

    offsets = set()
    for number in range(1, MOST):
        created = store.create(
            user, NewUpload(length=len(BODY) + 1, filename="a.mp4", source=Source.BROWSER)
        )
        append(store, created, 10_000)
        killed = killed_at(number, lambda c=created: append_checked(c))  # type: ignore[misc]
        held = store.open(created.upload_id, created.token)
        assert store.layout.upload(created.upload_id).stat().st_size == held.offset
        offsets.add(held.offset)
        held.close()
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 12
    assert offsets == {10_000, len(BODY)}


def begin_joined(store: Store, user: User, parts: list[tuple[str, str]]) -> Created:
    new = NewUpload(length=None, filename="whole.mp4", source=Source.BROWSER)
    return joining.begin(store, user, new, parts, "final;…")


def make_part(store: Store, user: User, data: bytes) -> tuple[str, str]:
    new = NewUpload(length=len(data), filename="", source=Source.BROWSER, concat="partial")
    created = store.create(user, new)
    held = store.open(created.upload_id, created.token)
    asyncio.run(receive(store, held, Slot(), chunks_of(data)))
    store.settle(held)
    held.close()
    return created.upload_id, created.token


def make_parts(store: Store, user: User) -> list[tuple[str, str]]:
    cuts = (0, 20_000, 20_001, len(BODY))
    return [
        make_part(store, user, BODY[start:end]) for start, end in zip(cuts, cuts[1:], strict=False)
    ]


def test_killed_anywhere_while_a_final_upload_is_begun(store: Store, user: User) -> None:
    for number in range(1, MOST):
        parts = make_parts(store, user)
        killed = killed_at(number, lambda p=parts: begin_joined(store, user, p))  # type: ignore[misc]
        created = begin_joined(store, user, parts)  # who lost the answer asks again
        recover(store)
        check_joined(store, created)
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 5
    assert Video.select().count() == number


def test_killed_anywhere_while_parts_are_joined(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.uploads.joining.PIECE_BYTES", 16_384)

    def join(created: Created) -> None:
        row = Upload.get(Upload.public_id == created.upload_id)
        assert joining.join(store, row, enough=lambda: False)

    for number in range(1, MOST):
        created = begin_joined(store, user, make_parts(store, user))
        killed = killed_at(number, lambda c=created: join(c))  # type: ignore[misc]
        if number % 7 == 0:  # the next one is killed as well, somewhere else
            killed_at(number // 2, lambda c=created: join(c))  # type: ignore[misc]
        recover(store)
        check_joined(store, created)
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 30


def check_joined(store: Store, created: Created) -> None:
    check_consistent(store)
    video = Video.get(Video.public_id == created.video_id)
    assert video.state is VideoState.RECEIVED
    assert store.layout.original(created.video_id).read_bytes() == BODY
    assert list(store.layout.uploads.iterdir()) == []
    assert {row.state for row in Upload.select()} == {UploadState.COMPLETE}
