"""What can be wrong with a box, looked for one thing at a time: the checks that need rows only.

Each check says what it found, why that matters, and what mends it.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import peewee

from appliance.clock import now
from appliance.db import PRAGMAS, database, open_database
from appliance.durable import sync_folder
from appliance.errors import SettingsError
from appliance.migrate import require_current
from appliance.models import Account, Damage, Event
from appliance.vault import open_vault

if TYPE_CHECKING:
    from appliance.settings import Settings

OLDEST_PYTHON = (3, 11)
# What SQLite answers for what we asked. Source: sqlite.org/pragma.html#pragma_synchronous
_EXPECTED_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "busy_timeout": PRAGMAS["busy_timeout"],
}
# Where an installed box keeps its secrets, for systemd to hand to the services.
SEALED = Path("/etc/appliance/credentials")
# The first version is not older: a clock before that was never set.
_BEFORE_US = datetime(2026, 1, 1, tzinfo=UTC)


class Verdict(StrEnum):
    GOOD = "good"
    NOTE = "note"  # works, but you should know
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """``mend``: what to do; "" when all is well."""

    check: str
    verdict: Verdict
    found: str
    why: str
    mend: str = ""


def finding(check: str, why: str, found: str, *, bad: str = "", note: str = "") -> Finding:
    """``bad`` or ``note`` is what mends it; neither: all is well."""
    if bad:
        return Finding(check, Verdict.BAD, found, why, bad)
    return Finding(check, Verdict.NOTE if note else Verdict.GOOD, found, why, note)


def check_python(settings: Settings) -> Finding:
    old = sys.version_info < OLDEST_PYTHON
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return finding(
        "Python",
        "The appliance is written for it.",
        platform.python_version(),
        bad=f"Install Python {wanted} or newer." if old else "",
    )


def check_data_folder(settings: Settings) -> Finding:
    check, why = "Data folder", "Everything is kept there, and must survive a power cut."
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        try_writing(settings.data)
    except OSError as exc:
        mend = (
            f"Make {settings.data} a folder that this user may write to, on a disk with room, "
            "or set APPLIANCE_DATA."
        )
        return finding(check, why, f"{settings.data}: {exc.strerror}", bad=mend)
    apart = folders_elsewhere(settings.data)
    if apart:
        mend = (
            "Keep the whole data folder on one file system: finished files are moved, not copied."
        )
        return finding(check, why, f"{', '.join(apart)} on another file system", bad=mend)
    if settings.data.stat().st_mode & 0o007:
        mend = f"Run `chmod o= {settings.data}`: other users of this machine can look inside."
        return finding(check, why, f"{settings.data} is open to everybody", note=mend)
    return finding(check, why, f"{settings.data}, written and synced")


def try_writing(folder: Path) -> None:
    """Write, sync, rename, sync the folder, as every upload does. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=".doctor-", dir=folder)
    try:
        os.write(handle, b"doctor")
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.rename(name, f"{name}-renamed")
        name = f"{name}-renamed"
        sync_folder(folder)
    finally:
        os.unlink(name)


def folders_elsewhere(data: Path) -> list[str]:
    """Names of folders in ``data`` that are on another file system."""
    device = data.stat().st_dev
    names = ("uploads", "media", "trash", "tmp")
    return [
        name for name in names if (data / name).exists() and (data / name).stat().st_dev != device
    ]


def check_database(settings: Settings) -> Finding:
    check, why = "Database", "All that must be true is kept in it."
    try:
        open_database(settings.database_path)
        require_current(settings)
        with database.connection_context():
            wrong = [
                f"{name} is {value}"
                for name, expected in _EXPECTED_PRAGMAS.items()
                if (value := database.obj.pragma(name)) != expected
            ]
        with closing(sqlite3.connect(settings.database_path)) as db:
            damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            hanging = db.execute("PRAGMA foreign_key_check").fetchone()
    except SettingsError as exc:
        return finding(check, why, "its schema is not this version's", bad=str(exc))
    except (sqlite3.Error, peewee.DatabaseError, OSError) as exc:
        damage, hanging, wrong = str(exc), None, []
    if damage != "ok" or hanging is not None:
        found = damage if damage != "ok" else f"rows of {hanging[0]} belong to nothing"
        mend = "Stop the appliance and restore a backup from before the damage."
        return finding(check, why, found, bad=mend)
    if wrong:
        mend = "Another program has opened it with other settings: stop that program."
        return finding(check, why, ", ".join(wrong), bad=mend)
    return finding(check, why, "whole, migrated, WAL with full sync")


def check_key(settings: Settings) -> Finding:
    check, why = "Credentials key", "It opens the sign-ins of connected accounts."
    if settings.credentials_key is None and SEALED.is_dir():
        # Asking for it here would make another, which nobody wants.
        return finding(check, why, "given to the services alone; “Check now” looks at it")
    try:
        vault = open_vault(settings)
        with database.connection_context():
            sealed = [row.credentials for row in Account.select() if row.credentials]
    except SettingsError as exc:
        return finding(check, why, str(exc), bad="Give it the key that it had before.")
    foreign = sum(not text.startswith(f"{vault.key_id}:") for text in sealed)
    if foreign:
        mend = "Restore the key that they were saved with, or connect these accounts again."
        return finding(check, why, f"{foreign} account(s) were sealed with another", bad=mend)
    where = "in secret.key" if settings.credentials_key is None else "from the settings"
    return finding(check, why, f"{where}, opens all {len(sealed)} sign-ins")


def check_clock(settings: Settings) -> Finding:
    check, why = "Clock", "Posts go out and links end by it."
    at = now()
    with database.connection_context():
        newest = Event.select(Event.at).order_by(Event.at.desc()).limit(1).scalar()
    found = f"{at:%Y-%m-%d %H:%M} UTC"
    if at < _BEFORE_US or (newest is not None and newest > at + timedelta(minutes=1)):
        mend = "Set the clock, and keep it right with NTP (`timedatectl set-ntp true`)."
        return finding(check, why, f"{found}, earlier than what was recorded already", bad=mend)
    return finding(check, why, found)


def check_files(settings: Settings) -> Finding:
    check, why = "Files", "Each video has the files that its rows name, of the right size."
    with database.connection_context():
        damaged = Damage.select().count()
        mending = Damage.select().where(Damage.mending).count()
    if damaged == 0:
        return finding(check, why, "as they should be, when they were last looked at")
    found = f"{damaged} files are missing or damaged"
    if damaged == 1:
        found = "1 file is missing or damaged"
    if mending == damaged:
        return finding(check, why, found, note="Nothing: they are being made anew.")
    mend = "Open the Storage page: it lists them. Restore them from a backup, or upload them again."
    return finding(check, why, found, bad=mend)


CHECKS = (check_python, check_data_folder, check_database, check_key, check_clock, check_files)
