"""The listening socket: bound early, named truly, refused in a sentence."""

from __future__ import annotations

import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from appliance import listener, notify
from appliance.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_free_port_is_found_and_told() -> None:
    with listener.bind("127.0.0.1:0") as bound:
        host, port = listener.address_of(bound).split(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        with socket.create_connection((host, int(port))):
            pass


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="There is no IPv6 here.")
def test_ipv6_addresses_are_written_with_brackets() -> None:
    with listener.bind("[::1]:0") as bound:
        assert listener.address_of(bound).startswith("[::1]:")


def test_a_port_in_use_says_which_and_what_to_change() -> None:
    with listener.bind("127.0.0.1:0") as bound:
        address = listener.address_of(bound)
        with pytest.raises(SettingsError, match=f"APPLIANCE_LISTEN.*{address}.*set another"):
            listener.bind(address)


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "no-such-host.invalid:80"])
def test_an_address_that_is_not_ours_is_refused(listen: str) -> None:
    with pytest.raises(SettingsError, match="APPLIANCE_LISTEN"):
        listener.bind(listen)


def test_a_unix_socket_is_for_our_group_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with listener.bind(f"unix:{path}") as bound:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert listener.address_of(bound) == f"unix:{path}"


def test_a_unix_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "web.sock"
    with listener.bind(f"unix:{path}"), pytest.raises(SettingsError, match="already"):
        listener.bind(f"unix:{path}")
    assert path.exists()  # nobody answers there any more
    with listener.bind(f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    precious = tmp_path / "web.sock"
    precious.write_text("precious")
    with pytest.raises(SettingsError, match="web.sock"):
        listener.bind(f"unix:{precious}")
    assert precious.read_text() == "precious"


def test_a_socket_that_somebody_else_bound_is_taken_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = listener.adopt(server.detach())
        with taken:
            assert listener.address_of(taken).startswith("127.0.0.1:")
    with pytest.raises(SettingsError, match="no socket"):
        listener.adopt(987)


def test_sockets_of_systemd_are_only_for_the_process_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert listener.activated() is None
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert listener.activated() is None
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert listener.activated() == 3


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_ready_is_told_to_whoever_started_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        if kind == "path":
            manager.bind(str(tmp_path / "notify"))
            name = str(tmp_path / "notify")
        else:
            manager.bind(b"")
            name = "@" + manager.getsockname()[1:].decode()
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        sender = threading.Thread(target=notify.notify, args=("READY=1",))
        sender.start()
        manager.settimeout(10)
        assert manager.recv(100) == b"READY=1"
        sender.join()


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all"])
def test_where_nobody_listens_nothing_happens(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify.notify("READY=1")
