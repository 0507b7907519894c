"""Once a day: all files compared with their rows, both ways; and, when asked for, read in full.

What no row names is set aside, and removed for good after as many days as the bin keeps things.
What a row names and isn't there is written down as a damage (tasks/damage.py).
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance import jobs, kept
from appliance.clock import now
from appliance.db import database, learn_sizes, transaction
from appliance.models import Job, Priority, Rendition, Video
from storage import inspection, orphans, usage
from storage.backups import running
from storage.budget import used_bytes
from storage.inspection import CONTENT, MISSING, Wrong
from storage.orphans import Amount
from storage.usage import LOOKED, looked_before
from tasks import damage, retention
from tasks.turns import Turn, make_room

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout
    from tasks.context import Context, Outcome

log = logging.getLogger(__name__)

VERIFIED = "storage_verified"
_ASKED = "storage_asked"
_EVERY = {
    "tidy": timedelta(days=1),
    "retain": timedelta(hours=1),
    "certificate": timedelta(days=1),
}
_AT_ONCE = 200


def start_due(settings: Settings) -> None:
    """Make the jobs whose time has come; the first look at files is a day after the first start."""
    at = now()
    with transaction():
        asked = kept.read(_ASKED)
        if not asked:
            kept.write(_ASKED, {kind: at.isoformat() for kind in _EVERY if kind != "certificate"})
            return
        for kind, every in _EVERY.items():
            if asked.get(kind, "") > (at - every).isoformat():
                continue
            kept.write(_ASKED, {**kept.read(_ASKED), kind: at.isoformat()})
            if _is_wanted(kind, settings):
                start(kind)


def _is_wanted(kind: str, settings: Settings) -> bool:
    if kind == "retain":
        return retention.is_due(settings)
    return kind != "certificate" or settings.https


def start(kind: str, priority: Priority = Priority.LOW) -> Job:
    """The job "tidy", "retain" or "verify", or the one that is under way."""
    with transaction():
        if kind == "verify" and kept.read(VERIFIED).get("finished_at"):
            kept.write(VERIFIED, {})  # from the beginning
        return jobs.create(kind, kind, priority=priority)


def note_how_full(settings: Settings, layout: Layout) -> None:
    """For the pages that warn. Written only when it has changed."""
    found = asdict(usage.look_how_full(settings, layout))
    if found != kept.read(usage.WARNED):
        kept.write(usage.WARNED, found)


# The daily look


def tidy(job: Job, context: Context) -> Outcome:
    """The job: look at all files, in both directions; goes on where its last turn ended."""
    turn = Turn()
    with database.connection_context():
        retention.finish_removals(context.layout)
        most = Video.select(Video.id).order_by(Video.id.desc()).limit(1).scalar() or 1
    last: int | None = job.payload.get("last", 0)
    other_bytes, other_files = job.payload.get("other_bytes", 0), job.payload.get("other_files", 0)
    while last is not None:
        context.report("Comparing files with what should be there", 0.9 * last / most)
        with database.connection_context():
            portion = inspection.look_through(context.layout, last, _AT_ONCE)
            _record(portion, context)
        other_bytes += portion.other_bytes
        other_files += portion.other_files
        last = portion.last
        if turn.is_over and last is not None:
            at = {"last": last, "other_bytes": other_bytes, "other_files": other_files}
            context.record(partial(_remember, job, at))
            return make_room()
    with database.connection_context():
        context.report("Looking for files of nobody", 0.95)
        for path in orphans.find_orphans(context.layout, context.check):
            _set_aside(path, context)
        orphans.remove_aside(context.layout, days=context.settings.trash_days)
        aside = orphans.measure(context.layout.orphans)
        learn_sizes()
    running.note_room(context.settings)  # what was deleted since the last backup is there alone
    found = {
        "at": now().isoformat(),
        "other_files": other_files,
        "other_bytes": other_bytes,
        "orphans": aside.files,
        "orphans_bytes": aside.size_bytes,
    }
    return lambda: kept.write(LOOKED, found)


def _remember(job: Job, at: dict[str, Any]) -> None:
    Job.update(payload=at).where(Job.id == job.id).execute()


def _record(portion: inspection.Portion, context: Context) -> None:
    """In transactions: what is put in its place this moment gets its row in the same one."""
    for wrong in portion.wrong:
        context.record(partial(_note, wrong, context))
    # Before strays: what somebody has put back is one until its row is in use again.
    for mended in damage.find_mended(context.layout, portion.videos, context.check):
        context.record(partial(damage.settle, context.layout, mended))
    for path in portion.strays:
        context.record(partial(_set_aside_stray, path, context))


def _note(wrong: Wrong, context: Context) -> None:
    if inspection.still_wrong(context.layout, wrong):
        damage.note(context.layout, wrong)


def _set_aside_stray(path: Path, context: Context) -> None:
    if inspection.is_stray(context.layout, path):
        _set_aside(path, context)


def _set_aside(path: Path, context: Context) -> None:
    amount = orphans.set_aside(context.layout, path)
    where = path.relative_to(context.layout.data)
    log.warning("%s belongs to nothing (%s bytes): set aside", where, amount.size_bytes)


def forget_aside(layout: Layout) -> Amount:
    """Remove what was set aside, all of it, now; what that freed."""
    gone = orphans.remove_aside(layout, days=0)
    with transaction():
        looked = looked_before()
        if looked:
            kept.write(LOOKED, {**looked, "orphans": 0, "orphans_bytes": 0})
    return gone


# Reading all of it


def verify(job: Job, context: Context) -> Outcome:
    """The job: read each file and compare it with its digest; goes on where it was stopped."""
    turn = Turn()
    while True:
        with database.connection_context():
            at = _begin()
            video = Video.select().where(Video.id > at["last"]).order_by(Video.id).first()
        if video is None:
            return lambda: kept.write(
                VERIFIED, {**kept.read(VERIFIED), "finished_at": now().isoformat()}
            )
        share = min(1.0, at["bytes"] / at["of_bytes"]) if at["of_bytes"] else 0.0
        context.report("Reading all files", share)
        files, size_bytes, wrong = _read_files(video, context)

        done = {
            "last": video.id,
            "files": at["files"] + files,
            "bytes": at["bytes"] + size_bytes,
            "wrong": at["wrong"] + len(wrong),
        }
        context.record(partial(_record_reading, {**at, **done}, wrong, context))
        if turn.is_over:
            return make_room()


def _record_reading(at: dict[str, Any], wrong: list[Wrong], context: Context) -> None:
    for item in wrong:
        damage.note(context.layout, item)
    kept.write(VERIFIED, at)


def _begin() -> dict[str, Any]:
    """Where the reading stands; begins one when none is under way."""
    at = kept.read(VERIFIED)
    if at.get("started_at") and not at.get("finished_at"):
        return at
    with transaction():
        at = {
            "started_at": now().isoformat(),
            "last": 0,
            "files": 0,
            "bytes": 0,
            "of_bytes": used_bytes(),
            "wrong": 0,
        }
        kept.write(VERIFIED, at)
    return at


def verified() -> dict[str, Any]:
    """How far the reading is, or how the last one ended; {} when there was none."""
    return kept.read(VERIFIED)


def _read_files(video: Video, context: Context) -> tuple[int, int, list[Wrong]]:
    """Files and bytes that were read, and those that are not what they were."""
    with database.connection_context():
        renditions = list(Rendition.select().where(Rendition.video == video))
        folder = inspection.folder_of(context.layout, video)
    files = size_bytes = 0
    wrong = []
    seen: dict[int, str] = {}  # inode → digest: a version may be the original by another name
    for file in inspection.kept_files(video, renditions):
        if file.sha256 is None:
            continue
        path = folder / file.file_name
        try:
            stat = path.stat()
            digest = seen.get(stat.st_ino) or inspection.digest(path, context.check)
            seen[stat.st_ino] = digest
        except FileNotFoundError:
            problem = MISSING
        else:
            files, size_bytes = files + 1, size_bytes + stat.st_size
            problem = "" if digest == file.sha256.lower() else CONTENT
        if problem and _is_unchanged(video, file):
            wrong.append(Wrong(video, file.name, problem))
    return files, size_bytes, wrong


def _is_unchanged(video: Video, file: inspection.Kept) -> bool:
    """Whether the row still says what the file was compared with."""
    with database.connection_context():
        fresh = Video.get_or_none(Video.id == video.id)
        if fresh is None:
            return False
        rows = list(Rendition.select().where(Rendition.video == video))
    return file in inspection.kept_files(fresh, rows)
