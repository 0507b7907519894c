"""What a release does and says when `appliance release` asks it, on behalf of the box's user.

Root runs the activation and never opens the database itself. The words here are what releases of
different versions say to each other: they may gain fields, and lose none.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import peewee

from appliance import __version__, database_copies, heartbeats, posting_switch
from appliance.cli.frame import print_json
from appliance.clock import boottime_s
from appliance.db import database, is_full, open_database
from appliance.doctor import check_data_folder, check_database, check_python
from appliance.errors import ApplianceError, StorageFull
from appliance.migrate import back_up, schema_of
from appliance.migrate import migrate as migrate_database
from appliance.models import Heartbeat, Job, Upload
from appliance.releases import Facts, Prefix, needed_bytes
from appliance.settings import load_settings
from appliance.states import JobState, UploadState
from appliance.swapping import swap_database

if TYPE_CHECKING:
    from appliance.settings import Settings

_BETWEEN_S = 0.2


@click.group(hidden=True)
def step() -> None:
    """Single steps of an activation, for `appliance release` itself."""


@step.command()
@click.option("--rehearse/--no-rehearse", default=True)
def look(rehearse: bool) -> None:
    """Say what this release finds here; nothing is changed."""
    try:
        settings = load_settings()
    except ApplianceError as exc:
        print_json(asdict(Facts(__version__, settings_error=str(exc))))
        return
    print_json(asdict(_look(settings, rehearse)))


def _look(settings: Settings, rehearse: bool) -> Facts:
    from tasks.checkup.programs import check_ffmpeg

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    applied, pending, newer = schema_of(settings.database_path)
    size_bytes = _size_of(settings.database_path)
    free_bytes = shutil.disk_usage(settings.data).free
    more: dict[str, Any] = {}
    if applied and not newer and rehearse:
        more = _rehearse(settings, changes=bool(pending), free_bytes=free_bytes)
    return Facts(
        version=__version__,
        findings=tuple(
            check(settings) for check in (check_python, check_data_folder, check_ffmpeg)
        ),
        listen=settings.listen,
        data=str(settings.data),
        applied=tuple(applied),
        pending=tuple(pending),
        newer=tuple(newer),
        database_bytes=size_bytes,
        free_bytes=free_bytes,
        **more,
    )


def _size_of(path: Path) -> int:
    return sum(
        each.stat().st_size for each in (path, path.with_name(f"{path.name}-wal")) if each.exists()
    )


def _rehearse(settings: Settings, *, changes: bool, free_bytes: int) -> dict[str, Any]:
    """Run the migrations on a copy, and count in it what this release's models can read."""
    if free_bytes < needed_bytes(_size_of(settings.database_path), changes=changes):
        return {}
    # Not below tmp/, where the sweep removes what belongs to no job.
    folder = settings.data / "rehearsal"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    copied = settings.model_copy(update={"data": folder})
    try:
        with (
            closing(sqlite3.connect(settings.database_path)) as source,
            closing(sqlite3.connect(copied.database_path)) as copy,
        ):
            source.backup(copy)
        began = time.monotonic()
        open_database(copied.database_path)
        migrate_database(copied, backed_up=True)
        found = check_database(copied)
        if found.mend:
            return {"rehearsal_error": f"{found.found}. {found.mend}"}
        with database.connection_context():
            return {"rehearsed_s": time.monotonic() - began, **_work_under_way()}
    except (ApplianceError, peewee.PeeweeException, sqlite3.Error) as exc:
        return {"rehearsal_error": str(exc)}
    except Exception as exc:  # a migration may fail in any way; that it does is what we are to say
        return {"rehearsal_error": f"{type(exc).__name__}: {exc}"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work_under_way() -> dict[str, Any]:
    jobs: dict[str, int] = {}
    for job in Job.select(Job.kind).where(Job.state == JobState.RUNNING):
        jobs[job.kind] = jobs.get(job.kind, 0) + 1
    open_states = [UploadState.RECEIVING, UploadState.FINISHING]
    return {
        "jobs": jobs,
        "uploads": Upload.select().where(Upload.state.in_(open_states)).count(),
    }


@step.command(name="back-up")
@click.argument("before")
def copy_database(before: str) -> None:
    """Copy the database and check the copy; prints {"backup": path}, null for a new box."""
    settings = load_settings()
    made = back_up(settings, before=before) if settings.database_path.exists() else None
    print_json({"backup": None if made is None else str(made)})


@step.command()
def migrate() -> None:
    """Bring the database, of which there is a backup, to this release's schema; and check it."""
    settings = load_settings()
    open_database(settings.database_path)
    try:
        applied = migrate_database(settings, backed_up=True)
    except peewee.OperationalError as exc:
        if not is_full(exc):
            raise
        raise StorageFull("The disk is full: the database could not be brought forward.") from exc
    found = check_database(settings)
    if found.mend:
        raise ApplianceError(f"The database is not as it should be: {found.found}. {found.mend}")
    print_json({"applied": applied})


@step.command()
@click.argument("backup", type=click.Path(path_type=Path))
@click.argument("aside", type=click.Path(path_type=Path))
def restore(backup: Path, aside: Path) -> None:
    """Put BACKUP in the place of the database, and keep that at ASIDE. Nothing else may run."""
    swap_database(load_settings().database_path, backup, aside)
    print_json({"restored": str(backup)})


@step.command(name="forget-copies")
@click.argument("prefix", type=click.Path(path_type=Path))
def forget_copies(prefix: Path) -> None:
    """Remove copies of the database that nobody goes back to; prints {"removed": names}."""
    gone = database_copies.forget_old(load_settings(), Prefix(prefix))
    print_json({"removed": [path.name for path in gone]})


@step.command()
@click.argument("names", nargs=-1)
@click.option("--since", "since_s", type=float, required=True, help="On the clock of the machine.")
@click.option("--within", "within_s", type=float, default=0.0, help="How long to wait for them.")
def pulse(names: tuple[str, ...], since_s: float, within_s: float) -> None:
    """Print the workers that were heard since then, as soon as NAMES are, or the time is over."""
    settings = load_settings()
    open_database(settings.database_path)
    ends = time.monotonic() + within_s
    while True:
        heard = _heard(since_s)
        if set(names) <= set(heard) or time.monotonic() >= ends:
            break
        time.sleep(_BETWEEN_S)
    print_json({"heard": heard})


def _heard(since_s: float) -> list[str]:
    # Busy for a moment, say: then nobody was heard, and we look again.
    with suppress(peewee.OperationalError), database.connection_context():
        # Not by the machine's boot id: in a container the units, which have a /proc of their own,
        # may see another one than a shell. Beats of an earlier start are hardly in this window.
        rows = Heartbeat.select().where(Heartbeat.beat_boottime_s.between(since_s, boottime_s()))
        heard = {row.process.removeprefix("worker-") for row in rows}
        return [name for name in heartbeats.WORKERS if name in heard]
    return []


@step.command()
@click.argument("when", type=click.Choice(["begin", "end"]))
def quiet(when: str) -> None:
    """Raise no alerts while the box is stopped on purpose; prints {"until": time}, null for none.

    A quiet that somebody asked for stays as it is.
    """
    from tasks.alerting import sweep

    settings = load_settings()
    until = None
    if settings.database_path.exists():
        open_database(settings.database_path)
        with database.connection_context():
            if when == "begin":
                until = sweep.begin_upgrade()
            else:
                sweep.end_upgrade()
    print_json({"until": None if until is None else until.isoformat()})


@step.command(name="pause-posting")
@click.argument("reason")
def pause_posting(reason: str) -> None:
    """Hold all posts back until somebody has looked."""
    from storage import ballast
    from storage.layout import Layout

    settings = load_settings()
    open_database(settings.database_path)
    with database.connection_context():
        # A full disk may be why we go back; the box must not stay stopped for want of one row.
        ballast.although_full(Layout(settings.data), lambda: posting_switch.pause(None, reason))
    print_json({"paused": True})
