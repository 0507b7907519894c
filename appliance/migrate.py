"""Bring the database to the newest schema: numbered scripts, a verified backup first.

The scripts in ``appliance/migrations`` are run by ``playhouse.migrations``, each in a
transaction, and are never edited once released.
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playhouse.migrations import Runner

from appliance.clock import now
from appliance.db import database, learn_sizes
from appliance.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

FOLDER = Path(__file__).parent / "migrations"


class _Runner(Runner):  # type: ignore[misc]  # playhouse has no types
    """The library's, with a look at the foreign keys before the commit: they are off meanwhile."""

    def __init__(self) -> None:
        super().__init__(database.obj, directory=str(FOLDER))

    def _run(self, name: str, module: Any, direction: str, fake: bool = False) -> None:
        with self.migrator.migration_context():
            getattr(module, direction)(self.migrator, self.database)
            self.History.create(name=name)
            hanging = self.database.execute_sql("PRAGMA foreign_key_check").fetchone()
            if hanging is not None:
                raise SettingsError(
                    f"The migration {name} would leave rows of “{hanging[0]}” without those of "
                    f"“{hanging[2]}” that they belong to; nothing was changed."
                )


def migrate(settings: Settings, *, backed_up: bool = False) -> list[str]:
    """Apply what is pending; the names of what was applied. The database must be bound, not open.

    Safe to call from several processes at once: one works, the others wait. ``backed_up``: the
    caller has a backup. Raises SettingsError when the database is newer than this program.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(settings.data / "migrate.lock"), database.connection_context():
        runner = _Runner()
        applied, pending = _compare(runner)
        if pending and applied and not backed_up:
            back_up(settings, before=pending[0])
        done = list(runner.up()) if pending else []
        if done and applied:
            learn_sizes()
        return done


def require_current(settings: Settings) -> None:
    """Make the tables of a new box; leave another as it is, if it has this program's schema.

    Raises SettingsError when it has not.
    """
    with database.connection_context():
        applied, pending = _compare(_Runner())
    if not applied:
        migrate(settings)
    elif pending:
        raise SettingsError(
            "The database is older than this program. Run `appliance migrate` first; it makes a "
            "backup."
        )


def schema_of(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Of a database, and without touching it: the scripts that were applied, those that wait,
    and those of the former that this program doesn't know. A missing file has none applied.
    """
    known = {file.stem for file in FOLDER.glob("[0-9]*.py")}
    applied: set[str] = set()
    if path.exists():
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            try:
                rows = db.execute("SELECT name FROM schema_migration")
            except sqlite3.OperationalError as exc:
                if "no such table" not in str(exc):
                    raise
            else:
                applied = {name for (name,) in rows}
    return sorted(applied), sorted(known - applied), sorted(applied - known)


def _compare(runner: _Runner) -> tuple[set[str], list[str]]:
    """The names of the scripts that were applied, and of those that wait, in order."""
    known = {migration.name for migration in runner.migrations()}
    applied = set(runner.applied())
    if newer := sorted(applied - known):
        raise SettingsError(
            f"The database was written by a newer version (it knows {newer[-1]}). "
            "Install that version, or restore a backup from before the upgrade."
        )
    return applied, sorted(known - applied)


def back_up(settings: Settings, *, before: str) -> Path:
    """Copy the database while it is in use and check the copy; its path."""
    folder = settings.data / "backups"
    folder.mkdir(exist_ok=True)
    at = now()
    # Also where the clock was set back: what lies there may be somebody's way back.
    while any(folder.glob(f"before-{before}-{at:%Y%m%dT%H%M%SZ}*")):
        at += timedelta(seconds=1)
    target = folder / f"before-{before}-{at:%Y%m%dT%H%M%SZ}.db"
    with (
        closing(sqlite3.connect(settings.database_path)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise SettingsError(f"The backup {target} is damaged ({verdict}); nothing was migrated.")
    return target


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
