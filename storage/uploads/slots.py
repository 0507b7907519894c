"""Who works on which upload in this process: one at a time, and who comes later wins.

A client that comes back after its network changed finds its old request still holding the upload,
though nobody is at its other end. So a newcomer asks the holder to stop: it reads no further,
makes sure of what it has, and lets go, in milliseconds. Between processes the lock on the file
itself decides (``storage.uploads.files``); it goes with its process, so nothing can go stale.
Source: draft-ietf-httpbis-resumable-upload, "Concurrency"; uploads.md §5.5.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from appliance.errors import Conflict
from storage.background import in_thread
from storage.uploads.rows import WrongOffset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from appliance.models import Upload

T = TypeVar("T")

log = logging.getLogger(__name__)

# A holder that is asked lets go as soon as the disk has answered; this is for a disk that doesn't.
WAIT_S = 10.0
# A holder that is about to end anyway may: a double click, two tabs.
GRACE_S = 0.5
# What has reached us of a body that has just begun is taken in any case: otherwise several clients
# that all come back at once could keep each other from getting anywhere.
FRESH_S = 0.1
_URGE_S = 0.02
# So long the disk is waited for, also by a holder that had to wait for its turn.
_LEAST_S = 1.0
_KEPT = 4096


class UploadBusy(Conflict):
    """Another request is sending or finishing this very upload, and can't let go of it."""

    code = "upload_busy"

    def __init__(self) -> None:
        super().__init__("Another request is working on this upload. Try again in a moment.")


class StillJoining(UploadBusy):
    """The parts of this final upload are being put together; its ``row`` says all that is known."""

    code = "still_joining"

    def __init__(self, row: Upload) -> None:
        super().__init__()
        self.row = row


class Sender(Protocol):
    """A request that brings bytes, as its successor sees it."""

    @property
    def taken(self) -> int:
        """Bytes so far."""

    def ends_within(self, seconds: float) -> bool:
        """Whether it is likely to be done by then, at the pace it has."""

    def interrupt(self) -> None:
        """Read no further. Safe to repeat."""


@dataclass(frozen=True)
class Pace:
    """``offset``: bytes of the upload that have come; ``bytes_per_s``: mean of this request."""

    offset: int
    bytes_per_s: int


class _Waiting:
    """Who wants to be next, with bytes for ``offset``; None: not with bytes for a certain one."""

    def __init__(self, offset: int | None, patience: asyncio.Timeout) -> None:
        self.offset = offset
        self.is_refused = False
        self._patience = patience

    def refuse(self) -> None:
        if not self._patience.expired():
            self.is_refused = True
            self._patience.reschedule(asyncio.get_running_loop().time())


