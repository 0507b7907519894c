"""Look into what has come of a file, while the rest is still coming.

Whoever sends four gigabytes of the wrong thing is told after the first; whoever sends the right
one sees what will be done with it. Only a copy of the settled beginning is opened, in the sandbox,
as the whole file will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import events
from appliance.db import database, transaction
from appliance.models import Upload, Video
from appliance.states import UploadState
from storage import uploads
from storage.uploads import GrowingFile, UploadAborted
from tasks import pipeline, profiles
from tasks.early_look.estimate import pixels_per_s_here
from tasks.early_look.verdict import LAST_LOOK_BYTES, Beginning, Kind, decide
from tasks.in_flight.decide import prospect
from tasks.probe.look import look
from tasks.probe.task import HEAD_BYTES, limits_of
from tasks.profiles import SOCIAL

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome
    from tasks.in_flight.decide import Prospect


def look_early(job: Job, context: Context) -> Outcome:
    """Record a verdict on an upload under way; a file that can't be used is sent no further."""
    with database.connection_context():
        row = _under_way(job)
        speed, profile = pixels_per_s_here(), profiles.current(SOCIAL.name)
    if row is None:
        return None  # all of it is here, or it has ended
    known = row.early_look or {}
    if not known.get("final"):
        context.report("Looking into the first bytes", 0.0)
        copy = context.folder / "beginning"
        try:
            length = _copy_beginning(row, copy, context)
        except UploadAborted:
            return None
        beginning = _look_at(copy, length, context)
        verdict = decide(beginning, limits_of(context), SOCIAL, pixels_per_s=speed)
        ahead = prospect(
            row.public_id, row.rewound, beginning, verdict, profile, pixels_per_s=speed
        )
        known = verdict.to_dict()
        context.record(lambda: _record(row, known, ahead, context))
    # Also when the worker before this one died between its verdict and this.
    if known["verdict"] == Kind.REFUSED:
        with database.connection_context():
            _end(row, known["sentence"], context)
    return None


def _under_way(job: Job) -> Upload | None:
    row: Upload | None = (
        Upload.select(Upload, Video)
        .join(Video)
        .where(
            Upload.public_id == job.payload["upload_id"],
            Upload.state == UploadState.RECEIVING,
        )
        .first()
    )
    return row


def _copy_beginning(row: Upload, copy: Path, context: Context) -> int | None:
    """At most what the last look is meant for; the length of the whole. Raises UploadAborted."""
    with (
        GrowingFile(context.layout, row.public_id, check=context.check) as reader,
        copy.open("wb") as writer,
    ):
        wanted = min(reader.settled, LAST_LOOK_BYTES)
        while reader.offset < wanted:
            writer.write(reader.read(wanted - reader.offset))
        return reader.length


def _look_at(copy: Path, length: int | None, context: Context) -> Beginning:
    with copy.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return Beginning(
        probe=look(copy, context, size_bytes=length),
        head=head,
        here_bytes=copy.stat().st_size,
        length=length,
    )


def _record(row: Upload, found: dict[str, Any], ahead: Prospect | None, context: Context) -> None:
    if record(row, found) and ahead is not None and row.video is not None:
        pipeline.start_ahead(row.video, ahead.to_dict(), ahead.probe, context.settings)


def record(row: Upload, found: dict[str, Any]) -> bool:
    """Write a verdict down and tell of it, unless the upload has ended. In a transaction.

    Whether the upload still goes on.
    """
    changed = Upload.update(early_look=found).where(*_same(row)).execute()
    video = row.video
    if changed and video is not None:
        events.record(
            "upload.looked",
            f"video:{video.public_id}",
            video=video,
            video_id=video.public_id,
            **found,
        )
    return bool(changed)


def _same(row: Upload) -> tuple[Any, ...]:
    """It is still the upload that was looked into: not ended, not begun anew with other bytes."""
    return (
        Upload.id == row.id,
        Upload.state == UploadState.RECEIVING,
        Upload.rewound == row.rewound,
    )


def _end(row: Upload, sentence: str, context: Context) -> None:
    """Its sender is told within a second, also while it sends (storage/uploads/housekeeping.py)."""
    with transaction():
        if Upload.select().where(*_same(row)).exists():
            uploads.stop(context.settings, row, UploadState.FAILED, sentence)
