"""Gathers the bundle. What can't be asked from here says why; nothing of it stops the rest."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import sqlite3
import sys
import zipfile
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

import peewee
from pydantic import SecretStr

from appliance import __version__, job_stats, queue_lag
from appliance.clock import boottime_s, now
from appliance.db import database
from appliance.models import ALL, Alert, BackupRun, Heartbeat, Job
from appliance.states import JobState
from tasks.alerting import disk_history
from tasks.checkup import system
from tasks.checkup import task as checkup
from tasks.diagnostics.scrub import names_of_people, scrub, scrub_all, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.doctor import Finding
    from appliance.settings import Settings

LOG_LINES = 2000
_README = """\
Diagnostics of a Media Appliance.

Passwords, tokens, keys, addresses that let somebody in, mail addresses, and what people typed are
taken out, rather too much than too little. Look into the files before you send them all the same.
"""
# The services that make bundles may not read what all programs of the machine have logged.
_NO_LOGS = """\
There are no logs in this bundle, because the journal can't be read from here ({}).

On the box, `sudo appliance diagnostics` writes a bundle that has them.
"""
_NOT_CHECKED = "Press Check now on the System page, or run `sudo appliance doctor` on the box."


def file_name() -> str:
    return f"appliance-diagnostics-{now():%Y%m%d-%H%M}.zip"


def make(settings: Settings, findings: Iterable[Finding] | None = None) -> bytes:
    """The zip. ``findings`` None: those of the last "Check now". No connection must be open."""
    with _connected():
        words = [*secrets_of(settings), *_try(names_of_people, [])]
        texts = {
            "README.txt": _README,
            "logs.txt": scrub(_logs(), words),
            **{
                f"{name}.json": _json(part, words)
                for name, part in _parts(settings, findings).items()
            },
        }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in texts.items():
            bundle.writestr(name, text)
    return written.getvalue()


def _connected() -> Any:
    """Also for a box whose database is broken: the more somebody needs this."""
    return database.connection_context()


def _json(part: Callable[[], Any], words: list[str]) -> str:
    plain = json.loads(json.dumps(_try(part, None), default=str))
    return json.dumps(scrub_all(plain, words), indent=2, ensure_ascii=False)


def _try(part: Callable[[], Any], instead: Any) -> Any:
    try:
        return part()
    except (peewee.PeeweeException, sqlite3.Error, OSError, system.CannotAsk, ValueError) as exc:
        return {"missing": f"{type(exc).__name__}: {exc}"} if instead is None else instead


def _parts(settings: Settings, findings: Iterable[Finding] | None) -> dict[str, Callable[[], Any]]:
    return {
        "versions": _versions,
        "settings": lambda: _settings(settings),
        "doctor": lambda: _findings(findings),
        "units": lambda: [asdict(unit) for unit in system.units()],
        "processes": _processes,
        "jobs": _jobs,
        "queues": lambda: [asdict(lag) for lag in queue_lag.measure()],
        "database": lambda: _database(settings),
        "disk": lambda: _disk(settings),
        "backups": _backups,
        "alerts": _alerts,
    }


def _versions() -> dict[str, Any]:
    return {
        "appliance": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {d.name: d.version for d in metadata.distributions()},
        "made_at": now().isoformat(),
        "machine_up_s": round(boottime_s()),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
    }


def _settings(settings: Settings) -> dict[str, Any]:
    """Secrets by whether they are set."""
    return {
        name: "set" if isinstance(value := getattr(settings, name), SecretStr) else value
        for name in type(settings).model_fields
    }


def _findings(findings: Iterable[Finding] | None) -> dict[str, Any]:
    if findings is not None:
        return {"at": now().isoformat(), "findings": [asdict(each) for each in findings]}
    at, kept = checkup.last()
    found = {"at": at or "never", "findings": [asdict(each) for each in kept]}
    return found if at else {**found, "mend": _NOT_CHECKED}


def _processes() -> list[dict[str, Any]]:
    return [
        {
            "process": row.process,
            "pid": row.pid,
            "silent_s": round(boottime_s() - row.beat_boottime_s, 1),
            "started_at": row.started_at,
            "info": row.info,
        }
        for row in Heartbeat.select().order_by(Heartbeat.process)
    ]


def _jobs() -> dict[str, Any]:
    """Counts and codes; sentences may name what people brought."""
    failed = Job.state == JobState.FAILED
    codes: Any = (
        Job.select(Job.kind, Job.error_code, peewee.fn.COUNT(Job.id))
        .where(failed)
        .group_by(Job.kind, Job.error_code)
        .tuples()
    )
    return {
        "live": job_stats.live(),
        "ended_in_30_days": {k: asdict(v) for k, v in job_stats.ended_since(30).items()},
        "failed_by_reason": [list(row) for row in codes],
    }


def _database(settings: Settings) -> dict[str, Any]:
    schema: Any = database.execute_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    files = (settings.database_path, settings.queue_path)
    return {
        "sizes": {f.name: f.stat().st_size for f in files if f.exists()},
        "rows": {model.__name__: model.select().count() for model in ALL},
        "pragmas": {
            name: database.execute_sql(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "page_size", "page_count", "freelist_count")
        },
        "quick_check": database.execute_sql("PRAGMA quick_check(1)").fetchone()[0],
        "schema": [row[0] for row in schema],
    }


def _disk(settings: Settings) -> dict[str, Any]:
    used, inodes = shutil.disk_usage(settings.data), os.statvfs(settings.data)
    return {
        "data": used._asdict(),
        "reserve": settings.reserve_bytes(),
        "inodes": {"all": inodes.f_files, "free": inodes.f_favail},
        "free_by_day": {str(day): free for day, free in disk_history.history().items()},
    }


def _backups() -> list[dict[str, Any]]:
    rows = BackupRun.select().order_by(BackupRun.id.desc()).limit(50)
    return [
        {
            "kind": row.kind,
            "state": row.state,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "error": row.error,
        }
        for row in rows
    ]


def _alerts() -> list[dict[str, Any]]:
    rows = Alert.select().order_by(Alert.last_at.desc()).limit(100)
    names = ("key", "state", "first_at", "last_at", "cleared_at", "told_at")
    return [{name: getattr(row, name) for name in names} for row in rows]


def _logs() -> str:
    lines = ("--lines", str(LOG_LINES), "--no-pager", "--output", "short-iso")
    try:
        return system.ask("journalctl", "--quiet", "--unit", "appliance*", *lines)
    except system.CannotAsk as exc:
        return _NO_LOGS.format(exc)
