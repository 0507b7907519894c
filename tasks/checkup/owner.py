"""Root looks as the user that the data belongs to: what it makes there must not be root's."""

from __future__ import annotations

import grp
import os
import pwd
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
    os.setgroups(_group_of_journal())
    # Not the folder's group: that one is the proxy's, which reads media and nothing else.
    os.setgid(_group_of(found.st_uid, found.st_gid))
    os.setuid(found.st_uid)


def _group_of(user: int, otherwise: int) -> int:
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return otherwise


def _group_of_journal() -> list[int]:
    """So that the logs can still be read (the diagnostics bundle)."""
    try:
        return [grp.getgrnam("systemd-journal").gr_gid]
    except KeyError:
        return []
