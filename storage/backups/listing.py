"""The backups there are, for people: what is in each, and what was last said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from appliance.errors import NotFound
from appliance.models import BackupRun
from appliance.states import RunState
from storage.backups import format
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings


@dataclass(frozen=True)
class Summary:
    """Of a manifest. ``damaged``: why it can't be read, or ""."""

    name: str
    created_at: datetime | None = None
    app_version: str = ""
    schema: tuple[str, ...] = ()
    files: int = 0
    size_bytes: int = 0
    videos: int = 0
    has_secrets: bool = False
    key_id: str = ""
    problems: tuple[str, ...] = ()
    damaged: str = ""


@dataclass(frozen=True)
class Listed:
    """``verified_at``, ``is_good``: of the last look at all its bytes, or its restore on trial."""

    summary: Summary
    verified_at: datetime | None = None
    is_good: bool | None = None
    found: list[str] = field(default_factory=list)


def summaries(settings: Settings) -> list[Summary]:
    """The newest first. Needs no database."""
    folder = BackupFolder(settings.backups)
    return [summary_of(folder, name) for name in reversed(folder.names())]


def without_runs(settings: Settings) -> list[Listed]:
    """As ``backups``, where the database is what is to be restored."""
    return [Listed(summary) for summary in summaries(settings)]


def summary_of(folder: BackupFolder, name: str) -> Summary:
    path = folder.set_folder(name) / format.MANIFEST
    try:
        about = path.lstat()
    except OSError:
        return Summary(name, damaged=f"{name}/{format.MANIFEST}: missing.")
    return _summary(folder.root, name, about.st_mtime_ns, about.st_size, about.st_ino)


@lru_cache(maxsize=1000)  # a manifest of a large box is megabytes
def _summary(root: Path, name: str, mtime_ns: int, size_bytes: int, inode: int) -> Summary:
    try:
        manifest = BackupFolder(root).manifest(name)
    except (BackupDamaged, NotFound) as exc:
        return Summary(name, damaged=str(exc))
    return Summary(
        name=name,
        created_at=manifest.created_at,
        app_version=manifest.app_version,
        schema=tuple(manifest.schema),
        files=len(manifest.files),
        size_bytes=manifest.size_bytes,
        videos=manifest.rows.get("video", 0),
        has_secrets=format.SECRETS in manifest.parts,
        key_id=manifest.key_id,
        problems=tuple(manifest.problems),
    )


def backups(settings: Settings) -> list[Listed]:
    """With what the runs say. Wants a connection."""
    looked: dict[str, BackupRun] = {}
    query = BackupRun.select().where(
        BackupRun.kind.in_(["verify", "drill"]), BackupRun.state != RunState.RUNNING
    )
    for run in query.order_by(BackupRun.id):
        read_all = not run.info.get("quick")
        found_wrong = bool(run.info.get("problems"))
        if found_wrong or (read_all and run.state is RunState.COMPLETED):
            looked[run.name] = run
    return [_listed(summary, looked.get(summary.name)) for summary in summaries(settings)]


def _listed(summary: Summary, run: BackupRun | None) -> Listed:
    if run is None:
        return Listed(summary)
    good = run.state is RunState.COMPLETED
    return Listed(summary, run.finished_at, good, list(run.info.get("problems") or []))


def same_disk(settings: Settings) -> bool:
    """Whether backups lie on the disk that holds the videos: then one failure takes both."""
    folder = settings.backups
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev == settings.data.stat().st_dev
