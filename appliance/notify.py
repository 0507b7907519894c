"""Say "ready", "alive" and such to whoever started us: systemd (``Type=notify``), ``appliance up``.

Source: sd_notify(3): one datagram to the UNIX socket that ``NOTIFY_SOCKET`` names; a name that
starts with ``@`` is in the abstract namespace. sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import os
import socket

ALIVE = "WATCHDOG=1"


def notify(message: str) -> None:
    """Send ``READY=1`` and the like; does nothing when nobody listens."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return
    address = "\0" + name[1:] if name.startswith("@") else name
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        contextlib.suppress(OSError),  # whoever listened is gone; our work goes on
    ):
        line.sendto(message.encode(), address)


def watchdog_s() -> float | None:
    """``ALIVE`` is expected that often, in seconds, or we are ended; None: nobody watches."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    said = os.environ.get("WATCHDOG_USEC", "")
    return int(said) / 1e6 if said.isdecimal() and int(said) > 0 else None


def tell_status(sentence: str) -> None:
    """The line that ``systemctl status`` shows. Never with words of users in it."""
    notify(f"STATUS={sentence}")
