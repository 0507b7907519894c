"""What the Backups page and its API say, in one shape for both. Functions want a connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from appliance import backup_runs
from appliance.models import LIVE, Job
from storage.backups import keys, listing, switching

if TYPE_CHECKING:
    from appliance.models import BackupRun
    from appliance.settings import Settings
    from storage.backups.listing import Listed


@dataclass(frozen=True)
class BackupShape:
    """``size_bytes``: what a restore brings back; backups share the files that are the same.
    ``state``: unread (nobody has looked at its bytes yet), good or damaged. ``problems``: what is
    damaged; ``box_problems``: what was wrong with the box when it was made."""

    name: str
    created_at: datetime | None
    app_version: str
    videos: int
    files: int
    size_bytes: int
    has_secrets: bool
    state: str
    verified_at: datetime | None
    problems: list[str]
    box_problems: list[str]


@dataclass(frozen=True)
class RunShape:
    """``kind``: create, verify, drill, prune or restore. ``progress``: 0 to 1, where known."""

    kind: str
    state: str
    name: str
    stage: str
    progress: float | None
    error: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class KeyShape:
    id: str
    made_at: datetime


@dataclass(frozen=True)
class KeepShape:
    """``fixed``: names of those that the settings of the box say."""

    daily: int
    weekly: int
    monthly: int
    fixed: list[str]


@dataclass(frozen=True)
class BackupsShape:
    """``running``: what is at work now; ``waiting``: jobs in line. ``failed``: the last backup
    that went wrong, while none has gone well since. ``drill``: how the last try of a restore
    ended. ``old_data_bytes``: of the data from before a restore, kept until somebody removes it."""

    items: list[BackupShape]
    folder: str
    same_disk: bool
    recovery_key: KeyShape | None
    keep: KeepShape
    running: list[RunShape]
    waiting: int
    failed: RunShape | None
    drill: RunShape | None
    old_data: list[str]
    old_data_bytes: int


def load(settings: Settings) -> BackupsShape:
    known = keys.known_key()
    kept = keys.keeping(settings)
    latest = backup_runs.latest(backup_runs.newest())
    tried = latest.drill_failed or latest.drill
    old = switching.kept(settings.data)
    return BackupsShape(
        items=[shape_of(one) for one in listing.backups(settings)],
        folder=str(settings.backups),
        same_disk=listing.same_disk(settings),
        recovery_key=KeyShape(known.id, known.made_at) if known else None,
        keep=KeepShape(
            kept.keep.daily, kept.keep.weekly, kept.keep.monthly, fixed=sorted(kept.fixed)
        ),
        running=[_run(run) for run in backup_runs.running()],
        waiting=Job.select().where(Job.kind == "backup", LIVE).count(),
        failed=_run(latest.backup_failed) if latest.backup_failed else None,
        drill=_run(tried) if tried else None,
        old_data=old,
        old_data_bytes=switching.measure_kept(settings.data).size_bytes if old else 0,
    )


def shape_of(one: Listed) -> BackupShape:
    summary = one.summary
    state = "unread" if one.is_good is None else "good" if one.is_good else "damaged"
    return BackupShape(
        name=summary.name,
        created_at=summary.created_at,
        app_version=summary.app_version,
        videos=summary.videos,
        files=summary.files,
        size_bytes=summary.size_bytes,
        has_secrets=summary.has_secrets,
        state="damaged" if summary.damaged else state,
        verified_at=one.verified_at,
        problems=[summary.damaged] if summary.damaged else one.found,
        box_problems=list(summary.problems),
    )


def _run(run: BackupRun) -> RunShape:
    return RunShape(
        kind=run.kind,
        state=run.state.value,
        name=run.name,
        stage=str(run.info.get("stage", "")),
        progress=run.info.get("progress"),
        error=run.error,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )
