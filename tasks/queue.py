"""The doorbells: three Huey queues in one SQLite file that may be deleted at any time.

A message carries no work, only "look": the worker that hears it claims the best due job of its
queue from the ledger. So a bell that is lost, doubled or rung in vain does no harm, and one that
can't be rung is logged, never raised: the sweep rings again (tasks/ticker.py).
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from huey import SqliteHuey

from appliance import bell
from appliance.job_kinds import QUEUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.settings import Settings

log = logging.getLogger(__name__)

# Unheard bells that a queue needs at most: whoever hears one takes what is due, and rings for the
# next when more is due than one thread can take.
MOST_UNHEARD = 2
_BROKEN = ("malformed", "not a database", "no such table", "disk image")


class Bells:
    """The three queues on the file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._inode: int | None = None
        self._heard: dict[str, Callable[[], object]] = {}
        with self._one_process_at_a_time():
            self._make_if_missing()
            self.queues: dict[str, Any] = {name: self._make(name) for name in QUEUES}
            self._inode = self._inode_now()
        self._looks = {name: self._task(name, queue) for name, queue in self.queues.items()}

    def _make(self, name: str) -> Any:
        return SqliteHuey(name, filename=str(self.path), results=False, fsync=True)

    def _task(self, name: str, queue: Any) -> Any:
        def look() -> None:
            self._heard[name]()

        return queue.task(name="look")(look)

    def on_ring(self, name: str, heard: Callable[[], object]) -> None:
        """What this process does when the bell of ``name`` rings."""
        self._heard[name] = heard

    def ring(self, name: str, priority: int = 0) -> None:
        """Wake the worker of a queue; logged, never raised, when that fails."""
        try:
            self.mend()
            if self.queues[name].storage.queue_size() < MOST_UNHEARD:
                look = self._looks[name].s()
                look.priority = priority
                self.queues[name].enqueue(look)
        except (sqlite3.Error, OSError) as exc:
            log.warning("The bell of %s did not ring (%s); the sweep will ring it.", name, exc)

    def mend(self) -> bool:
        """Make the file again if it is gone or broken; True if this process had to begin anew.

        Raises sqlite3.Error and OSError when even that fails.
        """
        with self._lock:
            inode = self._inode_now()
            broken = inode == self._inode and self._is_broken()
            if inode is not None and inode == self._inode and not broken:
                return False
            for queue in self.queues.values():
                queue.storage.close()
            # Of two processes that find it gone the second takes what the first has made.
            with self._one_process_at_a_time():
                if broken and self._inode_now() == self._inode:
                    self._remove()
                self._make_if_missing()
                self._inode = self._inode_now()
            log.warning("%s was gone or broken: it was made anew.", self.path.name)
            return True

    def _is_broken(self) -> bool:
        try:
            self.queues[QUEUES[0]].storage.queue_size()
        except sqlite3.DatabaseError as exc:
            return _means_broken(exc)
        return False

    def _inode_now(self) -> int | None:
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None

    def _make_if_missing(self) -> None:
        if self._inode_now() is None:
            self._remove()  # a -wal that outlived its file would be taken for the new one's
        # The constructor makes the tables where they are missing.
        try:
            self._make("schema").storage.close()
        except sqlite3.DatabaseError as exc:
            if not _means_broken(exc):
                raise
            self._remove()  # somebody put another file there
            self._make("schema").storage.close()

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    @contextmanager
    def _one_process_at_a_time(self) -> Iterator[None]:
        with self.path.with_name(self.path.name + ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _means_broken(error: sqlite3.DatabaseError) -> bool:
    return any(word in str(error) for word in _BROKEN)


def connect(settings: Settings) -> Bells:
    """Hang the bells and let the ledger ring them."""
    bells = Bells(settings.queue_path)
    bell.connect(bells.ring)
    return bells
