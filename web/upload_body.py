"""The body of a request that brings bytes of an upload, as it comes from the network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from appliance.errors import StorageFull, TooLarge
from storage.background import in_thread
from storage.uploads import receive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from storage.uploads import Held, Slot, Store

SILENCE_S = 30.0
# After an early answer: how long, and how much, the rest of the body is taken and thrown away.
_LINGER_S = 5.0
_LINGER_BYTES = 32 << 20


class BodyCut(Exception):
    """The connection ended before the body did; there is nobody left to answer."""


class BodyStalled(Exception):
    """No byte for ``SILENCE_S``."""


class Body:
    """The chunks of one request, read once. ``ended``: there is nothing more to read."""

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        self.ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises BodyCut, BodyStalled."""
        while not self.ended:
            try:
                async with asyncio.timeout(SILENCE_S):
                    message = await self._receive()
            except TimeoutError:
                raise BodyStalled from None
            if message["type"] == "http.disconnect":
                self.ended = True
                raise BodyCut
            self.ended = not message.get("more_body", False)
            if chunk := message.get("body"):
                yield chunk

    async def linger(self) -> None:
        """Take what the sender is still sending, for a moment, so that it reads our answer.

        A socket that is closed with unread bytes resets the connection, and the answer with it.
        """
        taken = 0
        try:
            async with asyncio.timeout(_LINGER_S):
                async for chunk in self.chunks():
                    taken += len(chunk)
                    if taken > _LINGER_BYTES:
                        return
        except (TimeoutError, BodyCut, BodyStalled):
            return


async def take_in(store: Store, held: Held, slot: Slot, body: Body) -> None:
    """Receive, make sure of what arrived, and finish when that is all.

    ``held.offset`` may be told to the sender afterwards, whatever is raised: BodyCut, BodyStalled,
    TooLarge, StorageFull.
    """
    failure: Exception | None = None
    try:
        await receive(store, held, slot, body.chunks())
    except (BodyCut, BodyStalled, StorageFull) as exc:
        failure = exc
    except TooLarge as exc:
        # All bytes may be here, but more were sent: the sender hears of that before it counts.
        await in_thread(lambda: store.acknowledge(held))
        raise exc
    await in_thread(lambda: store.settle(held))
    if failure is not None:
        raise failure
