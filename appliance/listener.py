"""Where the web process listens: the socket, made before anything runs on it.

It is bound by whoever starts the web process (``appliance up``, ``appliance web``, systemd), so
that an address in use is found at once, port 0 has a number before anybody asks for it, and
connections wait in the queue, unrefused, while the web process is started again.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from appliance.errors import SettingsError

BACKLOG = 2048
# Below it and without rights, the kernel refuses. Source: ip(7), ip_unprivileged_port_start.
_FIRST_FREE_PORT = 1024


def bind(listen: str) -> socket.socket:
    """A listening socket for the setting ``listen``; ``unix:`` ones may be opened by our group.

    Raises SettingsError with what to change.
    """
    if listen.startswith("unix:"):
        return _bind_unix(Path(listen.removeprefix("unix:")))
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as exc:
        raise SettingsError(_why_not(listen, exc)) from exc


def adopt(number: int) -> socket.socket:
    """The listening socket that whoever started us has left at file descriptor ``number``."""
    try:
        return socket.socket(fileno=number)
    except OSError as exc:
        raise SettingsError(f"File descriptor {number} is no socket to listen on.") from exc


def activated() -> int | None:
    """The file descriptor that systemd's socket activation passes, if it started us so.

    Source: sd_listen_fds(3); the first descriptor is always 3.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return 3


def address_of(listener: socket.socket) -> str:
    """What the socket is bound to, in the form of the setting ``listen``."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_unix(path: Path) -> socket.socket:
    if _somebody_answers(path):
        raise SettingsError(f"APPLIANCE_LISTEN: another program listens on {path} already.")
    if path.is_socket():  # left by a process that was killed; anything else is not ours
        path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Before bind, so that there is no moment at which others could connect.
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    except OSError as exc:
        listener.close()
        raise SettingsError(_why_not(f"unix:{path}", exc)) from exc
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def _somebody_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _why_not(listen: str, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return (
            f"APPLIANCE_LISTEN: another program listens on {listen} already. Stop it, or set "
            "another address, such as APPLIANCE_LISTEN=127.0.0.1:8001."
        )
    if exc.errno == errno.EACCES and not listen.startswith("unix:"):
        return (
            f"APPLIANCE_LISTEN: only root may listen on {listen}. "
            f"Set a port from {_FIRST_FREE_PORT} up."
        )
    return f"APPLIANCE_LISTEN: nothing can listen on {listen}: {exc.strerror or exc}."
