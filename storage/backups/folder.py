"""The folder of the backups: what is in it, who works on it, and files put there durably."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.durable import write_durably
from appliance.errors import Conflict, NotFound
from storage.backups import format
from storage.backups.format import BackupDamaged, Manifest
from storage.backups.plain import open_plain, say_why

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_README = """\
Backups of a Media Appliance. Each folder in sets/ is one backup: its manifest.json names all files
with their SHA-256, objects/ holds them by that digest. To restore, on a machine that has the
appliance:

    appliance backup list
    appliance backup restore NAME

The accounts' sign-ins need the recovery key that was shown when backups were set up.
"""


class BackupFolder:
    """Paths below ``root``. Nothing is made before ``make``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sets = root / "sets"
        self.objects = root / "objects"
        self.tmp = root / "tmp"
        self._damaged = root / "damaged.json"

    def make(self) -> None:
        """Raises Conflict where others' things are: what lies in ``tmp`` is ours to remove."""
        if not self.sets.is_dir() and self._has_strangers():
            raise Conflict(
                f"{self.root} holds other things, and backups want a folder of their own. Set "
                f"backup_folder to one, such as {self.root / 'appliance-backups'}.",
                code="backup_folder_taken",
            )
        for folder in (self.root, self.sets, self.objects, self.tmp):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        readme = self.root / "README.txt"
        if not readme.exists():
            write_durably(readme, _README.encode())

    def _has_strangers(self) -> bool:
        if not self.root.is_dir():
            return False
        # Copies of the database before migrations are kept here, too.
        return any(
            name != "lost+found" and not name.startswith("before-")
            for name in os.listdir(self.root)
        )

    def object(self, sha256: str) -> Path:
        return self.root / format.object_path(sha256)

    def set_folder(self, name: str) -> Path:
        if not format.is_name(name):
            raise NotFound(f"There is no backup “{name[:40]}”. See: appliance backup list")
        return self.sets / name

    def names(self) -> list[str]:
        """Of all backups, the oldest first: the whole ones and the damaged ones."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return sorted(name for name in os.listdir(self.sets) if format.is_name(name))
        return []

    def newest(self) -> str:
        """Raises NotFound."""
        names = self.names()
        if not names:
            raise NotFound(
                f"There is no backup in {self.root} yet. Make one: appliance backup create"
            )
        return names[-1]

    def manifest(self, name: str) -> Manifest:
        """Raises NotFound, BackupDamaged."""
        folder = self.set_folder(name)
        try:
            with open_plain(folder / format.MANIFEST) as file:
                raw = file.read()
        except OSError as exc:
            if isinstance(exc, FileNotFoundError) and not folder.is_dir():
                raise NotFound(
                    f"There is no backup “{name}” in {self.root}. See: appliance backup list"
                ) from exc
            problem = f"{name}/{format.MANIFEST}: {say_why(exc)}"
            raise BackupDamaged(f"{problem}.", [problem]) from exc
        return format.load(raw, name)

    def manifests(self) -> Iterator[Manifest]:
        """Those that can be read, the newest first."""
        for name in reversed(self.names()):
            with suppress(BackupDamaged, NotFound):
                yield self.manifest(name)

    # Objects that verifying found changed: not to be relied on by the next backup.

    def damaged(self) -> set[str]:
        try:
            with open_plain(self._damaged) as file:
                return {str(name) for name in json.loads(file.read())}
        except (OSError, ValueError, TypeError):
            return set()

    def note_damaged(self, found: Iterable[str], *, mended: Iterable[str] = ()) -> None:
        """Where the folder can't be written, nothing is noted: it is somebody's copy."""
        known = self.damaged()
        now = (known | set(found)) - set(mended)
        if now == known:
            return
        with suppress(OSError):
            write_durably(self._damaged, json.dumps(sorted(now)).encode())

    # One at a time

    @contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """``alone``: to write; else beside others that read. The lock goes with its process.

        Raises Conflict when somebody else is at it.
        """
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(handle)
            raise Conflict(
                "Another run is at work on these backups. Try again when it is done; the Backups "
                "page shows it.",
                code="backup_busy",
            ) from exc
        try:
            yield
        finally:
            os.close(handle)

    def clean_up(self) -> None:
        """Remove what runs that died have left. Only under the lock, ``alone``."""
        with suppress(FileNotFoundError):  # the disk was taken away: there is nothing to remove
            for path in list(self.tmp.iterdir()):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
