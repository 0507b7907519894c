"""The store of uploads: what it keeps, what it refuses, and what it does after a crash."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import resource
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.clock import now
from appliance.errors import NotFound, StorageFull, TooLarge, TooManyAttempts
from appliance.models import Event, Job, Post, Source, Upload, User, Video, Visibility
from appliance.settings import Settings
from appliance.states import UploadState, VideoState
from storage import uploads
from storage.layout import Layout
from storage.uploads import Created, NewUpload, Slot, Store, UploadBusy, UploadGone, receive
from storage.uploads.writing import Disk, Writer
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

BODY = random.Random(1).randbytes(100_000)


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


def new(length: int | None = len(BODY), **more: object) -> NewUpload:
    return NewUpload(length=length, filename="clip.mp4", source=Source.BROWSER, **more)  # type: ignore[arg-type]


def put(store: Store, created: Created, data: bytes, *, ack: bool = True) -> int:
    """Append ``data`` as a request does; the offset after it."""
    held = store.open(created.upload_id, created.token)
    try:
        asyncio.run(receive(store, held, Slot(), chunks_of(data)))
        if ack:
            store.settle(held)
        return held.offset
    finally:
        held.close()


async def chunks_of(data: bytes, size: int = 7000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def file_of(layout: Layout, created: Created) -> Path:
    return layout.upload(created.upload_id)


def offset_of(store: Store, created: Created) -> int:
    held = store.open(created.upload_id, created.token)
    held.close()
    return held.offset


def test_a_new_upload_is_a_video_that_is_uploading(
    store: Store, user: User, layout: Layout
) -> None:
    created = store.create(user, new(title="My clip", visibility=Visibility.PRIVATE))
    video = Video.get(Video.public_id == created.video_id)
    assert (video.state, video.title, video.visibility) == (
        VideoState.UPLOADING,
        "My clip",
        Visibility.PRIVATE,
    )
    file = file_of(layout, created)
    assert (file.stat().st_size, file.stat().st_mode & 0o777) == (0, 0o640)


def test_all_bytes_become_the_original_once(store: Store, user: User, layout: Layout) -> None:
    created = store.create(user, new())
    put(store, created, BODY[:30_000])
    assert Upload.get().durable_offset == 30_000
    put(store, created, BODY[30_000:])
    video = Video.get()
    assert video.state is VideoState.RECEIVED
    assert video.received_at is not None
    assert layout.original(video.public_id).read_bytes() == BODY
    assert not file_of(layout, created).exists()
    held = store.open(created.upload_id, created.token)
    store.finish(held)
    assert [job.key for job in Job.select()] == [f"probe:{video.public_id}"]
    types = [event.type for event in Event.select() if event.type.startswith("video.")]
    assert types == ["video.created", "video.received"]


def test_a_token_opens_its_own_upload_only(store: Store, user: User) -> None:
    first, second = store.create(user, new()), store.create(user, new())
    with pytest.raises(NotFound):
        store.open(first.upload_id, second.token)


def test_only_one_may_hold_it(store: Store, user: User) -> None:
    created = store.create(user, new())
    held = store.open(created.upload_id, created.token)
    with pytest.raises(UploadBusy):
        store.open(created.upload_id, created.token)
    held.close()
    store.open(created.upload_id, created.token).close()


def test_too_large_and_too_many_are_refused(settings: Settings, layout: Layout, user: User) -> None:
    store = Store(
        settings.model_copy(update={"max_upload_bytes": 10, "max_open_uploads": 1}), layout
    )
    with pytest.raises(TooLarge):
        store.create(user, new(11))
    store.create(user, new(10))
    with pytest.raises(TooManyAttempts):
        store.create(user, new(10))
    assert len(list(layout.uploads.iterdir())) == 1
    assert store.create(make_user("other@example.org"), new(10))


def test_room_is_reserved_for_all_open_uploads(
    settings: Settings, layout: Layout, user: User
) -> None:
    free = os.statvfs(layout.data).f_bavail * os.statvfs(layout.data).f_frsize
    store = Store(
        settings.model_copy(update={"max_upload_bytes": free, "disk_reserve": 10 << 20}), layout
    )
    store.create(user, new(free * 6 // 10))
    with pytest.raises(StorageFull, match="no room"):
        store.create(user, new(free * 6 // 10))
    assert Upload.select().count() == Video.select().count() == 1
    assert len(list(layout.uploads.iterdir())) == 1
    store.create(user, new(1000))


def test_after_a_kill_what_was_written_counts(store: Store, user: User) -> None:
    created = store.create(user, new())
    put(store, created, BODY[:30_000], ack=False)
    assert offset_of(store, created) == 30_000


@pytest.mark.parametrize("seed", range(5))
def test_after_a_power_cut_only_what_was_acknowledged_counts(
    store: Store, user: User, layout: Layout, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    created = store.create(user, new())
    put(store, created, BODY[:30_000])
    put(store, created, BODY[30_000:60_000], ack=False)
    # The size may have reached the disk without the bytes: zeros.
    size = random.Random(seed).randrange(30_000, 60_001)
    os.truncate(file_of(layout, created), 30_000)
    os.truncate(file_of(layout, created), size)
    monkeypatch.setattr("storage.uploads.expiry.boot_id", lambda: "another start")
    assert offset_of(store, created) == 30_000
    put(store, created, BODY[30_000:])
    assert layout.original(created.video_id).read_bytes() == BODY


def test_fewer_bytes_than_acknowledged_is_lost(store: Store, user: User, layout: Layout) -> None:
    created = store.create(user, new())
    put(store, created, BODY[:30_000])
    os.truncate(file_of(layout, created), 29_999)
    with pytest.raises(UploadGone, match="Send the file again"):
        store.open(created.upload_id, created.token)
    assert Upload.get().state is UploadState.LOST
    video = Video.get()
    assert (video.state, bool(video.error)) == (VideoState.FAILED, True)


@pytest.mark.parametrize(("policy", "durable"), [("ack", 500), ("complete", 0), ("never", 0)])
def test_policies_of_forcing_to_disk(
    settings: Settings, layout: Layout, user: User, policy: str, durable: int
) -> None:
    store = Store(settings.model_copy(update={"upload_fsync": policy}), layout)
    created = store.create(user, new(1000))
    put(store, created, b"x" * 500)
    assert Upload.get().durable_offset == durable
    put(store, created, b"x" * 500)
    assert Video.get().state is VideoState.RECEIVED


def test_an_ended_upload_takes_its_video_along(store: Store, user: User, layout: Layout) -> None:
    created = store.create(user, new())
    held = store.open(created.upload_id, created.token)
    store.terminate(held)
    held.close()
    assert Video.select().count() == 0
    assert list(layout.uploads.iterdir()) == []
    with pytest.raises(UploadGone):
        store.open(created.upload_id, created.token)


def test_a_video_with_a_post_is_kept_and_says_why(store: Store, user: User) -> None:
    created = store.create(user, new())
    Post.create(video=Video.get(), author=user)
    held = store.open(created.upload_id, created.token)
    store.terminate(held)
    held.close()
    video = Video.get()
    assert video.state is VideoState.FAILED
    assert "cancelled" in video.error


def test_the_sweep_ends_idle_uploads(
    store: Store, settings: Settings, user: User, layout: Layout
) -> None:
    store.create(user, new())
    Upload.update(expires_at=now() - timedelta(seconds=1)).execute()
    fresh = store.create(user, new())
    assert uploads.recover(settings).ended == 1
    assert [path.name for path in layout.uploads.iterdir()] == [fresh.upload_id]
    assert [video.public_id for video in Video.select()] == [fresh.video_id]


def test_the_sweep_leaves_what_is_held(store: Store, settings: Settings, user: User) -> None:
    created = store.create(user, new())
    Upload.update(expires_at=now() - timedelta(seconds=1)).execute()
    with store.layout.upload(created.upload_id).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert uploads.recover(settings).ended == 0
    assert uploads.recover(settings).ended == 1


def test_the_sweep_finishes_what_was_cut_short(
    store: Store, settings: Settings, user: User, layout: Layout
) -> None:
    whole = store.create(user, new())
    put(store, whole, BODY, ack=False)
    assert uploads.recover(settings).finished == 1
    assert layout.original(whole.video_id).read_bytes() == BODY
    assert uploads.recover(settings) == uploads.Recovered()


def test_the_sweep_removes_files_that_never_got_a_row(
    settings: Settings, layout: Layout, db: None
) -> None:
    old, young = layout.uploads / ("0" * 26), layout.uploads / ("1" * 26)
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    assert uploads.recover(settings).files_removed == 1
    assert list(layout.uploads.iterdir()) == [young]


def test_the_sweep_tells_of_rows_without_a_file(
    store: Store, settings: Settings, user: User, layout: Layout
) -> None:
    created = store.create(user, new())
    file_of(layout, created).unlink()
    assert uploads.recover(settings).ended == 1
    assert Upload.get().state is UploadState.LOST


def test_ended_rows_are_kept_for_a_week(store: Store, settings: Settings, user: User) -> None:
    store.create(user, new(0))
    Upload.update(state=UploadState.EXPIRED).execute()
    assert uploads.recover(settings).rows_removed == 0
    Upload.update(touched_at=now() - timedelta(days=8)).execute()
    assert uploads.recover(settings).rows_removed == 1


def test_progress_is_what_is_on_disk(store: Store, user: User, layout: Layout) -> None:
    created = store.create(user, new())
    put(store, created, BODY[:25_000], ack=False)
    video = Video.get(Video.public_id == created.video_id)
    assert uploads.progress_of(layout, [video]) == {video.id: 0.25}


def test_surplus_is_refused_and_the_rest_kept(store: Store, user: User, layout: Layout) -> None:
    created = store.create(user, new(10))
    with pytest.raises(TooLarge):
        put(store, created, b"0123456789+")
    assert file_of(layout, created).read_bytes() == b"0123456789"


# The writer


def write(path: Path, chunks: Iterable[bytes], offset: int = 0) -> Writer:
    async def work() -> Writer:
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        writer = Writer(handle, offset)
        try:
            for chunk in chunks:
                waiting = writer.write(chunk)
                if waiting is not None:
                    await waiting
        finally:
            await writer.flush()
            os.close(handle)
        return writer

    return asyncio.run(work())


@pytest.fixture(params=["threads", "mixed", "inline"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """One that seems slow all the time, again and again for an instant, or never."""
    slow_s = 10.0 if request.param == "inline" else -1.0
    monkeypatch.setattr("storage.uploads.writing.SLOW_WRITE_S", slow_s)
    monkeypatch.setattr("storage.uploads.writing.ASLEEP_S", slow_s)
    monkeypatch.setattr(
        "storage.uploads.writing.SLOW_FOR_S", 0.0005 if request.param == "mixed" else 60.0
    )
    monkeypatch.setattr("storage.uploads.writing.BATCH_BYTES", 20_000)
    found = Disk()
    monkeypatch.setattr("storage.uploads.writing.disk", found)
    return found


def seen_as_slow(disk: Disk, chunks: list[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number % 20 == 0:
            disk.note_write(0.0, sleeps=1)
        yield chunk


def test_bytes_arrive_in_order_however_quick_the_disk_is(tmp_path: Path, disk: Disk) -> None:
    sizes = random.Random(7)
    chunks = [sizes.randbytes(sizes.randrange(1, 30_000)) for _ in range(300)]
    writer = write(tmp_path / "file", seen_as_slow(disk, chunks))
    assert (tmp_path / "file").read_bytes() == b"".join(chunks)
    assert writer.offset == sum(map(len, chunks))


def test_disk_is_slow_when_it_lets_writers_sleep_or_takes_long_to_sync() -> None:
    busy, sleepy, nodding, syncing, quick = (Disk() for _ in range(5))
    busy.note_write(0.2, sleeps=0)  # the processor was somebody else's
    sleepy.note_write(0.2, sleeps=1)
    for _ in range(4):
        nodding.note_write(0.02, sleeps=1)
    assert not nodding.is_slow
    nodding.note_write(0.03, sleeps=1)
    syncing.note_sync(8 << 20, 0.2)
    quick.note_write(0.0002, sleeps=1)
    quick.note_sync(64 << 20, 0.2)
    quick.note_sync(4096, 0.02)  # how long a journal takes says nothing of the bytes
    assert all(d.is_slow for d in (sleepy, nodding, syncing))
    assert not any(d.is_slow for d in (busy, quick))
    assert busy.is_in_doubt
    assert not quick.is_in_doubt


def test_after_an_error_nothing_lands_in_a_wrong_place(tmp_path: Path, disk: Disk) -> None:
    """The kernel refuses to write beyond a limit of the process: short write, then an error."""
    body = random.Random(3).randbytes(200_000)
    path = tmp_path / "file"
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            pieces = [body[i : i + 7000] for i in range(0, len(body), 7000)]
            write(path, seen_as_slow(disk, pieces))
        except OSError:
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert path.read_bytes() == body[:50_000]
