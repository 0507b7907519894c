"""Files of a backup, opened: it may have been brought from anywhere, so only plain files count.

A link in it could lead to a key of this box, or to what somebody changes later; a pipe would never
end.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPlainFile(OSError):
    """There is something of that name, and no bytes of ours are in it."""


def open_plain(path: Path) -> BinaryIO:
    """To read. Raises NotPlainFile, OSError."""
    try:
        handle = os.open(path, _FLAGS)
    except OSError as exc:
        if exc.errno != errno.ELOOP:
            raise
        raise NotPlainFile(exc.errno, "a link, not a file", str(path)) from exc
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotPlainFile(errno.EINVAL, "not a file", str(path))
    return os.fdopen(handle, "rb")


def is_plain(path: Path, size_bytes: int) -> bool:
    """Whether it is there, a plain file of so many bytes."""
    try:
        about = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(about.st_mode) and about.st_size == size_bytes


def say_why(error: OSError) -> str:
    """In a word or two, behind the name of the file."""
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, NotPlainFile):
        return str(error.strerror)
    return f"can't be read ({error.strerror})"
