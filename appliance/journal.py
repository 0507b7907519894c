"""systemd's journal in its own protocol: events with fields, which `journalctl JOB_ID=…` finds.

An event is one datagram to journald's socket: ``NAME=value`` and a newline for each field; a value
with newlines has its length before it, so that no text can begin a field of its own. What is too
large for a datagram goes as a sealed file in memory.
Source: systemd.io/JOURNAL_NATIVE_PROTOCOL; systemd.journal-fields(7); memfd_create(2).
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACE = "/run/systemd/journal/socket"
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def is_read_by_journal(stream: IO[str]) -> bool:
    """Whether ``stream`` is what systemd connected to the journal, not a file or a pipe since.

    Source: systemd.exec(5), ``$JOURNAL_STREAM``: device and inode.
    """
    try:
        about = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def encode(fields: Mapping[str, str]) -> bytes:
    """One event. Raises ValueError for a name that the journal would refuse."""
    parts = []
    for name, value in fields.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a field")
        data = value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts.append(b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), data))
    return b"".join(parts)


class Journal:
    """The line to journald; any thread may use it."""

    def __init__(self, place: str = PLACE) -> None:
        """Raises OSError where there is no journald."""
        self._place = place
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            os.stat(place)
        except OSError:
            self._line.close()
            raise

    def send(self, fields: Mapping[str, str]) -> None:
        """Raises OSError when nobody takes it."""
        event = encode(fields)
        try:
            # By name each time: journald may have been started anew since.
            self._line.sendto(event, self._place)
        except OSError as exc:
            if exc.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_large(event)

    def close(self) -> None:
        self._line.close()

    def _send_large(self, event: bytes) -> None:
        handle = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with open(handle, "wb") as file:
            file.write(event)
            file.flush()
            fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)
            handles = array.array("i", [handle]).tobytes()
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)]
            # Not socket.send_fds: that forgets the address.
            self._line.sendmsg([b""], ancillary, 0, self._place)
