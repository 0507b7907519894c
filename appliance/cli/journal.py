"""What this user has sent to which box, and where what is unfinished goes on.

In ``$XDG_STATE_HOME/appliance`` (~/.local/state/appliance): ``sent.jsonl`` has one line for each
file that arrived, ``unfinished/`` one small file for each upload under way. A file is known by
its box, path, size and time of change, so one that was edited is sent again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEEP_S = 7 * 24 * 3600


class SentByAnother(Conflict):
    code = "sent_by_another"


@dataclass(frozen=True)
class Sent:
    video_id: str
    at: str


class Unfinished:
    """Where one upload goes on. The address is a capability: nobody else may read it."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle

    @property
    def address(self) -> str | None:
        return os.pread(self._handle, 4096, 0).decode() or None

    def keep(self, address: str) -> None:
        os.truncate(self._handle, 0)
        os.pwrite(self._handle, address.encode(), 0)

    def forget(self) -> None:
        os.truncate(self._handle, 0)


class Journal:
    """``box``: what the box is called; two boxes know nothing of each other's files."""

    def __init__(self, box: str, folder: Path | None = None) -> None:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self.box = box
        self.folder = folder or Path(state, "appliance")
        self._unfinished = self.folder / "unfinished"
        self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sent_path = self.folder / "sent.jsonl"
        self._sent = self._read_sent()
        self._sweep()

    def key(self, path: Path) -> str:
        """Raises OSError."""
        facts = path.stat()
        name = f"{self.box}\0{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}"
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()

    # What arrived

    def sent(self, key: str) -> Sent | None:
        return self._sent.get(key)

    def note_sent(self, key: str, path: Path, video_id: str) -> None:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime())
        name = str(path.resolve()).encode("utf-8", "replace").decode()
        line = {"key": key, "box": self.box, "path": name, "video_id": video_id, "at": at}
        # One write at the end of the file: two commands may be at it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        handle = os.open(self._sent_path, flags, 0o600)
        try:
            os.write(handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
        finally:
            os.close(handle)
        self._sent[key] = Sent(video_id, at)

    def _read_sent(self) -> dict[str, Sent]:
        found: dict[str, Sent] = {}
        try:
            lines = self._sent_path.read_bytes().splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                said = json.loads(line)
                found[str(said["key"])] = Sent(str(said["video_id"]), str(said["at"]))
            except (ValueError, KeyError, TypeError):
                continue  # half a line, of a command that was killed: that file is sent again
        return found

    # What is under way

    def has_unfinished(self, key: str) -> bool:
        try:
            return (self._unfinished / key).stat().st_size > 0
        except FileNotFoundError:
            return False

    @contextmanager
    def unfinished(self, key: str) -> Iterator[Unfinished]:
        """Held by this command alone. Raises SentByAnother."""
        path = self._unfinished / key
        handle = _lock(path)
        try:
            yield Unfinished(path, handle)
            if os.fstat(handle).st_size == 0:
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def _sweep(self) -> None:
        """The box has forgotten these long ago."""
        for old in self._unfinished.iterdir():
            try:
                if time.time() - old.stat().st_mtime > _KEEP_S:
                    handle = _lock(old)
                    old.unlink(missing_ok=True)
                    os.close(handle)
            except (OSError, SentByAnother):
                continue


def _lock(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise SentByAnother("Another command is sending this file at this moment.") from None
        # Whoever held it before may have removed it between our two steps.
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
        os.close(handle)
