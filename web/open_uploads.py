"""Open uploads as people and scripts see them: whose, how far, how fast, until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from storage.uploads import open_uploads

if TYPE_CHECKING:
    from appliance.models import User
    from storage.uploads import Slots


@dataclass(frozen=True)
class OpenUploadShape:
    """An unfinished upload. ``length`` and ``progress`` are null while nobody knows the length.

    ``offset``: bytes that have arrived. ``bytes_per_s`` and ``eta_s`` are null while it is idle.
    ``expires_at``: when it is removed if no byte comes.
    """

    upload_id: str
    video_id: str | None
    title: str
    filename: str
    owner: str | None
    guest_name: str | None
    source: str
    protocol: str
    sending: bool
    offset: int
    length: int | None
    progress: float | None
    bytes_per_s: int | None
    eta_s: int | None
    created_at: datetime
    touched_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class OpenUploadList:
    items: list[OpenUploadShape]
    next_cursor: None = None


def load_open_uploads(user: User, slots: Slots) -> list[OpenUploadShape]:
    """Those that ``user`` may see, newest first. A connection must be open."""
    found = []
    for row in open_uploads(user):
        # The row knows what is on disk; who is receiving at this moment knows of more.
        pace = slots.pace(row.upload_id)
        offset = max(row.offset, pace.offset) if pace else row.offset
        rate = pace.bytes_per_s if pace else None
        left = None if row.length is None else max(0, row.length - offset)
        found.append(
            OpenUploadShape(
                upload_id=row.upload_id,
                video_id=row.video_id,
                title=row.title,
                filename=row.filename,
                owner=row.owner,
                guest_name=row.guest_name,
                source=str(row.source),
                protocol=row.protocol,
                sending=pace is not None or row.sending,
                offset=offset,
                length=row.length,
                progress=_part(offset, row.length),
                bytes_per_s=rate,
                eta_s=round(left / rate) if rate and left is not None else None,
                created_at=row.created_at,
                touched_at=row.touched_at,
                expires_at=row.expires_at,
            )
        )
    return found


def _part(offset: int, length: int | None) -> float | None:
    if length is None:
        return None
    return round(min(1.0, offset / length), 4) if length else 1.0
