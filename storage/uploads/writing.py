"""Writes what arrives: at once while the disk keeps up, in a thread while it doesn't.

The page cache takes a piece in a tenth of a millisecond, and nothing is cheaper than to give it
there in the event loop. But when too much is waiting for the disk, the kernel lets a writer sleep
for up to 200 ms, and with it everybody whose page is served by the same loop. So pieces are then
gathered, and written by a thread while the next ones arrive: at most two batches for each upload.
Source: mm/page-writeback.c, balance_dirty_pages (MAX_PAUSE).
"""

from __future__ import annotations

import asyncio
import resource
import time
from typing import TYPE_CHECKING

from storage.background import begin_disk_work, to_its_end
from storage.uploads.files import start_writing_back, write_at

if TYPE_CHECKING:
    from asyncio import Future

# A write that takes so long was put to sleep; or the processor was given to somebody else.
SLOW_WRITE_S = 0.005
DOUBT_S = 1.0
# So much sleep in one second is the disk's doing; less, that of two writers who want one lock.
ASLEEP_S = 0.1
# A disk that is so slow when it has to is going to let writers sleep.
SLOW_SYNC_S = 0.1
SLOW_SYNC_BYTES_PER_S = 100_000_000
SLOW_FOR_S = 3.0
BATCH_BYTES = 512 << 10
# The disk is set to work after each so many bytes, as long as an acknowledgement may be near;
# later there are checkpoints.
AHEAD_BYTES = 2 << 20
AHEAD_UNTIL_BYTES = 64 << 20


class Disk:
    """Whether the disk that uploads are written to kept up lately, as all of them saw it."""

    def __init__(self) -> None:
        self._slow_until_s = self._doubt_until_s = 0.0
        self._second_began_s = self._asleep_s = 0.0

    @property
    def is_slow(self) -> bool:
        return self._slow_until_s > 0 and time.monotonic() < self._slow_until_s

    @property
    def is_in_doubt(self) -> bool:
        """Whether writes are looked at more closely: ``note_write`` wants to know of sleeps."""
        return self._doubt_until_s > 0 and time.monotonic() < self._doubt_until_s

    def note_write(self, seconds: float, sleeps: int) -> None:
        """``sleeps``: how often the writer gave the processor away by itself."""
        if seconds < SLOW_WRITE_S:
            return
        now_s = time.monotonic()
        self._doubt_until_s = now_s + DOUBT_S
        if not sleeps:
            return
        if now_s - self._second_began_s > 1.0:
            self._second_began_s, self._asleep_s = now_s, 0.0
        self._asleep_s += seconds
        if self._asleep_s >= ASLEEP_S:
            self._slow_until_s = now_s + SLOW_FOR_S

    def note_sync(self, size: int, seconds: float) -> None:
        if seconds >= SLOW_SYNC_S and size < SLOW_SYNC_BYTES_PER_S * seconds:
            self._slow_until_s = time.monotonic() + SLOW_FOR_S


# One for the process, which has one data folder: what one upload has noticed spares the others.
disk = Disk()


class Writer:
    """Writes one upload's pieces one after another, from ``offset`` on; ``offset`` follows.

    After an error nothing more is written: what came later must not land in its place.
    ``ahead``: the bytes will have to be on disk soon after the last one came.
    """

    def __init__(self, handle: int, offset: int, *, ahead: bool = False) -> None:
        self.handle = handle
        self.offset = offset
        self._ahead_from = offset
        self._ahead_until = offset + AHEAD_UNTIL_BYTES if ahead else 0
        self._ahead: Future[None] | None = None
        self._batch = bytearray()  # what came while a thread was writing
        self._under_way: Future[None] | None = None
        self._room: Future[None] | None = None
        self._error: BaseException | None = None

    def write(self, piece: bytes | memoryview) -> Future[None] | None:
        """``piece`` may be used for something else afterwards.

        A future: give nothing more before it is done. Raises OSError, perhaps of an earlier piece.
        """
        if self._error is not None:
            raise self._error
        if self._under_way is None and not disk.is_slow:
            self._write_now(piece)
            if self.offset - self._ahead_from >= AHEAD_BYTES and self.offset < self._ahead_until:
                self._go_ahead()
            return None
        self._batch += piece
        if self._under_way is None:
            self._send_off()
        if len(self._batch) < BATCH_BYTES:
            return None
        self._room = asyncio.get_running_loop().create_future()
        return self._room

    async def flush(self) -> None:
        """All that was given is in the file after this (not yet forced to disk). Raises OSError."""
        while (under_way := self._under_way) is not None:
            try:
                await to_its_end(under_way)
            finally:
                self._written(under_way)  # it may have been done before, and not have been heard of
        if self._ahead is not None:
            await to_its_end(self._ahead)  # before the file is closed
        if self._error is not None:
            raise self._error

    def _go_ahead(self) -> None:
        if self._ahead is None or self._ahead.done():
            start, size = self._ahead_from, self.offset - self._ahead_from
            self._ahead = begin_disk_work(lambda: start_writing_back(self.handle, start, size))
            self._ahead_from = self.offset

    def _send_off(self) -> None:
        """Let a thread write what has gathered."""
        batch, self._batch = self._batch, bytearray()
        self._under_way = begin_disk_work(lambda: self._write_now(batch))
        self._under_way.add_done_callback(self._written)

    def _written(self, done: Future[None]) -> None:
        if done is not self._under_way:
            return
        self._under_way = None
        self._error = done.exception()
        if self._error is None and self._batch:
            self._send_off()
        room, self._room = self._room, None
        if room is not None and not room.done():
            if self._error is None:
                room.set_result(None)
            else:
                room.set_exception(self._error)

    def _write_now(self, data: bytes | bytearray | memoryview) -> None:
        sleeps = _sleeps() if disk.is_in_doubt else None
        started = time.perf_counter()
        try:
            write_at(self.handle, data, self.offset)
        except OSError as exc:
            self._error = exc
            raise
        self.offset += len(data)
        disk.note_write(time.perf_counter() - started, 0 if sleeps is None else _sleeps() - sleeps)


def _sleeps() -> int:
    """Of this thread, so far. Source: getrusage(2), ru_nvcsw."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
