"""Make a backup while the box works.

First all files get a second name, so that nothing is lost by a removal meanwhile; then, at one
moment without writers, the database is frozen and what has changed since is looked at again; then
both are written down, aside. The last step is one rename: before it there is no backup, after it a
whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance import __version__
from appliance.clock import now
from appliance.durable import is_full, sync_folder, write_durably
from appliance.errors import StorageFull
from appliance.text import describe_size
from storage.backups import contents, format, recovery_key, snapshot
from storage.backups.folder import BackupFolder
from storage.backups.format import Entry, Manifest, Part
from storage.backups.objects import Objects, Unreadable
from storage.backups.pinning import Pinned, Pins
from storage.layout import Layout
from storage.media import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings
    from storage.backups.recovery_key import Verifier

    Progress = Callable[[str, float], None]

# For the manifest and what file systems keep for themselves.
_SPARE_BYTES = 8 * 1024**2


@dataclass(frozen=True)
class Made:
    """``new_bytes``: what it takes on the disk beyond the backups before it, the database aside."""

    name: str
    files: int
    size_bytes: int
    new_files: int
    new_bytes: int
    has_secrets: bool
    took_s: float
    problems: list[str] = field(default_factory=list)


def no_progress(stage: str, fraction: float) -> None:
    """Nobody watches."""


def create(settings: Settings, verifier: Verifier | None, progress: Progress = no_progress) -> Made:
    """A new backup. ``verifier``: of the recovery key; None: it goes without the secrets.

    ``progress`` may raise to end it. Raises Conflict (another run), StorageFull, OSError,
    DatabaseDamaged; then the backups are as they were.
    """
    folder = BackupFolder(settings.backups)
    began_s = time.monotonic()
    try:
        folder.make()
        with folder.locked(alone=True):
            folder.clean_up()
            made = _Making(settings, folder, verifier, progress)
            try:
                return made.run(began_s)
            finally:
                made.pins.remove()
                folder.clean_up()
    except OSError as exc:
        if is_full(exc):
            raise _full(folder) from exc
        raise
    except sqlite3.OperationalError as exc:
        if "full" in str(exc):
            raise _full(folder) from exc
        raise


class _Making:
    def __init__(
        self,
        settings: Settings,
        folder: BackupFolder,
        verifier: Verifier | None,
        progress: Progress,
    ) -> None:
        self.settings, self.folder, self.verifier = settings, folder, verifier
        self.progress = progress
        self.layout = Layout(settings.data)
        self._stage, self._fraction = "", 0.0
        self._nobody_writes = False
        self._unreadable: dict[str, str] = {}
        self.objects = Objects(folder, self._check)
        before = next(folder.manifests(), None)
        known = {entry.path: entry for entry in before.files} if before else {}
        self.pins = Pins(self.layout, known, self.objects.has, self._check)
        self.aside = folder.tmp / "set"

    def run(self, began_s: float) -> Made:
        self._tell("Holding the files", 0.0)
        self.aside.mkdir(mode=0o700)
        self.pins.prepare()
        self.pins.collect()
        self._tell("Copying the database", 0.05)
        uploads: list[str] = []
        with closing(self._freeze(uploads)) as copy:
            schema, rows = snapshot.schema(copy), snapshot.count_rows(copy)
            videos, kept = snapshot.ids_of_videos(copy), snapshot.kept_files(copy)
        self._require_room()
        files = self._keep_files(videos | set(uploads))
        created_at = now()
        name = format.new_name(created_at, set(self.folder.names()))
        self._write_settings(name)
        manifest = Manifest(
            name=name,
            created_at=created_at,
            app_version=__version__,
            schema=schema,
            key_id=contents.key_id(self.settings),
            rows=rows,
            parts=self._parts(),
            files=files,
            problems=compare_with_rows(files, kept, self._unreadable),
        )
        self._finish(manifest)
        return Made(
            name=name,
            files=len(files),
            size_bytes=manifest.size_bytes,
            new_files=self.objects.new_files,
            new_bytes=self.objects.new_bytes,
            has_secrets=self.verifier is not None,
            took_s=round(time.monotonic() - began_s, 1),
            problems=manifest.problems,
        )

    def _tell(self, stage: str, fraction: float) -> None:
        self._stage, self._fraction = stage, fraction
        self.progress(stage, fraction)

    def _check(self) -> None:
        # Who reports writes, and would wait for the very lock that we hold.
        if not self._nobody_writes:
            self.progress(self._stage, self._fraction)

    def _freeze(self, uploads: list[str]) -> sqlite3.Connection:
        def look_again(reader: sqlite3.Connection) -> None:
            self._nobody_writes = True
            try:
                self.pins.collect()
                uploads.extend(snapshot.finishing_uploads(reader))
                for upload_id in uploads:
                    self.pins.add_upload(upload_id)
            finally:
                self._nobody_writes = False

        target = self.aside / format.DATABASE
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return snapshot.take(self.settings.database_path, target, look_again)

    def _require_room(self) -> None:
        """Known before hours of copying: what is on another disk has to be copied."""
        device = self.folder.objects.stat().st_dev
        own = self.settings.data.stat().st_dev == device
        new = [file for file in self.pins.files if file.pin is not None]
        here = next((file.pin for file in new if file.pin and file.device == device), None)
        if here is not None and self.objects.can_link(here):
            new = [file for file in new if file.device != device]
        needed = sum({(f.device, f.inode): f.size_bytes for f in new}.values()) + _SPARE_BYTES
        free = free_bytes(self.folder.root)
        # On the disk of the videos, uploads come first.
        free -= self.settings.reserve_bytes() // 2 if own else 0
        if needed > free:
            raise StorageFull(
                f"The backup needs {describe_size(needed)} in {self.folder.root}, and "
                f"{describe_size(max(0, free))} are free. Make room there, keep fewer backups, or "
                "set backup_folder to a larger disk."
            )

    def _keep_files(self, ids: set[str]) -> list[Entry]:
        files = [file for file in self.pins.files if file.path.split("/")[1] in ids]
        self._unreadable = {
            path: why for path, why in self.pins.unreadable.items() if path.split("/")[1] in ids
        }
        all_bytes = sum(file.size_bytes for file in files if file.pin is not None) or 1
        done, entries = 0, []
        for file in sorted(files, key=lambda file: file.path):
            if file.pin is not None:
                self._tell("Copying files", 0.1 + 0.85 * done / all_bytes)
                done += file.size_bytes
                try:
                    file.sha256, _ = self.objects.put(file.pin)
                except Unreadable as exc:
                    self._unreadable[file.path] = str(exc)
                    continue
            entries.append(_entry(file))
        self.objects.settle()
        return entries

    def _write_settings(self, name: str) -> None:
        text = contents.settings_text(self.settings)
        write_durably(self.aside / format.SETTINGS, text.encode())
        if self.verifier is not None:
            sealed = recovery_key.seal(
                contents.secrets_of(self.settings), self.verifier, bound_to=name
            )
            write_durably(self.aside / format.SECRETS, json.dumps(sealed).encode())

    def _parts(self) -> dict[str, Part]:
        found = {}
        for name in format.PARTS:
            path = self.aside / name
            if path.exists():
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                found[name] = Part(path.stat().st_size, sha256)
        return found

    def _finish(self, manifest: Manifest) -> None:
        self._tell("Writing the manifest", 0.97)
        write_durably(self.aside / format.MANIFEST, format.dump(manifest))
        sync_folder(self.aside)
        self.aside.rename(self.folder.set_folder(manifest.name))
        sync_folder(self.folder.sets)
        self.folder.note_damaged((), mended=self.objects.mended)


def _entry(file: Pinned) -> Entry:
    return Entry(file.path, file.size_bytes, file.sha256, file.mtime_ns, file.inode)


def compare_with_rows(
    files: list[Entry], kept: dict[str, tuple[int, str | None]], unreadable: dict[str, str]
) -> list[str]:
    """Pure: what the rows name and is not there, or is otherwise there. ``kept``: as
    ``snapshot.kept_files``. ``unreadable``: path → why."""
    here = {entry.path.partition("/")[2]: entry for entry in files}
    without = {path.partition("/")[2]: why for path, why in unreadable.items()}
    problems = [f"{path}: can't be read on the box ({why})" for path, why in without.items()]
    for path, (size_bytes, sha256) in sorted(kept.items()):
        entry = here.get(path)
        if path in without:
            continue
        if entry is None:
            problems.append(f"{path}: missing on the box")
        elif entry.size_bytes != size_bytes:
            problems.append(f"{path}: {entry.size_bytes} bytes on the box, {size_bytes} expected")
        elif sha256 is not None and entry.sha256 != sha256.lower():
            problems.append(f"{path}: changed on the box")
    return problems


def _full(folder: BackupFolder) -> StorageFull:
    return StorageFull(
        f"The disk of {folder.root} is full, so no backup was made; those before are untouched. "
        "Make room there, keep fewer backups, or set backup_folder to a larger disk."
    )
