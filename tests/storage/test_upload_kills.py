"""SIGKILL before every call that touches the disk or the database, one after the other.

A forked child does one step of an upload and kills itself before its N-th such call, for every N;
then the sweep runs, as it does at the next start. No hooks in the code: the interpreter's own
profiler sees the calls.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.models import Job, Source, Upload, User, Video
from appliance.states import UploadState, VideoState
from storage import uploads
from storage.uploads import Created, NewUpload, Slot, Store, receive
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from appliance.settings import Settings
    from storage.layout import Layout

BODY = random.Random(5).randbytes(50_000)
CALLS = {
    "close", "commit", "execute", "fdatasync", "fsync", "ftruncate", "mkdir", "open", "pwrite",
    "rename", "unlink",
}  # fmt: skip
MOST = 200


@pytest.fixture
def store(settings: Settings, layout: Layout) -> Iterator[Store]:
    """Not on the fixture ``db``: its connection is closed and opened again around each fork."""
    open_database(settings.database_path)
    migrate(settings)
    database.connect()
    yield Store(settings, layout)
    database.close()


@pytest.fixture
def user(store: Store) -> User:
    return make_user()


def killed_at(number: int, step: Callable[[], object]) -> bool:
    """Run ``step`` in a child that dies before its call ``number``; False: it came to its end."""
    database.close()  # a connection must not be in two processes
    child = os.fork()
    if child == 0:
        count = 0

        def look(frame: Any, event: str, called: Any) -> None:
            nonlocal count
            if event == "c_call" and getattr(called, "__name__", "") in CALLS:
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            database.connect()
            sys.setprofile(look)
            step()
            code = 0
        finally:
            sys.setprofile(None)
            os._exit(code)
    _, status = os.waitpid(child, 0)
    database.connect()
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), code
    return code != 0


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
