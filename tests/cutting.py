"""A bad network: a TCP proxy that cuts or stalls connections after so many bytes, as it is told.

::

    with bad_network(url, faults(seed=7, count=5, within_bytes=3_000_000)) as network:
        send_somehow(network.url)
    assert network.done == 5

Each new connection takes the next fault; when none is left, all bytes pass. TLS passes, too: it
looks at nothing.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PIECE_BYTES = 64 * 1024

Direction = Literal["up", "down"]
How = Literal["reset", "close", "stall"]


@dataclass(frozen=True)
class Fault:
    """After ``after_bytes`` towards the server (``up``) or the client (``down``) nothing passes.

    ``reset`` and ``close`` end both connections, with an error or in order; ``stall`` keeps them
    open and silent, as a phone does that left the room, until either end gives up.
    """

    after_bytes: int
    direction: Direction = "up"
    how: How = "reset"


def faults(
    seed: int,
    count: int,
    *,
    within_bytes: int,
    directions: Sequence[Direction] = ("up", "down"),
    hows: Sequence[How] = ("reset", "close"),
) -> list[Fault]:
    """The same faults for the same seed. What comes down are answers: cut within 600 bytes."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        direction = chance.choice(directions)
        most = within_bytes if direction == "up" else min(within_bytes, 600)
        found.append(Fault(chance.randrange(1, most), direction, chance.choice(hows)))
    return found


class BadNetwork:
    """``url``: where clients connect; ``done``: faults that have struck."""

    def __init__(self, target_url: str, plan: Iterable[Fault] = ()) -> None:
        self._plan = iter(plan)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[_Line] = set()
        self._ended = False
        self.connections = 0
        self.done = 0
        self.lead_to(target_url)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{urlsplit(target_url).scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, name="bad network", daemon=True)
        self._thread.start()

    def lead_to(self, target_url: str) -> None:
        """Connections from now on go there."""
        parts = urlsplit(target_url)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port or 80)

    def cut_all(self) -> None:
        """Reset what is open at this moment: the network has changed."""
        with self._lock:
            lines = list(self._open)
        for line in lines:
            line.end(reset=True)

    def stop(self) -> None:
        self._ended = True
        # accept() isn't woken by close(); by shutdown() it is.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        self._thread.join(timeout=10)

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:  # the server is being started again: the client sees a reset
                _reset(client)
                continue
            server.settimeout(None)
            with self._lock:
                self.connections += 1
                line = _Line(self, client, server, next(self._plan, None))
                self._open.add(line)
            line.start()

    def struck(self) -> None:
        with self._lock:
            self.done += 1

    def forget(self, line: _Line) -> None:
        with self._lock:
            self._open.discard(line)


class _Line:
    """One connection, through."""

    def __init__(
        self, network: BadNetwork, client: socket.socket, server: socket.socket, fault: Fault | None
    ) -> None:
        self.network, self.client, self.server, self.fault = network, client, server, fault
        self._stalled = threading.Event()
        self._ended = False
        self._lock = threading.Lock()

    def start(self) -> None:
        for direction in ("up", "down"):
            threading.Thread(
                target=self._pump, args=(direction,), name=f"bad network {direction}", daemon=True
            ).start()

    def _pump(self, direction: Direction) -> None:
        source, sink = self.client, self.server
        if direction == "down":
            source, sink = sink, source
        fault = self.fault if self.fault and self.fault.direction == direction else None
        left = fault.after_bytes if fault else None
        try:
            while piece := source.recv(_PIECE_BYTES):
                if self._stalled.is_set():
                    continue  # read and forgotten, so that the end of it is seen
                if left is not None and len(piece) >= left:
                    sink.sendall(piece[:left])
                    if self._strike():
                        return
                    continue
                sink.sendall(piece)
                if left is not None:
                    left -= len(piece)
            if self._stalled.is_set():
                self.end(reset=True)
            elif not self._ended:  # else it was `end` that woke this, and an end in order would
                sink.shutdown(socket.SHUT_WR)  # overtake its reset
        except OSError:
            self.end(reset=True)

    def _strike(self) -> bool:
        """True: the line is no more."""
        assert self.fault is not None
        self.network.struck()
        if self.fault.how == "stall":
            self._stalled.set()
            return False
        self.end(reset=self.fault.how == "reset")
        return True

    def end(self, *, reset: bool) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        for end in (self.client, self.server):
            if reset:
                _reset(end)
            else:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self.network.forget(self)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A read in another thread keeps the connection alive after close(); this ends the read.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)
    end.close()


@contextmanager
def bad_network(target_url: str, plan: Iterable[Fault] = ()) -> Iterator[BadNetwork]:
    network = BadNetwork(target_url, plan)
    try:
        yield network
    finally:
        network.stop()
