"""What has to be there after a power cut: forced to disk before anybody relies on it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room (or quota). Of the database: appliance/db.py."""
    return error.errno in _FULL


def sync_file(path: Path) -> None:
    """Force a file's bytes to disk, whoever has written them. Raises OSError."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk: a rename is only durable after this. Raises OSError."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Aside, synced, renamed; for us alone by default. Raises OSError: ``path`` is as it was then.

    ``mode``: who may read it, less the process's umask.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
