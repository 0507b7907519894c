"""The bad network does what it is told: nothing that is tested through it would show otherwise."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.cutting import Fault, bad_network, faults

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(end,), daemon=True).start()

    def answer(end: socket.socket) -> None:
        with end:
            try:
                while piece := end.recv(4096):
                    end.sendall(piece)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(timeout=5)


def dial(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=5)


def read_all(end: socket.socket) -> tuple[bytes, str]:
    """What came, and how it ended."""
    found = b""
    try:
        while piece := end.recv(4096):
            found += piece
    except ConnectionResetError:
        return found, "reset"
    except TimeoutError:
        return found, "stall"
    return found, "close"


def test_all_passes_without_a_fault(echo: str) -> None:
    with bad_network(echo) as network, dial(network.url) as end:
        end.sendall(b"x" * 100_000)
        end.shutdown(socket.SHUT_WR)
        assert read_all(end) == (b"x" * 100_000, "close")
        assert network.done == 0


@pytest.mark.parametrize("how", ["close", "stall"])
def test_a_fault_lets_so_many_bytes_through_and_no_more(echo: str, how: str) -> None:
    with (
        bad_network(echo, [Fault(1000, "down", how)]) as network,  # type: ignore[arg-type]  # a Literal
        dial(network.url) as end,
        dial(network.url) as later,
    ):
        end.settimeout(0.3 if how == "stall" else 5)
        end.sendall(b"x" * 3000)
        assert read_all(end) == (b"x" * 1000, how)
        later.sendall(b"y" * 3000)
        later.shutdown(socket.SHUT_WR)
        assert read_all(later) == (b"y" * 3000, "close")
        assert (network.done, network.connections) == (1, 2)


def test_a_reset_is_seen_as_one(echo: str) -> None:
    with bad_network(echo, [Fault(1000, "up", "reset")]) as network, dial(network.url) as end:
        end.sendall(b"x" * 3000)
        assert read_all(end)[1] == "reset"


def test_what_is_open_can_be_cut_at_once(echo: str) -> None:
    with bad_network(echo) as network, dial(network.url) as end:
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        network.cut_all()
        assert read_all(end)[1] == "reset"


def test_a_seed_gives_the_same_faults_each_time() -> None:
    first = faults(3, 20, within_bytes=1_000_000)
    assert first == faults(3, 20, within_bytes=1_000_000)
    assert first != faults(4, 20, within_bytes=1_000_000)
    assert {fault.direction for fault in first} == {"up", "down"}
    assert all(fault.after_bytes < 600 for fault in first if fault.direction == "down")
