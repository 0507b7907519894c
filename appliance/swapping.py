"""Put another database in the place of ours while nothing runs, and keep ours aside.

It works on a full disk, and may be cut short anywhere and done again: the files get new names and
are not copied, there is a database all the time, and the log (``-wal``) goes with the one that it
belongs to.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from appliance.durable import sync_file, sync_folder
from appliance.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def swap_database(path: Path, backup: Path, aside: Path) -> None:
    """``backup`` becomes the database at ``path``; what was there becomes ``aside``.

    The backup stays, unless the disk has no room for a second one and it lies beside: then it
    itself moves. Raises SettingsError when the backup is damaged or missing; nothing was changed.
    """
    if not backup.exists():
        if aside.exists() and path.exists():
            return  # moved by the run that was cut short
        raise SettingsError(f"The backup {backup} is gone.")
    _require_whole(backup)
    fresh = path.with_name(f"{path.name}.restoring")
    fresh.unlink(missing_ok=True)
    try:
        shutil.copyfile(backup, fresh)
        sync_file(fresh)
    except OSError:
        fresh.unlink(missing_ok=True)
        if backup.stat().st_dev != path.parent.stat().st_dev:
            raise
        fresh = backup
    if path.exists():
        os.chmod(fresh, path.stat().st_mode & 0o777)
    if aside.exists() and not _are_same(path, aside):
        # By a run that was cut short: what is there now is the backup, perhaps with a log by now,
        # which must not come to the other database.
        _log_of(path).unlink(missing_ok=True)
    else:
        # The log first: a database without it is whole, only older; a log without it is nothing.
        _move_away(_log_of(path), _log_of(aside))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    if path.exists() and not aside.exists():
        _keep_as_well(path, aside)
        sync_folder(aside.parent)
    # In one step: whoever looks meanwhile must not take the box for a new one.
    fresh.replace(path)
    sync_folder(path.parent)


def _are_same(path: Path, aside: Path) -> bool:
    return path.exists() and path.samefile(aside)


def _move_away(path: Path, aside: Path) -> None:
    """Once: what lies there after a run that was cut short is the right one."""
    if not path.exists():
        return
    if not aside.exists():
        _keep_as_well(path, aside)
        sync_folder(aside.parent)
    path.unlink()


def _keep_as_well(path: Path, aside: Path) -> None:
    """The same file by a second name; where that is on another disk, whole or not at all."""
    try:
        os.link(path, aside)
    except OSError:
        part = aside.with_name(f"{aside.name}.part")
        shutil.copyfile(path, part)
        shutil.copymode(path, part)
        sync_file(part)
        part.replace(aside)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _require_whole(backup: Path) -> None:
    try:
        # immutable: a look leaves no log beside it.
        with closing(sqlite3.connect(f"file:{backup}?immutable=1", uri=True)) as db:
            verdict = db.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as exc:
        verdict = str(exc)
    if verdict != "ok":
        raise SettingsError(f"The backup {backup} is damaged ({verdict}); it was not used.")
