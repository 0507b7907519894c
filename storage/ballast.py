"""A few megabytes that are given up when the disk has not a byte left.

Deleting must work then, of all things, and the database needs a little room to write down that
something was deleted. Whoever deletes has to come in first, and that is written down, too: for that
there is a piece of its own, so that sign-ins, however many, leave the other to those who delete.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from typing import TYPE_CHECKING, TypeVar

import peewee

from appliance.db import is_full as is_full_database
from appliance.durable import is_full
from storage.media import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout

log = logging.getLogger(__name__)

T = TypeVar("T")

# A transaction that deletes a video with all its rows writes less than one.
BALLAST_BYTES = 4 * 1024**2
DOOR_BYTES = 1024**2  # some twenty sign-ins


def take_on(settings: Settings, layout: Layout) -> bool:
    """Lay in what is missing, when there is room again; whether all of it is there."""
    wanted = {layout.door: DOOR_BYTES, layout.ballast: BALLAST_BYTES}
    missing = {path: size for path, size in wanted.items() if not path.exists()}
    if missing and free_bytes(layout.data) - settings.reserve_bytes() < 2 * sum(wanted.values()):
        return False
    return all(_lay_in(path, size) for path, size in missing.items())


def _lay_in(path: Path, size_bytes: int) -> bool:
    aside = path.with_name(f"{path.name}.new")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size_bytes)
        finally:
            os.close(handle)
        aside.replace(path)
    except OSError as exc:
        aside.unlink(missing_ok=True)
        log.warning("The ballast could not be laid in: %s.", exc)
        return False
    return True


def drop(piece: Path) -> bool:
    """Give it up; False: it was given up before."""
    try:
        piece.unlink()
    except FileNotFoundError:
        return False
    log.warning("The disk is full: %s was given up, so that things can be deleted.", piece.name)
    return True


def is_full_for(error: OSError | sqlite3.OperationalError | peewee.OperationalError) -> bool:
    """Whether something failed for want of room, be it a file or the database."""
    return is_full(error) if isinstance(error, OSError) else is_full_database(error)


def although_full(layout: Layout, work: Callable[[], T]) -> T:
    """``work``, once more without the ballast when the disk had no room for it.

    For what frees room; ``work`` must be repeatable.
    """
    return _without(work, layout.ballast, layout.door)


def come_in_although_full(layout: Layout, work: Callable[[], T]) -> T:
    """The same for a sign-in: what deleting needs stays."""
    return _without(work, layout.door)


def _without(work: Callable[[], T], *pieces: Path) -> T:
    while True:
        try:
            return work()
        except (OSError, peewee.OperationalError) as exc:
            # The next that is still there, or no way is left.
            if not is_full_for(exc) or not any(map(drop, pieces)):
                raise
