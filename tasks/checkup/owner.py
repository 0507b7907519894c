"""Root looks as the user that the data belongs to: what it makes there must not be root's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def become_owner(data: Path) -> None:
    """For good. Nothing for others than root, for a box that is root's, or one that isn't there.

    A ``-wal`` of root's beside the database would keep the box itself from writing.
    """
    if os.geteuid() != 0 or not data.exists():
        return
    found = data.stat()
    if found.st_uid == 0:
        return
    os.setgroups(_journal_group())
    os.setgid(found.st_gid)
    os.setuid(found.st_uid)


def _journal_group() -> list[int]:
    """So that the logs can still be read (the diagnostics bundle)."""
    import grp

    try:
        return [grp.getgrnam("systemd-journal").gr_gid]
    except KeyError:
        return []
