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
from tasks.early_look.estimate import pixels_per_s_here
from tasks.early_look.verdict import LAST_LOOK_BYTES, Beginning, Kind, Verdict, decide
from tasks.probe.look import look
from tasks.probe.task import HEAD_BYTES, limits_of
from tasks.profiles import SOCIAL

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome


def look_early(job: Job, context: Context) -> Outcome:
    """Record a verdict on an upload under way; a file that can't be used is sent no further."""
    with database.connection_context():
        row = _under_way(job)
        speed = pixels_per_s_here()
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
        known = _look_at(copy, length, speed, context).to_dict()
        context.record(lambda: record(row, known))
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


def _look_at(copy: Path, length: int | None, pixels_per_s: float, context: Context) -> Verdict:
    with copy.open("rb") as file:
        head = file.read(HEAD_BYTES)
    beginning = Beginning(
        probe=look(copy, context, size_bytes=length),
        head=head,
        here_bytes=copy.stat().st_size,
        length=length,
    )
    return decide(beginning, limits_of(context), SOCIAL, pixels_per_s=pixels_per_s)


def record(row: Upload, found: dict[str, Any]) -> None:
    """Write a verdict down and tell of it, unless the upload has ended. In a transaction."""
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