class Slot:
    """One upload's turn. ``told_s``: when its progress was last told (monotonic)."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.told_s = 0.0
        self._waiting: list[_Waiting] = []
        self._sender: Sender | None = None
        self._started_at = 0
        self._since_s = 0.0
        self._until_s = 0.0
        self._work: asyncio.Task[Any] | None = None

    @property
    def offset(self) -> int | None:
        """Where the bytes of the present sender go on; None when nobody sends."""
        return None if self._sender is None else self._started_at + self._sender.taken

    @contextmanager
    def sending(self, sender: Sender, offset: int) -> Iterator[None]:
        """While ``sender`` brings bytes from ``offset`` on; newcomers may interrupt it."""
        self._sender, self._started_at = sender, offset
        self._since_s = time.monotonic()
        for each in list(self._waiting):
            self._ask(each)
        try:
            yield
        finally:
            self._sender = None

    async def wait(self, until_s: float, offset: int | None = None) -> None:
        """Be the next holder. ``offset``: where the bytes that this one brings belong, if any.

        Raises TimeoutError at ``until_s`` on the loop's clock, WrongOffset when a sender before it
        has other bytes.
        """
        try:
            async with asyncio.timeout_at(until_s) as patience:
                me = _Waiting(offset, patience)
                self._waiting.append(me)
                try:
                    self._ask(me)
                    await self.lock.acquire()
                finally:
                    self._waiting.remove(me)
        except TimeoutError:
            if me.is_refused:
                raise WrongOffset(None) from None
            raise
        self._until_s = until_s

    async def work(self, what: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
        """``what()`` in a thread, for no longer than the holder's time lasts.

        Raises UploadBusy when the disk doesn't answer in time. A thread can't be called back: it
        goes on, ``undo`` gets what it brings, and nobody else gets the slot before.
        """
        task = self._work = asyncio.create_task(in_thread(what))
        left_s = max(_LEAST_S, self._until_s - asyncio.get_running_loop().time())
        return await _answer_within(left_s, task, undo)

    @property
    def wanted(self) -> bool:
        """Somebody waits for it."""
        return bool(self._waiting)

    @property
    def idle(self) -> bool:
        """No thread works for it any more."""
        return self._work is None or self._work.done()

    def when_idle(self, then: Callable[[], object]) -> None:
        """Now, or as soon as the work that was left behind has ended."""
        if self._work is None or self._work.done():
            then()
        else:
            self._work.add_done_callback(lambda _: then())

    @property
    def pace(self) -> Pace | None:
        """How its present sender gets on; None when nobody sends."""
        sender, since_s = self._sender, self._since_s
        if sender is None:
            return None
        rate = sender.taken / max(time.monotonic() - since_s, 0.001)
        return Pace(self._started_at + sender.taken, round(rate))

    def interrupt(self) -> None:
        """Its sender, if there is one, reads no further."""
        if self._sender is not None:
            self._sender.interrupt()

    def _ask(self, who: _Waiting) -> None:
        if self._sender is not None:
            self._urge(self._sender, who, time.monotonic() + GRACE_S)

    def _urge(self, sender: Sender, who: _Waiting, until_s: float) -> None:
        """Stop ``sender``, or look again in a moment while it has good reasons to go on.

        When it is past what ``who`` brings, it has won: else of two that race from the same byte
        neither would get anywhere.
        """
        if sender is not self._sender or who not in self._waiting:
            return
        if who.offset not in (None, self.offset):
            who.refuse()
            return
        now_s = time.monotonic()
        fresh = now_s < self._since_s + FRESH_S
        if fresh or (now_s < until_s and sender.ends_within(until_s - now_s)):
            asyncio.get_running_loop().call_later(_URGE_S, self._urge, sender, who, until_s)
        else:
            sender.interrupt()


async def look_up(what: Callable[[], T]) -> T:
    """``what()`` in a thread. Raises UploadBusy when the disk doesn't answer in time."""
    return await _answer_within(WAIT_S, asyncio.create_task(in_thread(what)), None)


async def _answer_within(
    wait_s: float, task: asyncio.Task[T], undo: Callable[[T], object] | None
) -> T:
    try:
        await asyncio.wait({task}, timeout=wait_s)
    except BaseException:
        task.add_done_callback(lambda late: _end_late(late, undo))
        raise
    if task.done():
        return task.result()
    task.add_done_callback(lambda late: _end_late(late, undo))
    raise UploadBusy


def _end_late(task: asyncio.Task[T], undo: Callable[[T], object] | None) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.warning("late work on an upload failed", exc_info=error)
    elif undo is not None and not task.cancelled():
        undo(task.result())


class Slots:
    """The slots of one process; all calls from its one event loop."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}

    def find(self, upload_id: str) -> Slot | None:
        """The slot of an upload that somebody holds."""
        slot = self._slots.get(upload_id)
        return slot if slot is not None and slot.lock.locked() else None

    def sending(self) -> dict[str, Slot]:
        """Those whose bytes are arriving, by upload id."""
        return {name: slot for name, slot in self._slots.items() if slot.offset is not None}

    def pace(self, upload_id: str) -> Pace | None:
        """Of an upload that is being sent at this moment; from any thread."""
        slot = self._slots.get(upload_id)
        return slot.pace if slot is not None else None

    @asynccontextmanager
    async def hold(self, upload_id: str, offset: int | None = None) -> AsyncIterator[Slot]:
        """Be the only one on this upload. ``offset``: where the bytes that it brings belong.

        Raises UploadBusy after ``WAIT_S``; WrongOffset, and leaves the present sender in peace,
        when that one is elsewhere already.
        """
        slot = self._slots.setdefault(upload_id, Slot())
        slot.users += 1
        try:
            await slot.wait(asyncio.get_running_loop().time() + WAIT_S, offset)
        except BaseException as exc:
            self._leave(slot)
            if isinstance(exc, TimeoutError):
                raise UploadBusy from None
            raise
        try:
            yield slot
        finally:
            slot.when_idle(slot.lock.release)
            slot.when_idle(lambda: self._leave(slot))

    def _leave(self, slot: Slot) -> None:
        slot.users -= 1
        self._tidy()

    def _tidy(self) -> None:
        """Idle slots are kept, for ``told_s``, but not without end."""
        if len(self._slots) > _KEPT:
            self._slots = {name: slot for name, slot in self._slots.items() if slot.users}
