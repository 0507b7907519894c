"""Say "ready" to whoever started us: systemd (``Type=notify``), or ``appliance up``.

Source: sd_notify(3): one datagram to the UNIX socket that ``NOTIFY_SOCKET`` names; a name that
starts with ``@`` is in the abstract namespace.
"""

from __future__ import annotations

import contextlib
import os
import socket


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
