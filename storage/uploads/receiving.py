"""Bytes from a sender to the file of an upload.

Each chunk is written in the event loop: the page cache takes it in microseconds, and nothing is
cheaper (performance.md §1). When a write takes long, because the disk can't keep up, the next ones
are gathered and written by a thread while more arrive, so that the pages stay quick.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

from peewee import OperationalError

from appliance import metrics
from appliance.errors import StorageFull, TooLarge
from storage.background import disk_work, in_thread
from storage.media import is_full
from storage.uploads.files import write_at
from storage.uploads.first_looks import next_look
from storage.uploads.rows import FULL_SENTENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.uploads.rows import Digest, Held
    from storage.uploads.slots import Slot
    from storage.uploads.store import Store

log = logging.getLogger(__name__)

SLOW_WRITE_S = 0.005
BATCH_BYTES = 1 << 20
# So many batches go through the thread after a slow write, before a write in the loop is tried.
BATCHES_AFTER_SLOW = 16
# In one long request: force to disk, and remember, after so much or so long.
CHECKPOINT_BYTES = 64 << 20
CHECKPOINT_S = 5.0
SLOW_S = 1.0
TELL_EVERY_S = 0.5


class Writer:
    """Writes one upload's chunks one after another, from ``offset`` on.

    After an error nothing more is written: what came later must not land in its place.
    """

    def __init__(self, handle: int, offset: int) -> None:
        self.handle = handle
        self.offset = offset
        self._batches_left = 0
        self._batch = bytearray()
        self._under_way: asyncio.Task[float] | None = None
        self._broken = False

    async def write(self, chunk: bytes) -> None:
        """Raises OSError, perhaps of an earlier chunk."""
        if self._batches_left:
            self._batch += chunk
            if len(self._batch) >= BATCH_BYTES:
                await self._send_off()
        elif self._write_now(chunk) > SLOW_WRITE_S:
            self._batches_left = BATCHES_AFTER_SLOW

    async def flush(self) -> None:
        """All that was given is in the file after this (not yet forced to disk)."""
        await self._send_off()
        await self._arrive()

    def _write_now(self, data: bytes | bytearray) -> float:
        """Seconds that it took."""
        started = time.perf_counter()
        try:
            write_at(self.handle, data, self.offset)
        except OSError:
            self._broken = True
            raise
        self.offset += len(data)
        return time.perf_counter() - started

    async def _send_off(self) -> None:
        """Start writing the batch in a thread, once the one before it is done."""
        await self._arrive()
        if self._batch and not self._broken:
            batch, self._batch = self._batch, bytearray()
            self._under_way = asyncio.create_task(disk_work(lambda: self._write_now(batch)))

    async def _arrive(self) -> None:
        if self._under_way is None:
            return
        task, self._under_way = self._under_way, None
        slow = await task > SLOW_WRITE_S
        self._batches_left = BATCHES_AFTER_SLOW if slow else self._batches_left - 1
        if self._batch:  # gathered meanwhile: it goes before what comes next
            self._batches_left = max(1, self._batches_left)


async def receive(
    store: Store,
    held: Held,
    slot: Slot,
    chunks: AsyncIterator[bytes],
    digest: Digest | None = None,
) -> None:
    """Write ``chunks`` from ``held.offset`` on; the offset follows, whatever ends the sending.

    Raises TooLarge at the first surplus byte (what belongs to the file is kept), StorageFull,
    OSError, and whatever ``chunks`` raises. Nothing is acknowledged yet. With a ``digest``,
    nothing is kept of what didn't come whole or isn't what was sent (DigestMismatch).
    """
    if digest is None:
        return await _receive(store, held, slot, chunks, None)
    started_at = held.offset
    await in_thread(lambda: store.doubt(held))
    try:
        await _receive(store, held, slot, chunks, digest)
        digest.check()
    except BaseException:
        await disk_work(lambda: store.take_back(held, started_at))
        raise


async def _receive(
    store: Store,
    held: Held,
    slot: Slot,
    chunks: AsyncIterator[bytes],
    digest: Digest | None,
) -> None:
    assert held.handle is not None
    limit = store.settings.max_upload_bytes if held.row.length is None else held.row.length
    writer = Writer(held.handle, held.offset)
    aside = Aside(store, held, slot, keep=digest is None)
    room = limit - held.offset
    try:
        try:
            async for chunk in chunks:
                if digest is not None:
                    digest.update(chunk)
                await writer.write(chunk[:room] if len(chunk) > room else chunk)
                if len(chunk) > room:
                    raise TooLarge(f"More bytes came than the {limit} that this file may have.")
                room -= len(chunk)
                aside.look(writer.offset)
        finally:
            try:
                await writer.flush()
            finally:
                await aside.end(os.fstat(held.handle).st_size)
    except OSError as exc:
        if is_full(exc):
            raise StorageFull(FULL_SENTENCE) from exc
        raise


class Aside:
    """What goes on beside a long request: telling of the progress, and checkpoints.

    ``keep`` False: no checkpoints, because what has come may yet be taken back.
    """

    def __init__(self, store: Store, held: Held, slot: Slot, *, keep: bool) -> None:
        self.store, self.held, self.slot, self.keep = store, held, slot, keep
        self._task: asyncio.Task[None] | None = None
        self._slow_s = time.monotonic() + SLOW_S
        self._next_checkpoint(held.offset, held.row.settled_offset)

    def _next_checkpoint(self, offset: int, settled: int) -> None:
        self._checkpoint_at = offset + CHECKPOINT_BYTES
        self._checkpoint_s = time.monotonic() + CHECKPOINT_S
        self._look_at = next_look(settled)

    def _is_due(self, offset: int, now_s: float) -> bool:
        if offset >= self._checkpoint_at or now_s >= self._checkpoint_s:
            return True
        # Of a sender that takes its time, the first bytes can be looked into as soon as they are
        # here; one that is fast isn't held up for that.
        return offset >= self._look_at and now_s >= self._slow_s

    def look(self, offset: int) -> None:
        """After each chunk: cheap, and starts at most one piece of work at a time.

        Raises what the last one raised.
        """
        now_s = time.monotonic()
        tell = now_s - self.slot.told_s >= TELL_EVERY_S
        checkpoint = self.keep and self._is_due(offset, now_s)
        if not (tell or checkpoint) or (self._task is not None and not self._task.done()):
            return
        if self._task is not None:
            self._task.result()
        if tell:
            self.slot.told_s = now_s
        if checkpoint:
            self._next_checkpoint(offset, offset)
        self.held.offset = offset
        self._task = asyncio.create_task(in_thread(lambda: self._work(tell, checkpoint)))

    def _work(self, tell: bool, checkpoint: bool) -> None:
        if checkpoint:
            self.store.checkpoint(self.held)
            self.store.check_growth(self.held)
            metrics.UPLOAD_CHECKPOINTS.inc()
        if tell:
            try:
                self.store.tell_progress(self.held)
            except OperationalError:
                log.warning("progress of an upload could not be told", exc_info=True)

    async def end(self, size: int) -> None:
        """Nothing runs beside any more; the offset is ``size``, or what is sure to be on disk."""
        try:
            if self._task is not None:
                await self._task
        except OSError:
            await in_thread(lambda: self.store.fall_back(self.held))
            raise
        self.held.offset = size
