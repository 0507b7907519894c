"""Connections whose other end has gone silent in the middle of a request are closed.

uvicorn waits without end for the rest of a request's head, and for its body; thousands of phones
that lost their network, or one machine with bad intentions, would fill the box with connections
that nobody uses. Bodies of uploads have shorter limits and get an answer (web/upload_body.py);
these here are for all else. A proxy in front waits for whole heads itself (Caddy: for a minute).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

# The whole head has to come within so long; between two pieces of a body may pass so much.
HEAD_S = 20.0
BODY_S = 90.0
# When the process stops, a connection that has brought nothing yet is given so long.
LAST_CALL_S = 1.0
# Parser and uvicorn would keep a head of any size.
HEAD_BYTES = 64 << 10

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's, that gives up."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._heard_s = 0.0
        # Since when a head is awaited, and how much of it is here; None: there is none to wait for.
        self._head_since_s: float | None = None
        self._head_bytes = 0
        self._timer: TimerHandle | None = None
        self._is_last_call = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._heard_s = self._head_since_s = self.loop.time()
        self._timer = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self.loop.time()
        if self._head_since_s is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_since_s is not None and self._head_bytes > HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_since_s is None:
            self._head_since_s, self._head_bytes = self._heard_s, 0

    def on_headers_complete(self) -> None:
        self._head_since_s = None
        super().on_headers_complete()
        if self._is_last_call:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The process stops: uvicorn closes what waits for a request.

        One that was only just made has sent its request already, as a rule, and it is on its way
        through the kernel: closed now, that one request of a restart would fail.
        """
        if self.cycle is None and not self.transport.is_closing():
            self._is_last_call = True
            self.loop.call_later(LAST_CALL_S, self._end_last_call)
        else:
            super().shutdown()

    def _end_last_call(self) -> None:
        if self.cycle is None:
            self.transport.close()

    def _look(self) -> None:
        """Close what has been waited for long enough, or look again when that may be so."""
        if self.transport.is_closing():
            return
        now_s = self.loop.time()
        left_s = self._left_s(now_s)
        if left_s > 0:
            self._timer = self.loop.call_later(left_s, self._look)
        elif self._head_since_s is not None and not self._is_answering():
            self._refuse(_TOO_SLOW if self._head_bytes else b"")
        else:
            self.transport.close()

    def _left_s(self, now_s: float) -> float:
        if self.transport.get_protocol() is not self or self.flow.read_paused:
            return HEAD_S  # somebody else reads, or it is us who keep the sender waiting
        if self._head_since_s is not None:
            return self._head_since_s + HEAD_S - now_s
        if self.cycle is not None and self.cycle.more_body:
            return self._heard_s + BODY_S - now_s
        return HEAD_S

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, answer: bytes) -> None:
        if not self._is_answering():  # else it would land in the middle of another answer
            self.transport.write(answer)
        self.transport.close()
