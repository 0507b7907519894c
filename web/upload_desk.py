"""Where requests about uploads are served one at a time for each upload, whatever protocol they
speak: tus (web/tus.py) and the plain PUT (web/plain_put.py) stand in front of it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from appliance.errors import StorageFull, TooLarge
from storage.background import in_thread
from storage.layout import Layout
from storage.uploads import Held, Slots, Store, UploadBusy
from storage.uploads.slots import WAIT_S
from web.upload_body import BodyStalled, take_in
from web.upload_requests import NotAllTaken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.settings import Settings
    from storage.uploads import Slot
    from web.upload_requests import Request


class UploadDesk:
    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings, Layout(settings.data))
        self.slots = Slots()

    @asynccontextmanager
    async def take_up(self, upload_id: str, token: str) -> AsyncIterator[tuple[Held, Slot]]:
        """The upload, for this request alone. Raises NotFound, UploadGone, UploadBusy."""
        if self.slots.is_held(upload_id):
            # Strangers don't wait for their turn: that would tell them that the id exists.
            await in_thread(lambda: self.store.check(upload_id, token))
        async with self.slots.hold(upload_id) as slot:
            held = await self._open(upload_id, token)
            try:
                yield held, slot
            finally:
                held.close()

    async def _open(self, upload_id: str, token: str) -> Held:
        """Another process may hold the file for a moment: the sweep, say."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return await in_thread(lambda: self.store.open(upload_id, token))
            except UploadBusy:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.02)

    async def append(self, held: Held, slot: Slot, request: Request) -> None:
        """Put the body at the offset; finish when it was the last. Raises NotAllTaken, BodyCut."""
        size, length = request.number("Content-Length"), held.row.length
        try:
            if size is not None and length is not None and size > length - held.offset:
                raise TooLarge(
                    f"The body has {size} bytes, but only {length - held.offset} are missing."
                )
            if held.all_here:  # the same once more, because the last answer was lost
                await in_thread(lambda: self.store.finish(held))
            else:
                await take_in(self.store, held, slot, request.body)
        except (TooLarge, StorageFull, BodyStalled) as exc:
            raise NotAllTaken(held.offset) from exc
