"""Files that no row names: set aside after a day, and removed for good when the bin would be.

Set aside, not removed at once: after an older database was restored from a backup, they are the
videos that came since. They lie in ``trash/orphans/DAY/`` under the path that they had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.durable import sync_folder
from appliance.ids import is_id
from appliance.models import Upload, Video
from storage.uploads.rows import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.layout import Layout

# Second names that a backup under way gives to files (storage/backups/pinning.py).
PINS = ".pins"
# Younger ones may be about to get their row.
FORGOTTEN_S = 24 * 3600.0
_AT_ONCE = 500


@dataclass(frozen=True)
class Amount:
    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.files + other.files, self.size_bytes + other.size_bytes)


def is_old(path: Path) -> bool:
    """Whether nothing has changed about it for a day: not its bytes, nor its name."""
    try:
        stat = path.lstat()
    except FileNotFoundError:
        return False
    return time.time() - max(stat.st_mtime, stat.st_ctime) > FORGOTTEN_S


def find_orphans(layout: Layout, check: Callable[[], None]) -> list[Path]:
    """What lies in the folders of the box and belongs to no row; strays inside the folders of
    videos are storage/inspection.py's. ``check`` is called now and then. Wants a connection.
    """
    found = []
    for folder in (layout.media, layout.trash):
        for paths in _in_portions(folder):
            check()
            names = [path.name for path in paths if is_id(path.name)]
            known = {
                row.public_id
                for row in Video.select(Video.public_id).where(Video.public_id.in_(names))
            }
            found += [path for path in paths if path.name not in known and is_old(path)]
    for paths in _in_portions(layout.uploads):
        check()
        rows = Upload.select(Upload.public_id).where(
            Upload.public_id.in_([path.name for path in paths]), Upload.state.in_(OPEN)
        )
        known = {row.public_id for row in rows}
        found += [path for path in paths if path.name not in known and is_old(path)]
    # Folders there are work in progress, which has a sweep of its own.
    found += [path for path in layout.tmp.iterdir() if not path.is_dir() and is_old(path)]
    return [path for path in found if path != layout.orphans and path.name != PINS]


def _in_portions(folder: Path) -> Iterator[list[Path]]:
    portion: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            portion.append(Path(entry.path))
            if len(portion) == _AT_ONCE:
                yield portion
                portion = []
    if portion:
        yield portion


def set_aside(layout: Layout, path: Path) -> Amount:
    """Move a file or folder of nobody out of the way; what it takes. A rename: needs no room."""
    amount = measure(path)
    day = layout.orphans / now().date().isoformat()
    target = day / path.relative_to(layout.data)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{path.name}~{number}")
    try:
        path.rename(target)
    except FileNotFoundError:
        return Amount()
    sync_folder(target.parent)
    sync_folder(path.parent)
    return amount


def remove_aside(layout: Layout, *, days: float) -> Amount:
    """Remove for good what was set aside ``days`` days ago or earlier; 0: all of it."""
    gone = Amount()
    if not layout.orphans.is_dir():
        return gone
    limit = now() - timedelta(days=days)
    for folder in list(layout.orphans.iterdir()):
        if days == 0 or _day_of(folder, limit) < limit.date():
            gone += measure(folder)
            shutil.rmtree(folder, ignore_errors=True)
    sync_folder(layout.orphans)
    return gone


def _day_of(folder: Path, otherwise: datetime) -> date:
    try:
        return date.fromisoformat(folder.name)
    except ValueError:
        return otherwise.date()  # not ours; it goes with all the rest, when that is asked for


def measure(path: Path) -> Amount:
    """How many files there are below, and what they take. 0 when there is nothing."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(FileNotFoundError):
            return Amount(1, path.lstat().st_size)
        return Amount()
    total = Amount()
    for root, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Amount(1, Path(root, name).lstat().st_size)
    return total
