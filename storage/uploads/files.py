"""The data file of an upload: opened under a lock, repaired after a crash, written at an offset.

The size of the file is the offset. The lock is the kernel's, on the file itself: it goes with the
process that held it, so there is nothing stale to clean up.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from appliance.durable import sync_folder
from appliance.errors import ApplianceError
from storage.uploads.slots import UploadBusy

if TYPE_CHECKING:
    from pathlib import Path


_SYNC_FILE_RANGE_WRITE = 2
# Linux alone has it.
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class BytesLost(ApplianceError):
    """The file is gone, or shorter than what was acknowledged."""

    code = "upload_lost"


def create_file(path: Path) -> int:
    """A new, empty, locked file, durable by name; its handle.

    Its group may read it once it is the original of a video (storage.media.make_folder); until
    then the folder of uploads keeps it to us.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fsync(handle)
        sync_folder(path.parent)
    except BaseException:
        os.close(handle)
        raise
    return handle


def open_locked(path: Path) -> int:
    """The handle of an existing file. Raises UploadBusy, FileNotFoundError.

    Whoever gets the lock looks the row up again: its holder may have moved the file on.
    """
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UploadBusy from None
    return handle


def trusted_size(handle: int, *, durable_offset: int, same_boot: bool) -> int:
    """How much of the file counts, in bytes; what doesn't is cut off. Raises BytesLost.

    Since the machine started last (``same_boot``), the page cache has kept all that was written.
    After a crash of the machine only what was forced to disk is sure: beyond it the size may
    cover blocks that were never written and read as zeros.
    """
    size = os.fstat(handle).st_size
    if size < durable_offset:
        raise BytesLost(
            "Bytes of this upload that had arrived are gone from the disk. Send the file again."
        )
    if not same_boot and size > durable_offset:
        cut_back(handle, durable_offset)
        size = durable_offset
    return size


def cut_back(handle: int, size: int) -> None:
    """Drop everything after ``size`` bytes, durably."""
    os.ftruncate(handle, size)
    os.fsync(handle)


def start_writing_back(handle: int, offset: int, size: int) -> None:
    """Let the disk begin with these bytes, so that a sync soon after has less to wait for.

    Promises nothing, reports nothing: that is what the sync is for. Source: sync_file_range(2).
    """
    if _sync_file_range is not None:
        _sync_file_range(handle, offset, size, _SYNC_FILE_RANGE_WRITE)


def write_at(handle: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """All of ``data`` at ``offset``. Raises OSError; what was written before it stays.

    At an offset, not at "the end": a stray second writer could not shift what follows.
    """
    written = os.pwrite(handle, data, offset)
    if written == len(data):
        return
    view = memoryview(data)
    while view := view[written:]:
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        offset += written
        written = os.pwrite(handle, view, offset)
