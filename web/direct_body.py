"""A short cut for the bodies of uploads: from the socket into the file, past parser and ASGI.

Through ASGI each byte is copied four times in user space before it is written (by the loop, the
parser, uvicorn's buffer and the message), and each piece costs a turn of the event loop. Here the
loop reads into one buffer that all connections share, and whoever stores the bytes is called with
a view of it. uvicorn's own protocol parses what comes before a body and after it.

``UploadProtocol`` is given to uvicorn as its ``http``; requests then have a ``DirectBody`` among
the extensions of their scope. Without it (another server, a chunked body) all goes by ASGI.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import httptools

from web.connections import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[memoryview], asyncio.Future[None] | None]

EXTENSION = "appliance.direct_body"
# As much as stays in the processor's cache between being read and being written.
BUFFER_BYTES = 256 << 10
# So much is taken by all connections together before the loop looks after everybody else. An
# answer takes several rounds; four times this made pages wait ten times as long (measured).
TURN_BYTES = 512 << 10
# Smaller bodies come with their headers, or nearly so.
_LEAST_BYTES = 64 << 10


class BodyEnded(Exception):
    """The connection was closed before the body was whole."""


class UploadProtocol(Connection):
    """Ours, plus the short cut."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        size = _announced(self.headers)
        if size >= _LEAST_BYTES and not self.parser.should_upgrade():
            extensions: dict[Any, Any] = self.cycle.scope.setdefault("extensions", {})
            extensions[EXTENSION] = DirectBody(self, size)


def _announced(headers: list[tuple[bytes, bytes]]) -> int:
    """Content-Length, which the parser has checked already; 0: none."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return 0


class Round:
    """What one event loop reads of bodies before it looks after everybody else.

    A loop reads what has come on one connection after another, and does nothing else until it has
    seen all of them: with eight quick senders that would keep every page waiting.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # One is enough: it is filled and emptied in one go, in the one thread of the loop.
        self.buffer = memoryview(bytearray(BUFFER_BYTES))
        self.reading: dict[DirectBody, None] = {}
        self._taken = 0

    def count(self, size: int) -> None:
        """All of them rest when it is enough."""
        if not self._taken:  # by the loop's own clock one can't tell: it goes on meanwhile
            self._loop.call_soon(self._begin)
        self._taken += size
        if self.is_over:
            for body in self.reading:
                body.rest()

    @property
    def is_over(self) -> bool:
        return self._taken >= TURN_BYTES

    def _begin(self) -> None:
        was_over, self._taken = self.is_over, 0
        if was_over:
            for body in self.reading:
                body.go_on()


_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, Round] = WeakKeyDictionary()


def _round_of(loop: asyncio.AbstractEventLoop) -> Round:
    found = _rounds.get(loop)
    if found is None:
        found = _rounds[loop] = Round(loop)
    return found


class DirectBody(asyncio.BufferedProtocol):
    """The body of one request, as the protocol of its connection while it is read."""

    def __init__(self, http: UploadProtocol, size: int) -> None:
        self._http = http
        self._round = _round_of(http.loop)
        self._cycle = http.cycle
        self._missing = size
        self._begun = False
        self._take: Take | None = None
        self._ended: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_possible(self) -> bool:
        """Not when a part was read by ASGI, nor when all of it has come with the headers."""
        if self._begun:
            return self._missing > 0
        cycle = self._cycle
        return (
            self._http.cycle is cycle
            and cycle.more_body
            and not cycle.disconnected
            and not cycle.response_complete
            and not self._http.transport.is_closing()
        )

    @property
    def is_held_up(self) -> bool:
        """Whether it doesn't read because what it has read is still being stored."""
        return self._waiting is not None

    async def pour(self, take: Take) -> None:
        """Give all pieces to ``take``; after one for which that returns a future, wait for it.

        Raises BodyEnded, what ``take`` and its futures raise, and what ``stop`` was told.
        """
        self._round.reading[self] = None
        self._take, self._ended = take, asyncio.get_running_loop().create_future()
        try:
            first = b"" if self._begun else self._begin()
            if first:
                self._give(memoryview(first))
            self.go_on()
            await self._ended
        finally:
            del self._round.reading[self]
            self._pause()
            self._take = self._ended = self._waiting = None
            if self._missing == 0:
                self._give_back()
            else:  # nobody knows what the next byte is, so there is no next request
                self._cycle.keep_alive = False

    def stop(self, why: Exception) -> None:
        """Let ``pour`` raise ``why``, if it is under way."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(why)
            self._pause()

    def _begin(self) -> bytearray:
        """Become the connection's protocol; what its own has read of the body already."""
        self._begun = True
        cycle, transport = self._cycle, self._http.transport
        if cycle.waiting_for_100_continue:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        self._pause()
        transport.set_protocol(self)
        first, cycle.body = cycle.body, bytearray()
        return first

    def _give_back(self) -> None:
        """The body is whole: what comes next is the next request, for a parser that expects one."""
        http = self._http
        if not http.transport.is_closing() and http.transport.get_protocol() is self:
            http.parser = httptools.HttpRequestParser(http)
            http.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            http.transport.set_protocol(http)
        self._cycle.more_body = False

    # What the loop calls

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._round.buffer[: min(self._missing, BUFFER_BYTES)]

    def buffer_updated(self, nbytes: int) -> None:
        if self._ended is None or self._ended.done():
            self._missing -= nbytes  # stopped between the loop's two calls
            return
        self._give(self._round.buffer[:nbytes])
        if self._missing:
            self._round.count(nbytes)

    def eof_received(self) -> None:
        self.stop(BodyEnded())

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop(BodyEnded())
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()

    # Reading

    def _give(self, piece: memoryview) -> None:
        assert self._take is not None and self._ended is not None
        self._missing -= len(piece)
        try:
            self._waiting = self._take(piece)
        except Exception as exc:
            self.stop(exc)
            return
        if self._waiting is not None:
            self._pause()
            self._waiting.add_done_callback(self._waited)
        elif self._missing == 0:
            self._end()

    def _waited(self, future: asyncio.Future[None]) -> None:
        if future is not self._waiting:
            return  # of a pour that has ended
        self._waiting = None
        if future.cancelled():
            self.stop(BodyEnded())
        elif (error := future.exception()) is not None:
            self.stop(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        elif self._missing == 0:
            self._end()
        else:
            self.go_on()

    def _end(self) -> None:
        self._pause()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def rest(self) -> None:
        self._pause()

    def go_on(self) -> None:
        """Read on, unless there is a reason not to."""
        under_way = self._ended is not None and not self._ended.done()
        if under_way and self._waiting is None and self._missing and not self._round.is_over:
            if self._http.transport.is_closing():
                self.stop(BodyEnded())
            else:
                self._http.flow.resume_reading()

    def _pause(self) -> None:
        # By uvicorn's own switch, so that it knows: it reads on when the answer has been sent.
        self._http.flow.pause_reading()
