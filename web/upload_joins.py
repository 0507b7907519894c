"""Final uploads (tus 1.0.0, "Concatenation") whose parts this process puts together."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from peewee import PeeweeException

from appliance.errors import ApplianceError
from appliance.models import Upload
from appliance.states import UploadState
from storage.background import in_thread
from storage.uploads import UploadBusy
from storage.uploads.joining import join
from storage.uploads.rows import FINAL

if TYPE_CHECKING:
    from storage.uploads import Store

log = logging.getLogger("appliance.web")

# A request waits for its file so long; well below what proxies wait for an answer.
WAIT_S = 10.0


class Joins:
    """One after the other: the disk is what takes the time, and threads are for those who send."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._stopping = threading.Event()

    async def resume(self) -> None:
        """Go on with what an earlier process left half joined."""
        for row in await in_thread(_half_joined):
            self.begin(row.id)

    def begin(self, row_id: int) -> asyncio.Task[None]:
        """Nothing new when it is under way."""
        task = self._tasks.get(row_id)
        if task is None:
            task = self._tasks[row_id] = asyncio.create_task(self._join(row_id))
            task.add_done_callback(lambda _: self._tasks.pop(row_id, None))
        return task

    async def wait(self, row_id: int) -> None:
        """Begin, and wait for the end, but not for long."""
        await asyncio.wait([self.begin(row_id)], timeout=WAIT_S)

    async def stop(self) -> None:
        """At the end of the process: after the piece at hand. What is left is found again."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _join(self, row_id: int) -> None:
        async with self._turn:
            while not self._stopping.is_set():
                try:
                    await in_thread(lambda: self._work(row_id))
                    return
                except UploadBusy:
                    await asyncio.sleep(0.02)  # somebody looks at its first part at this moment
                except (ApplianceError, PeeweeException, OSError) as exc:
                    # It stays as it is; the sweep, or who asks next, tries again.
                    log.warning("an upload could not be joined now: %s", exc)
                    return

    def _work(self, row_id: int) -> None:
        row = Upload.get_or_none(Upload.id == row_id)
        if row is not None:
            join(self.store, row, enough=self._stopping.is_set)


def _half_joined() -> list[Upload]:
    return list(
        Upload.select().where(Upload.concat == FINAL, Upload.state == UploadState.FINISHING)
    )
