"""Who works on which upload in this process: one at a time, the others wait a little.

Between processes the lock on the file itself decides (``storage.uploads.files``). A request that
is to end another one (a client that comes back after its network changed) would set a flag in
the slot that the holder looks at between two chunks; this is where it belongs.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from appliance.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Long enough for a connection that was just cut to be noticed, short enough for a person.
WAIT_S = 2.0
_KEPT = 4096


class UploadBusy(Conflict):
    """Another request is sending or finishing this very upload."""

    code = "upload_busy"

    def __init__(self) -> None:
        super().__init__("Another request is working on this upload. Try again in a moment.")


class Slot:
    """One upload's turn. ``told_s``: when its progress was last told (monotonic)."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.told_s = 0.0


class Slots:
    """The slots of one process; all calls from its one event loop."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}

    def is_held(self, upload_id: str) -> bool:
        slot = self._slots.get(upload_id)
        return slot is not None and slot.lock.locked()

    @asynccontextmanager
    async def hold(self, upload_id: str, *, wait_s: float = WAIT_S) -> AsyncIterator[Slot]:
        """Be the only one on this upload. Raises UploadBusy after ``wait_s``."""
        slot = self._slots.setdefault(upload_id, Slot())
        slot.users += 1
        try:
            try:
                async with asyncio.timeout(wait_s):
                    await slot.lock.acquire()
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
