"""Other data in the place of that in use, by renames that a crash can't spoil.

What is to come lies complete in a folder beside. Then ``switch.json`` is written: from that moment
the new data is the box's, whatever happens, and whoever starts next carries the renames out before
anything is opened. Before that moment nothing has changed. Repeating ``finish`` does no harm.
The old data is kept in ``before-restore-TIME/`` until somebody removes it.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.durable import sync_folder, write_durably
from appliance.errors import SettingsError
from storage.backups import format
from storage.orphans import Amount, measure

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

ASIDE = "restoring"
_JOURNAL = "switch.json"
_OLD = "before-restore-"
# The logs go first: a database must never stand beside the log of another.
NAMES = (
    "appliance.db-wal",
    "appliance.db-shm",
    "queue.db",
    "queue.db-wal",
    "queue.db-shm",
    "tmp",
    "uploads",
    "trash",
    "media",
    "appliance.db",
)


def commit(data: Path, new: str) -> None:
    """From now on the data in the folder ``new`` of ``data`` is the box's. It must be durable."""
    old = _OLD + format.new_name(now(), [name.removeprefix(_OLD) for name in kept(data)])
    (data / old).mkdir(mode=0o700)
    names = [name for name in NAMES if os.path.lexists(data / new / name)]
    sync_folder(data)
    plan = {"new": new, "old": old, "names": names}
    write_durably(data / _JOURNAL, json.dumps(plan).encode())


def is_due(data: Path) -> bool:
    """Whether data waits to take its place; then nothing may be opened before ``finish``."""
    return (data / _JOURNAL).exists()


def finish(data: Path) -> str:
    """Carry out what was committed; the name of the folder with the old data, "" if nothing was.

    Only where nobody else has the data open (in_use.py). Raises OSError, and then may be repeated.
    """
    try:
        plan = json.loads((data / _JOURNAL).read_bytes())
        new, old, names = data / plan["new"], data / plan["old"], set(plan["names"])
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError) as exc:
        raise SettingsError(
            f"{data / _JOURNAL} can't be read, so it isn't known which data is the box's. Look at "
            "docs/backups.md, “When a restore was cut short”."
        ) from exc
    old.mkdir(mode=0o700, exist_ok=True)  # somebody may have removed what is kept just now
    for name in NAMES:
        if name in names:
            if os.path.lexists(new / name):
                if os.path.lexists(data / name):
                    (data / name).rename(old / name)
                (new / name).rename(data / name)
        elif os.path.lexists(data / name) and not os.path.lexists(old / name):
            (data / name).rename(old / name)
    for folder in (old, new, data):
        if folder.exists():
            sync_folder(folder)
    (data / _JOURNAL).unlink()
    sync_folder(data)
    shutil.rmtree(new, ignore_errors=True)
    with suppress(OSError):
        old.rmdir()  # a new box had nothing to keep
    return old.name if old.exists() else ""


def kept(data: Path) -> list[str]:
    """The folders with data from before a restore, the oldest first."""
    with suppress(FileNotFoundError):
        return sorted(
            name
            for name in os.listdir(data)
            if name.startswith(_OLD) and format.is_name(name.removeprefix(_OLD))
        )
    return []


def kept_since(name: str) -> datetime:
    """Until when the data in the folder of that name was the box's."""
    return format.time_of(name.removeprefix(_OLD))


def measure_kept(data: Path) -> Amount:
    """What they take; files that the box still has count, too."""
    return sum((measure(data / name) for name in kept(data)), Amount())


def remove_kept(data: Path) -> list[str]:
    """Remove them for good; their names."""
    names = kept(data)
    for name in names:
        shutil.rmtree(data / name)
    sync_folder(data)
    return names
