"""What is open at this moment, and how somebody else than its sender brings an upload to an end.

The row decides, not the lock of the file: so it works while bytes arrive, from any process. The
sender hears of it within a second (web/upload_desk.py asks for what it is receiving), at its next
checkpoint at the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peewee import JOIN

from appliance import access, events, metrics
from appliance.clock import boot_id, boottime_s
from appliance.errors import Conflict, NotFound
from appliance.models import Source, Upload, User, Video
from appliance.states import UploadState, VideoState
from storage.layout import Layout
from storage.uploads.ending import end_row, remove_file, why_cut_off
from storage.uploads.rows import ENDED, OPEN, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from appliance.settings import Settings

# While bytes arrive, a checkpoint touches the row every five seconds.
_SENDING_S = 12.0


@dataclass(frozen=True)
class OpenUpload:
    """One unfinished upload. ``offset`` and ``length`` in bytes, ``length`` None: not known yet.

    ``sending``: bytes came within the last seconds.
    """

    upload_id: str
    video_id: str | None
    title: str
    filename: str
    owner: str | None
    guest_name: str | None
    source: Source
    protocol: str
    offset: int
    length: int | None
    created_at: datetime
    touched_at: datetime
    expires_at: datetime
    sending: bool


def open_uploads(user: User) -> list[OpenUpload]:
    """Those that ``user`` may see, newest first: admins all, others their own."""
    query = (
        access.visible_uploads(user)
        .select(Upload, Video, User)
        .join(Video, JOIN.LEFT_OUTER)
        .switch(Upload)
        .join(User, JOIN.LEFT_OUTER)
        .where(Upload.state.in_(OPEN))
        .order_by(Upload.id.desc())
    )
    this_boot, now_s = boot_id(), boottime_s()
    return [_describe(row, this_boot, now_s) for row in query]


def _describe(row: Upload, this_boot: str, now_s: float) -> OpenUpload:
    video, owner = row.video, row.owner
    touched = row.boot_id == this_boot and now_s - row.touched_boot_s < _SENDING_S
    return OpenUpload(
        upload_id=row.public_id,
        video_id=video.public_id if video is not None else None,
        title=video.title if video is not None else row.filename,
        filename=row.filename,
        owner=(owner.name or owner.email) if owner is not None else None,
        guest_name=video.guest_name if video is not None else None,
        source=row.source,
        protocol=row.protocol,
        offset=row.settled_offset,
        length=row.length,
        created_at=row.created_at,
        touched_at=row.touched_at,
        expires_at=row.expires_at,
        sending=touched and row.settled_offset > 0,
    )


def cancel(settings: Settings, upload_id: str, actor: User | None) -> None:
    """End an open upload, also while bytes arrive. ``actor`` None: the admin's shell.

    Raises NotFound (unknown, or not this person's to see), Conflict (all bytes are here already,
    or it has ended).
    """
    row = _find(upload_id, actor)
    by_owner = actor is not None and actor.id == row.owner_id
    sentence = (
        ENDED[UploadState.TERMINATED]
        if by_owner
        else "An admin has cancelled this upload. Ask before you send the file again."
    )
    if row.state is UploadState.FINISHING:
        raise Conflict("All bytes are here already; delete the video instead.")
    if row.state is not UploadState.RECEIVING:
        raise Conflict("This upload has ended already.")
    if not stop(settings, row, UploadState.TERMINATED, sentence):
        raise Conflict("All bytes are here already; delete the video instead.")
    events.audit(actor, "upload.cancel", f"upload:{upload_id}", filename=row.filename)


def _find(upload_id: str, actor: User | None) -> Upload:
    if actor is not None:
        return access.get_upload(actor, upload_id)
    row = Upload.get_or_none(Upload.public_id == upload_id)
    if row is None:
        raise NotFound(UNKNOWN)
    return row


def stop(settings: Settings, row: Upload, state: UploadState, sentence: str) -> bool:
    """End an upload that is receiving, whoever holds it; its sender is answered ``sentence``.

    False: it was finished or ended by somebody else before. ``FAILED`` keeps the video, with the
    sentence as its error.
    """
    layout = Layout(settings.data)
    video = Video.get_or_none(Video.id == row.video_id)
    if not end_row(layout, row, video, UploadState.RECEIVING, state, sentence):
        return False
    # Whoever holds the file keeps writing to one that has no name any more, and finds out.
    remove_file(layout, row.public_id)
    metrics.UPLOAD_ENDED.labels(state.value).inc()
    return True


def end_cut_off(settings: Settings, upload_ids: Collection[str]) -> None:
    """End those of ``upload_ids`` whose senders may send no more: a user who was deactivated,
    a guest whose link was ended, or whose link's maker may not upload any more.
    """
    receiving = (Upload.state == UploadState.RECEIVING) & Upload.public_id.in_(list(upload_ids))
    # Asked twice a second: those that many uploads have in common are looked at once.
    senders = (
        Upload.select(Upload.owner, Upload.guest_link_id)
        .distinct()
        .join(User, JOIN.LEFT_OUTER)
        .where(receiving, User.deactivated_at.is_null(False) | Upload.guest_link_id.is_null(False))
    )
    for sender in list(senders):
        sentence = why_cut_off(sender)
        if sentence is None:
            continue
        theirs = Upload.guest_link_id == sender.guest_link_id
        if sender.guest_link_id is None:
            theirs = Upload.guest_link_id.is_null() & (Upload.owner == sender.owner_id)
        for row in list(Upload.select().where(receiving, theirs)):
            stop(settings, row, UploadState.TERMINATED, sentence)


def find_ended(upload_ids: Collection[str]) -> set[str]:
    """Those of ``upload_ids`` that take no more bytes."""
    going_on = (
        Upload.select(Upload.public_id)
        .join(Video, JOIN.LEFT_OUTER)
        .where(
            Upload.public_id.in_(list(upload_ids)),
            Upload.state == UploadState.RECEIVING,
            # A partial upload has no video; one whose video is in the bin is over.
            Video.state.is_null() | (Video.state == VideoState.UPLOADING),
        )
    )
    return set(upload_ids) - {row.public_id for row in going_on}
