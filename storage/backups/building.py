"""The data of a backup, built in a folder: by second names or copies, every byte compared."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from appliance.durable import is_full, sync_folder
from storage.backups import format
from storage.backups.format import BackupDamaged
from storage.backups.plain import open_plain, say_why
from storage.backups.verify import say, wrong_size

if TYPE_CHECKING:
    from pathlib import Path

    from storage.backups.create import Progress
    from storage.backups.folder import BackupFolder
    from storage.backups.format import Entry, Manifest, Part

_BLOCK = 4 * 1024**2
_LAYOUT = ("uploads", "media", "trash", "tmp")


class Building:
    """Of a backup into the empty folder ``aside``.

    ``like``: the data folder whose groups and modes hold here, too; None: it is only tried, and
    files that can't get a second name there are read, but not copied.
    """

    def __init__(
        self,
        folder: BackupFolder,
        manifest: Manifest,
        aside: Path,
        progress: Progress,
        *,
        like: Path | None = None,
    ) -> None:
        self.folder, self.manifest, self.aside, self.progress = folder, manifest, aside, progress
        self.like = like
        self.problems: list[str] = []
        self._done = 0
        self._groups = {name: make_like(like and like / name, aside / name) for name in _LAYOUT}
        self._links_go: dict[tuple[int, ...], bool] = {}  # by what it depends on
        self._brought: dict[tuple[str, str], Path] = {}  # (digest, top folder) → where it is

    def copied_bytes(self) -> int:
        """Of files that can't get a second name here. One that is wrong is found out later."""
        total = 0
        for sha256, top, size_bytes in {
            (entry.sha256, entry.path.partition("/")[0], entry.size_bytes)
            for entry in self.manifest.files
        }:
            source = self.folder.object(sha256)
            with suppress(OSError):
                if not self._may_link(source, source.lstat(), self._groups[top]):
                    total += size_bytes
        return total

    def run(self) -> None:
        """Raises BackupDamaged with all that is wrong."""
        set_folder = self.folder.set_folder(self.manifest.name)
        for name, part in self.manifest.parts.items():
            target = self.aside / name if name == format.DATABASE else None
            self._bring(set_folder / name, target, part, f"{self.manifest.name}/{name}")
        for entry in self.manifest.files:
            top = entry.path.partition("/")[0]
            target = self.aside / entry.path
            target.parent.mkdir(mode=0o750, exist_ok=True)
            twin = self._brought.get((entry.sha256, top))
            if twin is not None and _link(twin, target):
                continue
            source = self.folder.object(entry.sha256)
            if self._bring(source, target, entry, entry.path, self._groups[top], link=True):
                self._brought[entry.sha256, top] = target
        if self.problems:
            raise BackupDamaged(
                f"The backup {self.manifest.name} is damaged, so it was not restored: "
                f"{say(self.problems)}.",
                self.problems,
            )
        sync_folder(self.aside)

    def _bring(
        self,
        source: Path,
        target: Path | None,
        expected: Entry | Part,
        name: str,
        group: int | None = None,
        *,
        link: bool = False,
    ) -> bool:
        """Read ``source`` in full, and put it at ``target``: by a second name, or as a copy.
        Whether it was right."""
        problem = ""
        try:
            reader = open_plain(source)
        except OSError as exc:
            problem = say_why(exc)
        else:
            with reader:
                problem = self._take(reader, source, target, expected, group, link)
        if problem:
            self.problems.append(f"{name}: {problem}")
        return not problem

    def _take(
        self,
        reader: BinaryIO,
        source: Path,
        target: Path | None,
        expected: Entry | Part,
        group: int | None,
        link: bool,
    ) -> str:
        about = os.fstat(reader.fileno())
        if about.st_size != expected.size_bytes:
            return wrong_size(about.st_size, expected.size_bytes)
        if link and target is not None:
            linked = self._may_link(source, about, group) and _link(source, target, about)
            if linked or self.like is None:
                target = None
        try:
            return "" if self._read(reader, target) == expected.sha256 else "changed"
        except _ReadFailed as exc:
            return say_why(exc.error)

    def _read(self, reader: BinaryIO, target: Path | None) -> str:
        found = hashlib.sha256()
        writer = target.open("xb") if target is not None else None
        try:
            while block := _block_of(reader):
                found.update(block)
                if writer is not None:
                    writer.write(block)
                self._done += len(block)
                share = self._done / (self.manifest.size_bytes or 1)
                self.progress("Checking and bringing back files", min(0.95, 0.95 * share))
            if writer is not None:
                os.fchmod(writer.fileno(), 0o640)
                writer.flush()
                os.fsync(writer.fileno())
        finally:
            if writer is not None:
                writer.close()
        return found.hexdigest()

    def _may_link(self, source: Path, about: os.stat_result, group: int | None) -> bool:
        """Whether a second name of it can be here, and be read by whom ``group`` is for."""
        if about.st_uid != os.geteuid():  # its owner could change it afterwards
            return False
        if group is not None and (about.st_gid != group or not about.st_mode & stat.S_IRGRP):
            return False
        # Two mounts of one disk have one number, and no links between them.
        key = (about.st_dev, about.st_gid, about.st_mode)
        if key not in self._links_go:
            probe = self.aside / "probe"
            self._links_go[key] = _link(source, probe, about)
            probe.unlink(missing_ok=True)
        return self._links_go[key]


class _ReadFailed(Exception):
    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _block_of(reader: BinaryIO) -> bytes:
    """What fails here is the backup's fault, not that of where it is brought to."""
    try:
        return reader.read(_BLOCK)
    except OSError as exc:
        raise _ReadFailed(exc) from exc


def _link(source: Path, target: Path, about: os.stat_result | None = None) -> bool:
    """False: another disk. ``about``: it must be this file, whoever changes names meanwhile."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if is_full(exc):
            raise
        return False
    if about is not None and not os.path.samestat(about, target.lstat()):
        target.unlink()
        return False
    return True


def make_like(model: Path | None, target: Path) -> int | None:
    """A folder with the group and mode of ``model``, where that is set; the group that files in it
    are to have, None: any.

    Installed, the proxy reads media by its group, which we aren't in: only a folder that is made
    inside of one with that group inherits it, and a rename keeps it.
    """
    about = model.stat() if model is not None and model.exists() else None
    if model is None or about is None or not about.st_mode & stat.S_ISGID:
        target.mkdir(mode=0o700)
        return None
    inside = model / f".{target.name}.new"
    shutil.rmtree(inside, ignore_errors=True)
    # Made with its mode: a change of mode by who isn't in the group takes the passing-on away.
    before = os.umask(0)
    try:
        inside.mkdir(stat.S_IMODE(about.st_mode) & 0o777)
    finally:
        os.umask(before)
    inside.rename(target)
    return about.st_gid
