"""Bytes from a sender to the file of an upload, and what goes on beside that.

How they are written is the business of ``storage.uploads.writing``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from peewee import OperationalError

from appliance import metrics
from appliance.durable import is_full
from appliance.errors import StorageFull, TooLarge
from storage.background import disk_work, in_thread
from storage.uploads import lengths
from storage.uploads.first_looks import next_look
from storage.uploads.rows import FULL_SENTENCE
from storage.uploads.writing import Writer

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from storage.uploads.rows import Digest, Held
    from storage.uploads.slots import Slot
    from storage.uploads.store import Store

    Take = Callable[[bytes | memoryview], Future[None] | None]

log = logging.getLogger(__name__)

# In one long request: force to disk, and remember, after so much or so long.
CHECKPOINT_BYTES = 64 << 20
CHECKPOINT_S = 5.0
SLOW_S = 1.0
TELL_EVERY_S = 0.5


class Source(Protocol):
    """Where bytes come from."""

    async def pour(self, take: Take, /) -> None:
        """Give each piece to ``take``, until there are no more; after one for which that returned
        a future, nothing before it is done. The piece may be used anew when ``take`` has returned.

        Raises what ``take`` and its futures raise.
        """


class Chunks:
    """A source that is an iterator."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def pour(self, take: Take) -> None:
        async for chunk in self._chunks:
            waiting = take(chunk)
            if waiting is not None:
                await asyncio.shield(waiting)


async def receive(
    store: Store,
    held: Held,
    slot: Slot,
    source: Source | AsyncIterator[bytes],
    digest: Digest | None = None,
) -> None:
    """Write what comes from ``held.offset`` on; the offset follows, whatever ends the sending.

    Raises TooLarge at the first surplus byte (what belongs to the file is kept), StorageFull,
    OSError, and whatever ``source`` raises. Nothing is acknowledged yet. With a ``digest``,
    nothing is kept of what didn't come whole or isn't what was sent (DigestMismatch).
    """
    if isinstance(source, AsyncIterator):
        source = Chunks(source)
    if digest is None:
        return await _receive(store, held, slot, source, None)
    started_at = held.offset
    await in_thread(lambda: store.doubt(held))
    try:
        await _receive(store, held, slot, source, digest)
        digest.check()
    except BaseException:
        await disk_work(lambda: store.take_back(held, started_at))
        raise


async def _receive(
    store: Store, held: Held, slot: Slot, source: Source, digest: Digest | None
) -> None:
    assert held.handle is not None
    limit = store.settings.max_upload_bytes if held.row.length is None else held.row.length
    writer = Writer(held.handle, held.offset, ahead=store.settings.upload_fsync == "ack")
    aside = Aside(store, held, slot, keep=digest is None)
    room = limit - held.offset

    def take(piece: bytes | memoryview) -> Future[None] | None:
        nonlocal room
        surplus = len(piece) > room
        if surplus:
            piece = piece[:room]
        if digest is not None:
            digest.update(piece)
        waiting = writer.write(piece)
        if surplus:
            raise TooLarge(f"More bytes came than the {limit} that this file may have.")
        room -= len(piece)
        aside.look(writer.offset)
        return waiting

    try:
        try:
            await source.pour(take)
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
            lengths.check_growth(self.store, self.held)
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
