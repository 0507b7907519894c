"""What keeps and checks backups, as rows: each run, how it ended, and what that says today.

The backups themselves are known by their folder (storage/backups); these rows say who is at it now
and what went wrong. Functions want an open connection, unless they say that they are pure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import events
from appliance.clock import boot_id, now
from appliance.db import transaction
from appliance.models import BackupRun
from appliance.states import RunState, move

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = ("create", "verify", "drill", "prune", "restore")
# A day, and half of one for a machine that was off, or a long run.
LATE_AFTER = timedelta(hours=36)
DRILL_LATE_AFTER = timedelta(days=45)
_KEEP = timedelta(days=400)
_CUT_SHORT = "It was ended before it was done: the process or the machine stopped. Start it again."


@dataclass(frozen=True)
class Latest:
    """The newest of each kind that matters; None: there was none.

    ``backup_failed`` and ``drill_failed`` are set only while nothing newer went well.
    """

    backup: BackupRun | None = None
    backup_failed: BackupRun | None = None
    drill: BackupRun | None = None
    drill_failed: BackupRun | None = None
    verified: BackupRun | None = None
    verify_failed: BackupRun | None = None


def begin(kind: str, name: str = "", **info: Any) -> BackupRun:
    """A run of this process, from now on."""
    assert kind in KINDS
    with transaction():
        settle_dead()
        BackupRun.delete().where(BackupRun.started_at < now() - _KEEP).execute()
        run = BackupRun.create(
            kind=kind,
            name=name,
            pid=os.getpid(),
            boot_id=boot_id(),
            info={**info, "pid_started": _started(os.getpid())},
        )
        _tell(run, RunState.RUNNING)
    return run


def report(run: BackupRun, stage: str, fraction: float) -> None:
    """For the page: how far it is."""
    run.info = {**run.info, "stage": stage, "progress": round(fraction, 4)}
    BackupRun.update(info=run.info).where(
        BackupRun.id == run.id, BackupRun.state == RunState.RUNNING
    ).execute()


def complete(run: BackupRun, name: str = "", **info: Any) -> None:
    _end(run, RunState.COMPLETED, name or run.name, None, info)


def fail(run: BackupRun, error: str, **info: Any) -> None:
    """``error``: a sentence for people."""
    _end(run, RunState.FAILED, run.name, error, info)


def _end(run: BackupRun, state: RunState, name: str, error: str | None, info: Any) -> None:
    run.info = {**run.info, **info}
    columns = {"name": name, "error": error, "finished_at": now(), "info": run.info}
    with transaction():
        if move(BackupRun, run.id, RunState.RUNNING, state, **columns):
            run.name = name
            _tell(run, state)


def _tell(run: BackupRun, state: RunState) -> None:
    events.record(
        f"backup.{state}",
        f"backup:{run.id}",
        admins_only=True,
        kind=run.kind,
        name=run.name,
        progress=run.info.get("progress"),
    )


def settle_dead() -> int:
    """Runs of processes that are no more have failed; how many."""
    dead = [
        run
        for run in BackupRun.select().where(BackupRun.state == RunState.RUNNING)
        if not _lives(run)
    ]
    for run in dead:
        fail(run, _CUT_SHORT)
    return len(dead)


def _lives(run: BackupRun) -> bool:
    if run.boot_id != boot_id():
        return False
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but there
    began, seen = run.info.get("pid_started"), _started(run.pid)
    return not began or not seen or began == seen  # numbers of processes come again


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" where that can't be seen. Source: proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def running() -> list[BackupRun]:
    """What is under way; the first is the oldest."""
    settle_dead()
    query = BackupRun.select().where(BackupRun.state == RunState.RUNNING)
    return list(query.order_by(BackupRun.id))


def newest() -> list[BackupRun]:
    """Of each kind and each end the newest run: what ``latest`` wants. Settles what is dead."""
    settle_dead()
    numbers = BackupRun.select(fn.MAX(BackupRun.id)).group_by(BackupRun.kind, BackupRun.state)
    return list(BackupRun.select().where(BackupRun.id.in_(numbers)))


def latest(runs: Iterable[BackupRun]) -> Latest:
    """Pure: what ``newest()`` says."""
    good: dict[str, BackupRun] = {}
    bad: dict[str, BackupRun] = {}
    for run in sorted(runs, key=lambda run: run.id or 0):
        if run.state is RunState.COMPLETED:
            good[run.kind] = run
            bad.pop(run.kind, None)
        elif run.state is RunState.FAILED:
            bad[run.kind] = run
    return Latest(
        backup=good.get("create"),
        backup_failed=bad.get("create"),
        drill=good.get("drill"),
        drill_failed=bad.get("drill"),
        verified=good.get("verify"),
        verify_failed=bad.get("verify"),
    )


def is_late(found: Latest, *, expected_since: datetime | None, at: datetime) -> bool:
    """Pure: whether the last good backup is too old.

    ``expected_since``: when backups began to be expected (the first start of an installed box, or
    the first scheduled run); None: nobody has asked for them, so they can't be late.
    """
    if expected_since is None:
        return False
    last = found.backup.finished_at if found.backup is not None else None
    return at - max(last or expected_since, expected_since) > LATE_AFTER


def scheduled_since() -> datetime | None:
    """When a timer made its first backup here; None: never yet."""
    query = BackupRun.select().where(BackupRun.kind == "create").order_by(BackupRun.id)
    for run in query:
        if run.info.get("scheduled"):
            return run.started_at
    return None
