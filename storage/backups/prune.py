"""Remove backups: those that the policy no longer keeps, or those that somebody names.

The folder of a backup goes first, by one rename; then the objects that no manifest names any more.
Killed in between, what is left are objects of nobody, which the next run removes.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from appliance.durable import sync_folder
from appliance.errors import NotFound
from storage.backups import format
from storage.backups.create import no_progress
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged
from storage.backups.keeping import Keep, superfluous

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from appliance.settings import Settings
    from storage.backups.create import Progress

_SHELF = re.compile(r"[0-9a-f]{2}")


@dataclass
class Pruned:
    """``freed_bytes`` counts what no other name holds. ``unread``: backups whose manifest can't be
    read, because of which no object was removed."""

    removed: list[str] = field(default_factory=list)
    kept: int = 0
    objects: int = 0
    freed_bytes: int = 0
    unread: list[str] = field(default_factory=list)


def choose(folder: BackupFolder, keep: Keep, settings: Settings) -> list[str]:
    """What the policy would remove. Damaged backups stay: a person should look at them first."""
    made: dict[str, datetime] = {}
    for manifest in folder.manifests():
        made[manifest.name] = manifest.created_at
    return superfluous(made, keep, ZoneInfo(settings.team_time_zone))


def require(folder: BackupFolder, names: Iterable[str]) -> None:
    """Raises NotFound."""
    for name in names:
        if not folder.set_folder(name).is_dir():
            raise NotFound(f"There is no backup “{name}” in {folder.root}.")


def prune(
    settings: Settings,
    keep: Keep,
    *,
    names: list[str] | None = None,
    progress: Progress = no_progress,
) -> Pruned:
    """By the policy, or ``names`` alone. Raises NotFound, Conflict."""
    folder = BackupFolder(settings.backups)
    require(folder, names or ())
    if not folder.sets.is_dir():
        return Pruned()
    with folder.locked(alone=True):
        folder.clean_up()
        done = Pruned(removed=choose(folder, keep, settings) if names is None else names)
        for number, name in enumerate(done.removed):
            progress("Removing backups", 0.5 * number / len(done.removed))
            _remove(folder, name)
        done.kept = len(folder.names())
        _collect(folder, done, progress)
        return done


def _remove(folder: BackupFolder, name: str) -> None:
    aside = folder.tmp / f"gone-{name}"
    folder.set_folder(name).rename(aside)
    sync_folder(folder.sets)
    # A link to a backup elsewhere: the backup stays.
    aside.unlink() if aside.is_symlink() else shutil.rmtree(aside)
    sync_folder(folder.tmp)


def _collect(folder: BackupFolder, done: Pruned, progress: Progress) -> None:
    """Objects that no manifest names; none while there is one that can't be read."""
    named: set[str] = set()
    for name in folder.names():
        try:
            named.update(entry.sha256 for entry in folder.manifest(name).files)
        except BackupDamaged:
            done.unread.append(name)
    if done.unread:
        return
    with os.scandir(folder.objects) as shelves:
        for number, shelf in enumerate(sorted(shelves, key=lambda shelf: shelf.name)):
            if not _SHELF.fullmatch(shelf.name) or not shelf.is_dir(follow_symlinks=False):
                continue  # what a file manager or another program has left is not ours to remove
            progress("Removing files of no backup", 0.5 + 0.5 * min(1.0, number / 256))
            with os.scandir(shelf.path) as entries:
                for entry in entries:
                    if not format.is_digest(entry.name) or entry.name in named:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        continue
                    about = entry.stat(follow_symlinks=False)
                    os.unlink(entry.path)
                    done.objects += 1
                    done.freed_bytes += about.st_size if about.st_nlink == 1 else 0
    folder.note_damaged((), mended=folder.damaged() - named)
