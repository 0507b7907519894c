"""The body of a request that brings bytes of an upload, as it comes from the network."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peewee import PeeweeException

from appliance import metrics
from appliance.errors import StorageFull, TooLarge
from storage.background import in_thread
from storage.uploads import DigestMismatch, receive
from storage.uploads.receiving import Chunks
from web.direct_body import BodyEnded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from appliance.settings import Settings
    from storage.uploads import Digest, Held, Slot, Store
    from storage.uploads.receiving import Take
    from web.direct_body import DirectBody

SILENCE_S = 30.0
# Over so long a sender must bring some bytes a second in the mean.
PACE_OVER_S = 60.0
# A sender that was heard of so lately is alive.
_ALIVE_S = 0.25
# After an early answer: how long, and how much, the rest of the body is taken and thrown away.
_LINGER_S = 5.0
_LINGER_BYTES = 32 << 20


class BodyCut(Exception):
    """The connection ended before the body did; there is nobody left to answer."""


class BodyStalled(Exception):
    """No byte came for too long, or too few."""


class BodyTakenOver(Exception):
    """A later request wants this upload, or this one's place: this one reads no further."""


class Body:
    """The chunks of one request, read once. ``ended``: there is nothing more to read.

    ``size``: what it announced, None if nothing. ``begun``: it was asked for. ``taken``: bytes
    read so far. ``protocol``: what it counts as in the metrics.
    """

    protocol = "tus"

    def __init__(
        self,
        receive: Callable[[], Awaitable[Any]],
        *,
        size: int | None = None,
        direct: DirectBody | None = None,
    ) -> None:
        self._receive = receive
        self._direct = direct
        self.size = size
        self.taken = 0
        self.begun = False
        self.ended = False
        self.silence_s = SILENCE_S
        self.least_rate = 0
        self._interrupted = False
        self._waiting: asyncio.Timeout | None = None
        self._started_s = self._heard_s = self._pace_since_s = time.monotonic()
        self._pace_taken = 0

    @property
    def silent_s(self) -> float:
        """How long ago the last byte came."""
        return time.monotonic() - self._heard_s

    def limit(self, settings: Settings) -> None:
        """Slow senders are waited for as the settings say."""
        self.silence_s = settings.upload_silence_s
        self.least_rate = int(settings.upload_min_rate)

    async def pour(self, take: Take) -> None:
        """Give each piece to ``take``, as ``storage.uploads.receiving.Source`` says.

        Raises BodyCut, BodyStalled, BodyTakenOver, and what ``take`` raises.
        """
        if self._direct is None or not self._direct.is_possible:
            await Chunks(self.chunks()).pour(take)
            return

        def count_and_take(piece: memoryview) -> asyncio.Future[None] | None:
            self.taken += len(piece)
            self._heard_s = time.monotonic()
            return take(piece)

        if self._interrupted:
            raise BodyTakenOver
        self._started_s = self._heard_s = self._pace_since_s = time.monotonic()
        watch = SilenceWatch(self, self._direct)
        try:
            await self._direct.pour(count_and_take)
            self.ended = True
        except BodyEnded:
            self.ended = True
            raise BodyCut from None
        finally:
            watch.end()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises BodyCut, BodyStalled, BodyTakenOver."""
        self.begun = True
        self._started_s = self._heard_s = self._pace_since_s = time.monotonic()
        while not self.ended:
            message = await self._next_message()
            if message["type"] == "http.disconnect":
                self.ended = True
                raise BodyCut
            self.ended = not message.get("more_body", False)
            if chunk := message.get("body"):
                self.taken += len(chunk)
                self._heard_s = time.monotonic()
                yield chunk
                if not self.ended:
                    self._check_pace(self._heard_s)

    async def _next_message(self) -> Any:
        if self._interrupted:
            raise BodyTakenOver
        try:
            async with asyncio.timeout(self.silence_s) as self._waiting:
                return await self._receive()
        except TimeoutError:
            raise (BodyTakenOver if self._interrupted else BodyStalled) from None
        finally:
            self._waiting = None

    def _check_pace(self, now_s: float) -> None:
        """Raises BodyStalled."""
        over_s = now_s - self._pace_since_s
        if over_s < PACE_OVER_S:
            return
        if self.taken - self._pace_taken < self.least_rate * over_s:
            raise BodyStalled
        self._pace_since_s, self._pace_taken = now_s, self.taken

    def patience(self) -> float:
        """How long to wait before looking again, in seconds. Raises BodyStalled."""
        now_s = time.monotonic()
        if self._direct is not None and self._direct.is_held_up:
            self._heard_s = now_s  # it is our disk that lets the sender wait
        left_s = self._heard_s + self.silence_s - now_s
        if left_s <= 0:
            raise BodyStalled
        self._check_pace(now_s)
        return min(left_s, self._pace_since_s + PACE_OVER_S - now_s)

    # As a sender that may be succeeded (storage.uploads.slots.Sender)

    def ends_within(self, seconds: float) -> bool:
        now_s = time.monotonic()
        if self.size is None or now_s - self._heard_s > _ALIVE_S:
            return False
        rate = self.taken / max(now_s - self._started_s, 0.001)
        return self.size - self.taken <= rate * seconds

    def interrupt(self) -> None:
        self._interrupted = True
        if self._direct is not None:
            self._direct.stop(BodyTakenOver())
        waiting = self._waiting
        if waiting is not None and not waiting.expired():
            waiting.reschedule(asyncio.get_running_loop().time())

    async def linger(self) -> None:
        """Take what the sender is still sending, for a moment, so that it reads our answer.

        A socket that is closed with unread bytes resets the connection, and the answer with it.
        """
        most = self.taken + _LINGER_BYTES
        self._interrupted = False

        def throw_away(piece: bytes | memoryview) -> None:
            if self.taken > most:
                raise BodyStalled

        try:
            async with asyncio.timeout(_LINGER_S):
                await self.pour(throw_away)
        except (TimeoutError, BodyCut, BodyStalled, BodyTakenOver):
            return


class SilenceWatch:
    """Ends a body that is read directly, when no byte comes for too long, or too few."""

    def __init__(self, body: Body, direct: DirectBody) -> None:
        self._body, self._direct = body, direct
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(body.silence_s, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        try:
            wait_s = self._body.patience()
        except BodyStalled as exc:
            self._direct.stop(exc)
        else:
            self._timer = self._loop.call_later(wait_s, self._look)


_OUTCOMES: dict[type[Exception], str] = {
    BodyCut: "cut",
    BodyStalled: "stalled",
    BodyTakenOver: "taken_over",
    TooLarge: "too_large",
    StorageFull: "full",
    DigestMismatch: "mismatch",
}


@contextmanager
def counted(body: Body) -> Iterator[None]:
    """Around all that is done with a body: it shows in the metrics, with how it ended."""
    outcome = "whole"
    metrics.UPLOAD_BODIES.inc()
    try:
        yield
    except BaseException as exc:
        outcome = _OUTCOMES.get(type(exc), "error")  # type: ignore[arg-type]  # any type may be asked for
        raise
    finally:
        metrics.UPLOAD_BODIES.dec()
        metrics.UPLOAD_RECEIVED_BYTES.labels(body.protocol).inc(body.taken)
        metrics.UPLOAD_REQUESTS.labels(body.protocol, outcome).inc()
        if outcome == "taken_over":
            metrics.UPLOAD_TAKEN_OVER.inc()


async def take_in(
    store: Store, held: Held, slot: Slot, body: Body, digest: Digest | None = None
) -> None:
    """Receive, make sure of what arrived, and finish when that is all.

    With a ``digest``, all of the body counts or none of it. ``held.offset`` may be told to the
    sender afterwards, whatever is raised: BodyCut, BodyStalled, BodyTakenOver, TooLarge,
    StorageFull, DigestMismatch, OSError, PeeweeException.
    """
    failure: Exception | None = None
    try:
        with slot.sending(body, held.offset):
            await receive(store, held, slot, body, digest)
    except (BodyCut, BodyStalled, BodyTakenOver, StorageFull, OSError, PeeweeException) as exc:
        failure = exc
    except TooLarge as exc:
        # All bytes may be here, but more were sent: the sender hears of that before it counts.
        await in_thread(lambda: store.acknowledge(held))
        raise exc
    await in_thread(lambda: store.settle(held))
    if failure is not None:
        raise failure
