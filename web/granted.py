"""Which files links lead to, remembered as long as nothing in the database has changed.

A player or a platform asks for one film in hundreds of parts. Each time the link must still be
good: ``PRAGMA data_version`` says in microseconds whether anybody has written anything since, so a
link that was withdrawn is dead with the very next request, in whatever process that was done.
Source: sqlite.org/pragma.html#pragma_data_version.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from appliance.clock import now

if TYPE_CHECKING:
    from pathlib import Path

    from storage.public_links import PublicFile

# Longer, and "last used" would be noted too seldom.
_KEPT_S = 60.0
_MOST = 1000


class Granted:
    """For one thread: that of the event loop."""

    def __init__(self, database: Path) -> None:
        self._path = database
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._files: dict[str, tuple[float, PublicFile]] = {}

    def get(self, token: str) -> PublicFile | None:
        """What the link leads to; None: unknown here, ask the database."""
        if self._has_changed():
            self._files.clear()
        known = self._files.get(token)
        if known is None:
            return None
        since_s, file = known
        if time.monotonic() - since_s > _KEPT_S or file.expires_at <= now():
            del self._files[token]
            return None
        return file

    def keep(self, token: str, file: PublicFile, version: int) -> None:
        """``version``: what ``version()`` was before the database was asked for ``file``."""
        if version == self._version:
            if len(self._files) >= _MOST:
                self._files.clear()
            self._files[token] = time.monotonic(), file

    def version(self) -> int:
        return self._version

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _has_changed(self) -> bool:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # busy, or gone: then nothing is known
            return True
        changed, self._version = version != self._version, version
        return bool(changed)
