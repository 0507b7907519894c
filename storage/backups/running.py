"""The verbs, each written down as a run: what commands, jobs and pages call.

None of them wants a connection; none is held while files are read.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import peewee

from appliance import backup_runs, kept
from appliance.db import database
from appliance.errors import ApplianceError, NotFound
from storage import usage
from storage.backups import keys
from storage.backups.create import create, no_progress
from storage.backups.drill import drill
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged
from storage.backups.prune import prune
from storage.backups.verify import say, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.models import BackupRun
    from appliance.settings import Settings
    from storage.backups.create import Made, Progress
    from storage.backups.drill import Drilled
    from storage.backups.prune import Pruned
    from storage.backups.verify import Verdict

_REPORT_EVERY_S = 1.0
_PROBLEMS_KEPT = 50
_STOPPED = "It was stopped before it was done."


class _Run:
    """One run: its row, and the reports that go there beside those that the caller wants."""

    def __init__(self, kind: str, name: str, also: Progress, **info: Any) -> None:
        self._also = also
        self._told_s = -_REPORT_EVERY_S
        with database.connection_context():
            self.row: BackupRun = backup_runs.begin(kind, name, **info)

    def progress(self, stage: str, fraction: float) -> None:
        self._also(stage, fraction)
        now_s = time.monotonic()
        if now_s - self._told_s >= _REPORT_EVERY_S:
            self._told_s = now_s
            try:
                with database.connection_context():
                    backup_runs.report(self.row, stage, fraction)
            except peewee.OperationalError:
                pass  # busy or full: the next report says more

    def end(self, done: Callable[[], None]) -> None:
        with database.connection_context():
            done()

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        told = error.message if isinstance(error, ApplianceError) else _STOPPED
        if isinstance(error, OSError):
            told = f"{error.filename or 'A file'}: {error.strerror}."
        problems = error.problems[:_PROBLEMS_KEPT] if isinstance(error, BackupDamaged) else []
        # On a full disk the row is settled at the next look, when this process is gone.
        with suppress(peewee.OperationalError):
            self.end(lambda: backup_runs.fail(self.row, told, problems=problems))


def run_create(
    settings: Settings, *, scheduled: bool = False, progress: Progress = no_progress
) -> Made:
    """Raises as ``create``."""
    with database.connection_context():
        key = keys.known_key()
        before = backup_runs.latest(backup_runs.newest()).backup
    where = str(settings.backups)
    with _Run("create", "", progress, scheduled=scheduled, folder=where) as run:
        if before is not None and before.info.get("folder") == where:
            _require_disk(settings)
        made = create(settings, key.verifier if key is not None else None, run.progress)
        info: dict[str, Any] = {**asdict(made), "problems": made.problems[:_PROBLEMS_KEPT]}
        run.end(lambda: backup_runs.complete(run.row, info.pop("name"), **info))
    note_room(settings)
    return made


def _require_disk(settings: Settings) -> None:
    """Where a disk isn't mounted there is a folder all the same, on the disk below it."""
    sets = BackupFolder(settings.backups).sets
    if not sets.is_dir():
        raise NotFound(
            f"The backups that were made in {settings.backups} are gone: its disk may not be "
            f"mounted. Mount it. If all shall begin anew there, make the folder {sets}.",
            code="backups_gone",
        )


def run_verify(
    settings: Settings, name: str, *, quick: bool = False, progress: Progress = no_progress
) -> Verdict:
    """Raises as ``verify``."""
    with _Run("verify", name, progress, quick=quick) as run:
        found = verify(BackupFolder(settings.backups), name, quick=quick, progress=run.progress)
        info: dict[str, Any] = {
            "files": found.files,
            "read_bytes": found.read_bytes,
            "problems": found.problems[:_PROBLEMS_KEPT],
        }
        if found.is_good:
            run.end(lambda: backup_runs.complete(run.row, **info))
        else:
            error = f"The backup {name} is damaged: {say(found.problems)}."
            run.end(lambda: backup_runs.fail(run.row, error, **info))
    return found


def run_drill(settings: Settings, name: str = "", progress: Progress = no_progress) -> Drilled:
    """Raises as ``drill``."""
    with _Run("drill", name, progress) as run:
        found = drill(settings, name, run.progress)
        info = {**asdict(found), "problems": found.problems[:_PROBLEMS_KEPT]}
        info.pop("name")
        run.row.name = found.name
        if found.problems:
            error = f"The backup {found.name} can't be restored: {say(found.problems)}."
            run.end(lambda: backup_runs.fail(run.row, error, **info))
        else:
            run.end(lambda: backup_runs.complete(run.row, found.name, **info))
    return found


def run_prune(
    settings: Settings, *, names: list[str] | None = None, progress: Progress = no_progress
) -> Pruned:
    """By the policy, or ``names`` alone. Raises as ``prune``."""
    with database.connection_context():
        keep = keys.keeping(settings).keep
    with _Run("prune", ", ".join(names or ()), progress) as run:
        done = prune(settings, keep, names=names, progress=run.progress)
        run.end(lambda: backup_runs.complete(run.row, **asdict(done)))
    note_room(settings)
    return done


def note_room(settings: Settings) -> None:
    """For the Storage page: what the files take that only backups have."""
    found = usage.count_objects(settings)
    with suppress(peewee.OperationalError), database.connection_context():
        kept.write(usage.BACKUPS, asdict(found))
