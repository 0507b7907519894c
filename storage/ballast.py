"""A few megabytes that are given up when the disk has not a byte left.

Deleting must work then, of all things, and the database needs a little room to write down that
something was deleted.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, TypeVar

import peewee

from appliance.db import is_full as is_full_database
from storage.media import free_bytes, is_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings
    from storage.layout import Layout

log = logging.getLogger(__name__)

T = TypeVar("T")

# A transaction that deletes a video with all its rows writes less than one.
BALLAST_BYTES = 4 * 1024**2


def take_on(settings: Settings, layout: Layout) -> bool:
    """Lay the ballast in, when it is missing and there is room again; whether it is there."""
    if layout.ballast.exists():
        return True
    if free_bytes(layout.data) - settings.reserve_bytes() < 2 * BALLAST_BYTES:
        return False
    aside = layout.ballast.with_suffix(".new")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(handle, 0, BALLAST_BYTES)
        finally:
            os.close(handle)
        aside.replace(layout.ballast)
    except OSError as exc:
        aside.unlink(missing_ok=True)
        log.warning("The ballast could not be laid in: %s.", exc)
        return False
    return True


def drop(layout: Layout) -> bool:
    """Give it up; False: it was given up before."""
    try:
        layout.ballast.unlink()
    except FileNotFoundError:
        return False
    log.warning("The disk is full: the ballast was given up, so that things can be deleted.")
    return True


def is_full_for(error: OSError | peewee.OperationalError) -> bool:
    """Whether something failed for want of room, be it a file or the database."""
    return is_full(error) if isinstance(error, OSError) else is_full_database(error)


def although_full(layout: Layout, work: Callable[[], T]) -> T:
    """``work``, once more without the ballast when the disk had no room for it.

    For what frees room; ``work`` must be repeatable.
    """
    try:
        return work()
    except (OSError, peewee.OperationalError) as exc:
        if not is_full_for(exc) or not drop(layout):
            raise
    return work()
