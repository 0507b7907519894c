"""Where requests about uploads are served one at a time for each upload, whatever protocol they
speak: tus (web/tus.py), the IETF draft and the plain PUT (web/plain_put.py) stand in front of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from peewee import PeeweeException

from appliance.errors import StorageFull, TooBusy, TooLarge
from storage.background import in_thread
from storage.layout import Layout
from storage.uploads import (
    DigestMismatch,
    Held,
    Slots,
    StillJoining,
    Store,
    UploadBusy,
    WrongOffset,
    end_cut_off,
    find_ended,
    lengths,
)
from storage.uploads.slots import WAIT_S, look_up
from web.upload_body import BodyStalled, BodyTakenOver, counted, take_in
from web.upload_requests import NotAllTaken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from appliance.models import Upload
    from appliance.settings import Settings
    from storage.uploads import Digest, Slot
    from web.upload_body import Body
    from web.upload_requests import Request

log = logging.getLogger("appliance.web")

WATCH_S = 0.5
# A sender that was silent for so long may lose its place to another.
STALE_S = 3.0


class Bodies:
    """The requests that bring bytes at this moment: not too many in all, nor of one person.

    A place that a silent sender holds goes to who wants it now: people whose connections died
    must not wait until the box has noticed.
    """

    def __init__(self, settings: Settings) -> None:
        self.most = settings.max_upload_bodies
        self.most_each = settings.max_bodies_per_person
        self._open: dict[Body, str] = {}

    @contextmanager
    def admit(self, body: Body, who: str) -> Iterator[None]:
        """Raises TooBusy."""
        mine = [each for each, owner in self._open.items() if owner == who]
        if len(mine) >= self.most_each:
            # Not 429: most clients give up at that, and go on after 503.
            self._make_place(
                mine, f"{len(mine)} of your uploads are sending at this moment; this one waits."
            )
        if len(self._open) >= self.most:
            self._make_place(
                list(self._open),
                "The box is taking as many uploads as it can; this one goes on in a moment.",
            )
        self._open[body] = who
        try:
            yield
        finally:
            self._open.pop(body, None)

    def _make_place(self, among: list[Body], otherwise: str) -> None:
        silent = max(among, key=lambda body: body.silent_s)
        if silent.silent_s < STALE_S:
            raise TooBusy(otherwise, retry_after_s=2)
        del self._open[silent]
        silent.interrupt()


class Watch:
    """Notices, while bytes arrive, that their upload was ended from elsewhere, and ends those
    whose senders have lost the right to send.

    A page, a command or a job ends it by its row; the request that receives would hear of that
    only at its next checkpoint, or never, if its sender is silent.
    """

    def __init__(self, settings: Settings, slots: Slots) -> None:
        self._settings = settings
        self._slots = slots
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from time to time, as long as anybody sends."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        await asyncio.sleep(WATCH_S)
        while sending := self._slots.sending():
            try:
                ended = await in_thread(partial(self._end_and_find, list(sending)))
            except (PeeweeException, OSError):
                log.warning("the uploads under way could not be looked up", exc_info=True)
                ended = set()
            for upload_id in ended:
                sending[upload_id].interrupt()
            await asyncio.sleep(WATCH_S)

    def _end_and_find(self, upload_ids: list[str]) -> set[str]:
        end_cut_off(self._settings, upload_ids)
        return find_ended(upload_ids)


class UploadDesk:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings, Layout(settings.data))
        self.slots = Slots()
        self.bodies = Bodies(settings)
        self.watch = Watch(settings, self.slots)

    @asynccontextmanager
    async def take_up(
        self,
        upload_id: str,
        token: str,
        *,
        offset: int | None = None,
        check: Callable[[Upload], None] | None = None,
    ) -> AsyncIterator[tuple[Held, Slot]]:
        """The upload, for this request alone; who holds it now is asked to let go.

        ``offset``: where the bytes that this request brings belong. When that can't be right, the
        holder is left in peace: a duplicate must not end the good one. Nor must a request that
        ``check`` refuses.
        Raises NotFound, UploadGone, UploadBusy, WrongOffset, and what ``check`` raises.
        """
        taken = self.slots.find(upload_id)
        if taken is not None:
            # Strangers neither wait nor interrupt: that would tell them that the id exists.
            row = await look_up(lambda: self.store.check(upload_id, token))
            if offset is not None and taken.offset not in (None, offset):
                raise WrongOffset(None)
            if check is not None:
                check(row)
        async with self.slots.hold(upload_id, offset) as slot:
            held = await self._open(slot, upload_id, token)
            try:
                if held.is_unsure and self.settings.upload_fsync == "ack":
                    # Written before a crash: every answer tells an offset, so it has to be true.
                    await slot.work(lambda: self.store.acknowledge(held))
                yield held, slot
            finally:
                slot.when_idle(held.close)

    async def _open(self, slot: Slot, upload_id: str, token: str) -> Held:
        """Another process may hold the file for a moment: the sweep, say."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return await slot.work(lambda: self.store.open(upload_id, token), undo=Held.close)
            except StillJoining:
                raise
            except UploadBusy:
                if not slot.idle or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.02)

    async def terminate(self, request: Request) -> None:
        """The sender wants no more of it, by whatever protocol. Raises as ``take_up``."""
        async with self.take_up(*request.address()) as (held, slot):
            await slot.work(lambda: self.store.terminate(held))

    async def append(
        self, held: Held, slot: Slot, request: Request, digest: Digest | None = None
    ) -> None:
        """Put the body at the offset; finish when it was the last. Raises NotAllTaken, BodyCut."""
        size, length = request.number("Content-Length"), held.row.length
        try:
            if size is not None and length is not None and size > length - held.offset:
                raise TooLarge(
                    f"The body has {size} bytes, but only {length - held.offset} are missing."
                )
            if held.row.protocol != request.body.protocol:
                await in_thread(lambda: self.store.note_protocol(held, request.body.protocol))
            request.body.limit(self.settings)
            request.body.size = size
            if held.is_whole:  # the same once more, because the last answer was lost
                await _expect_nothing(request.body, digest)
                await in_thread(lambda: self.store.finish(held))
                return
            if length is None:
                await in_thread(lambda: lengths.check_growth(self.store, held, size or 0))
            self.watch.begin()
            with self.bodies.admit(request.body, _who(held.row)), counted(request.body):
                await take_in(self.store, held, slot, request.body, digest)
        except (
            TooLarge,
            TooBusy,
            StorageFull,
            OSError,
            PeeweeException,
            BodyStalled,
            BodyTakenOver,
            DigestMismatch,
        ) as exc:
            raise NotAllTaken(held.offset) from exc


async def _expect_nothing(body: Body, digest: Digest | None) -> None:
    async for _ in body.chunks():
        raise TooLarge("All bytes of this file are here; more were sent.")
    if digest is not None:
        digest.check()


def _who(row: Upload) -> str:
    """On whose account a request's body goes."""
    if row.guest_link_id is not None:
        return f"guest link {row.guest_link_id}"
    return f"user {row.owner_id}"
