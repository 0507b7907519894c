"""Files put where they belong, so that a crash leaves at worst a file that no row names.

Write aside → fsync → rename → fsync the folder → the row. Delete: the row → unlink → fsync the
folder. Source: robustness R3.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from typing import TYPE_CHECKING

from appliance.clock import boot_id, boottime_s
from appliance.durable import sync_folder
from appliance.ids import is_id
from appliance.models import Job, Video
from appliance.states import JobState, VideoState

if TYPE_CHECKING:
    from pathlib import Path

    from storage.layout import Layout

IN_BIN = VideoState.TRASHED


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def sync_disk(folder: Path) -> None:
    """Force all that lies on the disk of ``folder`` there: names, where there are very many.

    Raises OSError, where the kernel says what sync() keeps to itself. Source: syncfs(2).
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make one folder, durably; nothing to do when it is there.

    Its group may look inside: on an installed box the proxy's, which sends media straight from
    disk (systemd/appliance-tmpfiles.conf). Where the folder ``data`` is ours alone, nobody may.
    """
    try:
        folder.mkdir(mode=0o750)
    except FileExistsError:
        return
    sync_folder(folder.parent)


def place(tmp_file: Path, final_path: Path) -> None:
    """Put a finished file in its place, replacing what is there; durable when this returns.

    Both on one file system; the folder of a video is made if needed. Its group may read it, see
    ``make_folder``: a file keeps the group that it got from the folder it was made in. Raises
    OSError.
    """
    handle = os.open(tmp_file, os.O_RDONLY)
    try:
        # No bit is taken away: a file may have a second name, by which a sandbox reads it just now.
        os.fchmod(handle, stat.S_IMODE(os.fstat(handle).st_mode) | stat.S_IRGRP)
        os.fsync(handle)
    finally:
        os.close(handle)
    make_folder(final_path.parent)
    tmp_file.replace(final_path)
    sync_folder(final_path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """The same bytes under a second name, without taking room where the disk can do that."""
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """By reflink or inside the kernel, where they exist."""
    with source.open("rb") as reader, target.open("wb") as writer:
        left = os.fstat(reader.fileno()).st_size
        while left > 0 and (
            done := os.copy_file_range(reader.fileno(), writer.fileno(), min(left, 1 << 30))
        ):
            left -= done


def remove_video_files(layout: Layout, video_id: str) -> None:
    """Remove everything of a video from disk; call it after its row says so."""
    for folder in (layout.video(video_id), layout.trashed(video_id)):
        if folder.exists():
            shutil.rmtree(folder)
            sync_folder(folder.parent)


def move_to_trash(layout: Layout, video_id: str) -> None:
    """After ``videos.trash``: out of the way of all that serves files. Harmless when repeated."""
    _move(layout.video(video_id), layout.trashed(video_id))


def move_from_trash(layout: Layout, video_id: str) -> None:
    """Before ``videos.restore``. Harmless when repeated."""
    _move(layout.trashed(video_id), layout.video(video_id))


def _move(source: Path, target: Path) -> None:
    """The folder, or what is in it: a job that ended late may have made the target anew."""
    if not source.exists():
        return
    if target.exists():
        for entry in source.iterdir():
            entry.replace(target / entry.name)
        sync_folder(target)
        source.rmdir()
    else:
        source.rename(target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def settle_trash(layout: Layout) -> None:
    """Finish moves to and from the bin that a crash cut short; the rows say what is right.

    Looks at what is in the bin alone, not at all videos. Folders of nobody are left to
    storage/orphans.py.
    """
    in_bin = {row.public_id for row in Video.select(Video.public_id).where(Video.state == IN_BIN)}
    for video_id in in_bin:
        move_to_trash(layout, video_id)
    for folder in _folders(layout.trash):
        if folder.name in in_bin or not is_id(folder.name):
            continue
        video = Video.get_or_none(Video.public_id == folder.name)
        if video is not None and video.state is not IN_BIN:
            move_from_trash(layout, folder.name)


def remove_original(layout: Layout, video_id: str) -> bool:
    """Remove an original whose row says that it is gone; False: it was gone. Repeatable."""
    removed = False
    for folder in (layout.video(video_id), layout.trashed(video_id)):
        try:
            (folder / layout.original(video_id).name).unlink()
        except FileNotFoundError:
            continue
        sync_folder(folder)
        removed = True
    return removed


def sweep_tmp(layout: Layout) -> list[str]:
    """Remove the work folders of claims that no longer stand; their names.

    A folder is named ``<job>-<fence>``. It goes when that job is not running, or under another
    fence, or its lease has run out: never because another process starts.
    """
    removed = []
    for folder in _folders(layout.tmp):
        job_id, _, fence = folder.name.rpartition("-")
        standing = Job.select().where(
            Job.public_id == job_id,
            Job.fence == (int(fence) if fence.isdecimal() else -1),
            Job.state == JobState.RUNNING,
            Job.lease_boot == boot_id(),
            Job.lease_until >= boottime_s(),
        )
        if not standing.exists():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def _folders(parent: Path) -> list[Path]:
    return [entry for entry in parent.iterdir() if entry.is_dir() and not entry.is_symlink()]
