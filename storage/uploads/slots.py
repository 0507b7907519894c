"""Who works on which upload in this process: one at a time, and who comes later wins.

A client that comes back after its network changed finds its old request still holding the upload,
though nobody is at its other end. So a newcomer asks the holder to stop: it reads no further,
makes sure of what it has, and lets go, in milliseconds. Between processes the lock on the file
itself decides (``storage.uploads.files``); it goes with its process, so nothing can go stale.
Source: draft-ietf-httpbis-resumable-upload, "Concurrency"; uploads.md §5.5.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# A holder that is asked lets go as soon as the disk has answered; this is for a disk that doesn't.
WAIT_S = 10.0
# A holder that is about to end anyway may: a double click, two tabs.
GRACE_S = 0.5
_KEPT = 4096


class UploadBusy(Conflict):
    """Another request is sending or finishing this very upload, and can't let go of it."""

    code = "upload_busy"

    def __init__(self) -> None:
        super().__init__("Another request is working on this upload. Try again in a moment.")


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


class Slot:
    """One upload's turn. ``told_s``: when its progress was last told (monotonic)."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.told_s = 0.0
        self._waiting = 0
        self._sender: Sender | None = None
        self._started_at = 0
        self._since_s = 0.0

    @property
    def offset(self) -> int | None:
        """Where the bytes of the present sender go on; None when nobody sends."""
        return None if self._sender is None else self._started_at + self._sender.taken

    @contextmanager
    def sending(self, sender: Sender, offset: int) -> Iterator[None]:
        """While ``sender`` brings bytes from ``offset`` on; newcomers may interrupt it."""
        self._sender, self._started_at = sender, offset
        self._since_s = time.monotonic()
        if self._waiting:
            self._ask()
        try:
            yield
        finally:
            self._sender = None

    async def wait(self) -> None:
        """Be the next holder."""
        self._waiting += 1
        try:
            self._ask()
            await self.lock.acquire()
        finally:
            self._waiting -= 1

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

    def _ask(self) -> None:
        sender = self._sender
        if sender is None:
            return
        if sender.ends_within(GRACE_S):
            asyncio.get_running_loop().call_later(GRACE_S, sender.interrupt)
        else:
            sender.interrupt()


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
    async def hold(self, upload_id: str, *, wait_s: float = WAIT_S) -> AsyncIterator[Slot]:
        """Be the only one on this upload. Raises UploadBusy after ``wait_s``."""
        slot = self._slots.setdefault(upload_id, Slot())
        slot.users += 1
        try:
            try:
                async with asyncio.timeout(wait_s):
                    await slot.wait()
            except TimeoutError:
                raise UploadBusy from None
            try:
                yield slot
            finally:
                slot.lock.release()
        finally:
            slot.users -= 1
            self._tidy()

    def _tidy(self) -> None:
        """Idle slots are kept, for ``told_s``, but not without end."""
        if len(self._slots) > _KEPT:
            self._slots = {name: slot for name, slot in self._slots.items() if slot.users}
