"""Parts become one upload: what is taken, what is refused, what goes on after a stop."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import Conflict, InvalidInput, NotFound, StorageFull, TooLarge
from appliance.models import Job, Source, Upload, User, Video
from appliance.states import UploadState, VideoState
from storage import uploads
from storage.uploads import Created, NewUpload, Slot, Store, UploadBusy, UploadGone, receive
from storage.uploads import joining as joining_module
from storage.uploads.joining import begin, echo, join
from storage.uploads.slots import StillJoining
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout

RANDOM = random.Random(7)
NEW = NewUpload(length=None, filename="whole.mp4", source=Source.API)


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.uploads.joining.PIECE_BYTES", 4096)


def part(store: Store, user: User, data: bytes, *, upto: int | None = None) -> tuple[str, str]:
    """A part with ``data`` (or only its beginning) in it: id and token."""
    new = NewUpload(length=len(data), filename="", source=Source.API, concat="partial")
    made = store.create(user, new)
    held = store.open(made.upload_id, made.token)
    asyncio.run(receive(store, held, Slot(), chunks_of(data[:upto])))
    store.settle(held)
    held.close()
    return made.upload_id, made.token


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


def begun(store: Store, user: User, *parts: tuple[str, str]) -> Created:
    return begin(store, user, NEW, parts, "final;/files/a /files/b")


def row_of(created: Created) -> Upload:
    return Upload.get(Upload.public_id == created.upload_id)


def finish(store: Store, created: Created) -> bool:
    return join(store, row_of(created), enough=lambda: False)


def bytes_of(store: Store, created: Created) -> bytes:
    return store.layout.original(created.video_id).read_bytes()


@pytest.mark.parametrize(
    "sizes",
    [(1,), (0,), (5000, 5000), (0, 3, 0), (4096, 8192, 1), (10_000, 0, 12_289, 4097), (1,) * 20],
    ids=str,
)
def test_parts_of_any_size_become_one_file(
    store: Store, user: User, sizes: tuple[int, ...]
) -> None:
    data = [RANDOM.randbytes(size) for size in sizes]
    created = begun(store, user, *[part(store, user, piece) for piece in data])
    assert finish(store, created)
    assert bytes_of(store, created) == b"".join(data)
    video = Video.get()
    assert (video.state, video.size_bytes) == (VideoState.RECEIVED, sum(sizes))
    assert [job.kind for job in Job.select()] == ["probe"]
    assert list(store.layout.uploads.iterdir()) == []
    assert {row.state for row in Upload.select()} == {UploadState.COMPLETE}


def test_a_part_is_no_video_and_waits(store: Store, user: User, settings: Settings) -> None:
    upload_id, token = part(store, user, b"abc")
    assert Video.select().count() == Job.select().count() == 0
    uploads.recover(settings)
    held = store.open(upload_id, token)
    held.close()
    assert (held.offset, held.row.state) == (3, UploadState.RECEIVING)
    assert held.row.complete_declared


def test_the_first_part_is_not_copied(store: Store, user: User) -> None:
    first, second = part(store, user, b"a" * 5000), part(store, user, b"b" * 100)
    inode = store.layout.upload(first[0]).stat().st_ino
    created = begun(store, user, first, second)
    finish(store, created)
    assert store.layout.original(created.video_id).stat().st_ino == inode


def test_never_more_than_a_piece_is_there_twice(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (10_000, 50_000, 30_000)
    created = begun(store, user, *[part(store, user, RANDOM.randbytes(n)) for n in sizes])
    most = 0
    copy = joining_module._copy

    def look(source: int, start: int, target: int, position: int, count: int) -> None:
        nonlocal most
        copy(source, start, target, position, count)
        blocks = sum(path.stat().st_blocks * 512 for path in store.layout.uploads.iterdir())
        most = max(most, blocks)

    monkeypatch.setattr("storage.uploads.joining._copy", look)
    finish(store, created)
    # Files end in blocks that are not full, one for each, and pieces needn't fit into blocks.
    assert most <= sum(sizes) + 4096 + 6 * 4096


def test_without_the_kernels_help_it_is_copied(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EXDEV, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    data = RANDOM.randbytes(20_000)
    created = begun(store, user, part(store, user, data[:9_000]), part(store, user, data[9_000:]))
    finish(store, created)
    assert bytes_of(store, created) == data


def test_the_same_parts_give_the_same_upload(store: Store, user: User) -> None:
    parts = [part(store, user, b"abc"), part(store, user, b"def")]
    first = begun(store, user, *parts)
    assert begun(store, user, *parts) == first
    finish(store, first)
    assert begun(store, user, *parts) == first
    assert Video.select().count() == 1
    with pytest.raises(Conflict, match="another file"):
        begun(store, user, *reversed(parts))


def test_what_cannot_be_a_part_is_refused(store: Store, user: User) -> None:
    whole = part(store, user, b"abc")
    ordinary = store.create(user, NewUpload(length=3, filename="a", source=Source.API))
    stranger = make_user("stranger@example.org")
    unknown = whole[0][:-1] + ("1" if whole[0].endswith("0") else "0")
    cases: list[tuple[type[Exception], str, tuple[tuple[str, str], ...]]] = [
        (NotFound, "Part 2 is no upload of yours", (whole, (unknown, whole[1]))),
        (NotFound, "Part 1 is no upload of yours", ((whole[0], whole[1][::-1]),)),
        (NotFound, "Part 2 is no upload of yours", (whole, part(store, stranger, b"x"))),
        (InvalidInput, "Part 3 is named twice", (whole, part(store, user, b"x"), whole)),
        (InvalidInput, "not begun as a part", (whole, (ordinary.upload_id, ordinary.token))),
        (Conflict, "Part 2 is not complete", (whole, part(store, user, b"xyz", upto=2))),
    ]
    for kind, sentence, parts in cases:
        with pytest.raises(kind, match=sentence):
            begun(store, user, *parts)
    assert Video.select().where(Video.filename == "whole.mp4").count() == 0
    assert Upload.get(Upload.public_id == whole[0]).state is UploadState.RECEIVING


def test_an_ended_part_is_gone(store: Store, user: User) -> None:
    whole, ended = part(store, user, b"abc"), part(store, user, b"def")
    held = store.open(*ended)
    store.terminate(held)
    held.close()
    with pytest.raises(UploadGone, match="Part 2: This upload was cancelled"):
        begun(store, user, whole, ended)


def test_a_part_whose_bytes_are_gone_is_noticed(store: Store, user: User) -> None:
    whole, lost = part(store, user, b"abc"), part(store, user, b"def")
    os.truncate(store.layout.upload(lost[0]), 2)
    with pytest.raises(UploadGone, match="Part 2"):
        begun(store, user, whole, lost)


@pytest.mark.parametrize("how", ["removed", "shortened"])
def test_bytes_lost_before_they_are_joined_end_all_of_it(
    store: Store, user: User, settings: Settings, how: str
) -> None:
    parts = [part(store, user, RANDOM.randbytes(9000)) for _ in range(3)]
    created = begun(store, user, *parts)
    path = store.layout.upload(parts[2][0])
    path.unlink() if how == "removed" else os.truncate(path, 8999)
    with pytest.raises(UploadGone):
        finish(store, created)
    assert {row.state for row in Upload.select()} == {UploadState.LOST}
    video = Video.get()
    assert (video.state, bool(video.error)) == (VideoState.FAILED, True)
    for path in store.layout.uploads.iterdir():
        os.utime(path, (0, 0))
    uploads.recover(settings)
    assert list(store.layout.uploads.iterdir()) == []


def test_too_much_together_is_refused(settings: Settings, layout: Layout, user: User) -> None:
    store = Store(settings.model_copy(update={"max_upload_bytes": 10}), layout)
    parts = [part(store, user, b"x" * 6) for _ in range(2)]
    with pytest.raises(TooLarge):
        begun(store, user, *parts)
    assert {row.state for row in Upload.select()} == {UploadState.RECEIVING}


def test_only_one_piece_of_room_is_asked_for(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [part(store, user, b"x" * 100_000) for _ in range(3)]
    reserve = store.settings.reserve_bytes()
    monkeypatch.setattr("storage.budget.free_bytes", lambda _: reserve + 4095)
    with pytest.raises(StorageFull):
        begun(store, user, *parts)
    monkeypatch.setattr("storage.budget.free_bytes", lambda _: reserve + 4096)
    created = begun(store, user, *parts)
    # While it is being joined, it keeps no room from others.
    store.create(user, NewUpload(length=4096, filename="a.mp4", source=Source.API))
    finish(store, created)


def test_a_disk_that_fills_up_only_delays_it(
    store: Store, user: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = RANDOM.randbytes(30_000)
    created = begun(store, user, part(store, user, data[:9_000]), part(store, user, data[9_000:]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "copy_file_range", _full_after(3, os.copy_file_range))
        with pytest.raises(StorageFull):
            finish(store, created)
    assert row_of(created).state is UploadState.FINISHING
    assert uploads.recover(settings).finished == 1
    assert bytes_of(store, created) == data


def _full_after(times: int, real: Callable[..., int]) -> Callable[..., int]:
    def copy(*args: Any) -> int:
        nonlocal times
        times -= 1
        if times < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    return copy


def test_it_can_be_left_after_any_piece_and_taken_up(store: Store, user: User) -> None:
    data = [RANDOM.randbytes(20_000) for _ in range(3)]
    created = begun(store, user, *[part(store, user, piece) for piece in data])
    turns = 1
    while not join(store, row_of(created), enough=lambda: True):
        turns += 1
        assert turns < 20
    assert turns > 5
    assert bytes_of(store, created) == b"".join(data)


def test_only_one_may_join(store: Store, user: User) -> None:
    parts = [part(store, user, b"abc"), part(store, user, b"def")]
    created = begun(store, user, *parts)
    with store.layout.upload(parts[0][0]).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UploadBusy):
            finish(store, created)
    assert finish(store, created)


def test_nobody_else_touches_it_meanwhile(store: Store, user: User) -> None:
    created = begun(store, user, part(store, user, b"abc"), part(store, user, b"def"))
    with pytest.raises(StillJoining):
        store.open(created.upload_id, created.token)
    finish(store, created)
    store.open(created.upload_id, created.token).close()


def test_a_part_that_belongs_to_a_file_cannot_be_cancelled(store: Store, user: User) -> None:
    parts = [part(store, user, b"abc"), part(store, user, b"def")]
    created = begun(store, user, *parts)
    held = store.open(*parts[1])
    with pytest.raises(Conflict):
        store.terminate(held)
    held.close()
    finish(store, created)
    assert bytes_of(store, created) == b"abcdef"


def test_the_video_deleted_meanwhile_ends_it(store: Store, user: User, settings: Settings) -> None:
    created = begun(store, user, part(store, user, b"abc"), part(store, user, b"def"))
    Video.delete().execute()
    with pytest.raises(UploadGone):
        finish(store, created)
    assert {row.state for row in Upload.select()} == {UploadState.LOST}


def test_what_was_said_is_sealed_in_the_database(store: Store, user: User) -> None:
    parts = [part(store, user, b"abc"), part(store, user, b"def")]
    said = "final;" + " ".join(f"/files/{upload_id}.{token}" for upload_id, token in parts)
    created = begin(store, user, NEW, parts, said)
    assert echo(row_of(created), created.token) == said
    for path in store.layout.data.glob("appliance.db*"):
        content = path.read_bytes()
        for token in (created.token, *[token for _, token in parts]):
            assert token.encode() not in content


def test_complete_parts_wait_as_long_as_others_arrive(store: Store, user: User) -> None:
    whole, growing = part(store, user, b"abc"), part(store, user, b"x" * 9, upto=3)
    before = Upload.get(Upload.public_id == whole[0]).expires_at
    held = store.open(*growing)
    asyncio.run(receive(store, held, Slot(), chunks_of(b"xxx")))
    store.settle(held)
    held.close()
    assert Upload.get(Upload.public_id == whole[0]).expires_at > before


class PowerCut(Exception):
    pass


class Disk:
    """Loses, when the power goes, what was written and not forced to disk; names and sizes stay.

    That is the worst that a journalling file system may do: sizes and names are older than data.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self.unsure: list[tuple[int, int]] = []
        copy, sync, cut = joining_module._copy, os.fdatasync, os.ftruncate

        def noting_copy(source: int, start: int, target: int, position: int, count: int) -> None:
            self.unsure.append((position, count))
            copy(source, start, target, position, count)
            self.count()

        def noting_sync(handle: int) -> None:
            sync(handle)
            self.unsure.clear()
            self.count()

        def noting_cut(handle: int, size: int) -> None:
            cut(handle, size)
            self.count()

        monkeypatch.setattr("storage.uploads.joining._copy", noting_copy)
        monkeypatch.setattr(os, "fdatasync", noting_sync)
        monkeypatch.setattr(os, "ftruncate", noting_cut)

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise PowerCut

    def lose(self, path: Path) -> None:
        with path.open("r+b") as file:
            for position, count in self.unsure:
                file.seek(position)
                file.write(bytes(count))


@pytest.mark.parametrize("after", range(1, 20))
def test_no_byte_is_lost_when_the_power_goes(
    store: Store, user: User, settings: Settings, after: int
) -> None:
    data = [RANDOM.randbytes(size) for size in (5000, 9000, 8192)]
    created = begun(store, user, *[part(store, user, piece) for piece in data])
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, after)
        try:
            finish(store, created)
        except PowerCut:
            disk.lose(store.layout.upload(created.upload_id))
    uploads.recover(settings)
    assert bytes_of(store, created) == b"".join(data)
