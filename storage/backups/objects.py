"""Files put among the objects: by a second name where that goes, else copied."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from appliance.durable import sync_folder
from storage.backups.plain import is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from storage.backups.folder import BackupFolder

_BLOCK = 4 * 1024**2
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES})


class Unreadable(Exception):
    """A file of the box can't be read: a broken disk, or another's file. The text says why."""


class Objects:
    """Of one backup that is being made. Nothing counts before ``settle``."""

    def __init__(self, folder: BackupFolder, check: Callable[[], None]) -> None:
        self._folder, self._check = folder, check
        self._doubted = folder.damaged()
        self._touched: set[Path] = set()
        self._seen: dict[tuple[int, int], str] = {}  # (device, inode) → digest
        self._number = 0
        self.new_files = self.new_bytes = 0
        self.mended: set[str] = set()

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Whether it is here with its size, and nobody has found it changed."""
        if sha256 in self._doubted:
            return False
        return is_plain(self._folder.object(sha256), size_bytes)

    def put(self, source: Path) -> tuple[str, int]:
        """Keep the bytes of ``source``, which nobody changes; their digest and number.

        Raises Unreadable, and OSError where the backups are.
        """
        about = source.stat()
        key = (about.st_dev, about.st_ino)
        if key in self._seen:  # a version may be the original by another name
            return self._seen[key], about.st_size
        if self._is_same_disk(about.st_dev):
            sha256, size = self._link(source)
        else:
            sha256, size = self._copy(source)
        self._seen[key] = sha256
        return sha256, size

    def can_link(self, source: Path) -> bool:
        """Whether a second name goes: two mounts of one disk have one number, and no links."""
        aside = self._linked(source)
        if aside is not None:
            aside.unlink()
        return aside is not None

    def _is_same_disk(self, device: int) -> bool:
        return self._folder.objects.stat().st_dev == device

    def _link(self, source: Path) -> tuple[str, int]:
        found = hashlib.sha256()
        size = 0
        for block in self._blocks(source):
            found.update(block)
            size += len(block)
        sha256 = found.hexdigest()
        if self.has(sha256, size):
            return sha256, size
        aside = self._linked(source)
        if aside is None:
            return self._copy(source)  # one disk, but mounted twice, or a file system without
        self._place(aside, sha256)
        self.new_files += 1
        return sha256, size

    def _linked(self, source: Path) -> Path | None:
        """A second name of it, aside; None: it can't have one here."""
        aside = self._aside()
        try:
            os.link(source, aside)
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
            return None
        return aside

    def _copy(self, source: Path) -> tuple[str, int]:
        found = hashlib.sha256()
        size = 0
        aside = self._aside()
        try:
            with aside.open("wb") as writer:
                os.fchmod(writer.fileno(), 0o600)
                for block in self._blocks(source):
                    found.update(block)
                    writer.write(block)
                    size += len(block)
                writer.flush()
                os.fsync(writer.fileno())
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sha256 = found.hexdigest()
        if self.has(sha256, size):
            aside.unlink()
            return sha256, size
        self._place(aside, sha256)
        self.new_files, self.new_bytes = self.new_files + 1, self.new_bytes + size
        return sha256, size

    def _blocks(self, source: Path) -> Iterator[bytes]:
        """What is read isn't kept in memory by the system: that belongs to those who watch."""
        at = 0
        try:
            reader = source.open("rb")
        except OSError as exc:
            raise Unreadable(exc.strerror) from exc
        with reader:
            while True:
                try:
                    block = reader.read(_BLOCK)
                except OSError as exc:
                    raise Unreadable(exc.strerror) from exc
                if not block:
                    return
                os.posix_fadvise(reader.fileno(), at, len(block), os.POSIX_FADV_DONTNEED)
                at += len(block)
                self._check()
                yield block

    def _aside(self) -> Path:
        self._number += 1
        return self._folder.tmp / f"object-{self._number}"

    def _place(self, aside: Path, sha256: str) -> None:
        final = self._folder.object(sha256)
        if not final.parent.is_dir():
            final.parent.mkdir(mode=0o700)
            self._touched.add(self._folder.objects)
        aside.replace(final)
        # Renaming one name of a file to another of the same file does nothing. Source: rename(2).
        aside.unlink(missing_ok=True)
        self._touched.add(final.parent)
        if sha256 in self._doubted:
            self.mended.add(sha256)
            self._doubted.discard(sha256)

    def settle(self) -> None:
        """All names durable: only now may a manifest name them."""
        for folder in sorted(self._touched):
            sync_folder(folder)
        self._touched.clear()
