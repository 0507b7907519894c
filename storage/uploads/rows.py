"""What an upload is while somebody works on it, and what can be said about it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.errors import ApplianceError, Conflict
from appliance.models import Source, Upload, Video, Visibility
from appliance.states import UploadState, VideoState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from storage.layout import Layout

# Upload.concat: one of several that will become one file, and that file. Other uploads have None.
PARTIAL, FINAL = "partial", "final"

OPEN = (UploadState.RECEIVING, UploadState.FINISHING)
FULL_SENTENCE = (
    "The box has run out of room. What has arrived is kept; the upload can go on once there is "
    "space again."
)
UNKNOWN = "There is no such upload."
ENDED = {
    UploadState.TERMINATED: "This upload was cancelled. Start again to send the file.",
    UploadState.EXPIRED: "This upload got no bytes for too long and was removed. Start again.",
    UploadState.LOST: "The bytes of this upload are gone from the disk. Send the file again.",
    UploadState.FAILED: "The sender reported that the upload failed.",
}


class UploadGone(ApplianceError):
    """There was such an upload, and it takes no more bytes. ``state``: what became of it."""

    code = "upload_gone"

    def __init__(self, message: str, state: UploadState | None = None) -> None:
        super().__init__(message)
        self.state = state


class WrongOffset(Conflict):
    """``offset``: where the upload really is, in bytes; None while it is growing."""

    code = "wrong_offset"

    def __init__(self, offset: int | None) -> None:
        super().__init__(
            "Another request is sending this upload, from another byte. Ask for the offset first."
            if offset is None
            else f"The upload goes on at byte {offset}."
        )
        self.offset = offset


class DigestMismatch(ApplianceError):
    """What arrived isn't what the sender says it sent; none of it was kept."""

    code = "digest_mismatch"


class Digest(Protocol):
    """Looks at each chunk as it comes, and has the last word on all of them."""

    def update(self, chunk: bytes | memoryview, /) -> None: ...

    def check(self) -> None:
        """Raises DigestMismatch."""


@dataclass(frozen=True)
class NewUpload:
    """What a sender says before the first byte. ``length`` None: not known yet.

    ``expected_bytes`` is what room is looked for when the length is not known. ``life_hours``: how
    long the first byte is waited for; None: as long as for any other byte. ``tags`` are put
    on the video. ``also_check`` is called in the transaction that makes the rows; what it raises
    undoes it.
    """

    length: int | None
    filename: str
    source: Source
    content_type: str = ""
    title: str | None = None
    visibility: Visibility | None = None
    metadata_raw: str = ""
    expected_bytes: int = 0
    protocol: str = ""
    sent_sha256: str | None = None
    index_moved: bool = False
    concat: str | None = None
    life_hours: float | None = None
    guest_name: str | None = None
    guest_link_id: int | None = None
    guest_id: str | None = None
    tags: tuple[str, ...] = ()
    also_check: Callable[[], None] | None = None


@dataclass
class Held:
    """An upload that nobody else touches until ``close``.

    ``handle`` is its locked file; None once that has become the original.
    """

    row: Upload
    video: Video | None
    handle: int | None
    offset: int

    @property
    def complete(self) -> bool:
        return self.row.state is UploadState.COMPLETE

    @property
    def all_here(self) -> bool:
        return self.row.length is not None and self.offset == self.row.length

    @property
    def is_whole(self) -> bool:
        """All bytes are here, and that is enough to finish.

        By the IETF draft it isn't: a sender says so, and until then the file may not be whole.
        """
        told = self.row.protocol != "draft" or self.row.complete_declared
        return self.all_here and told

    @property
    def is_unsure(self) -> bool:
        """Bytes are here that were not acknowledged yet, and may not be on disk."""
        receiving = self.row.state is UploadState.RECEIVING
        return receiving and self.offset > self.row.durable_offset

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


@dataclass(frozen=True)
class Created:
    """``token``: the capability, said this once and nowhere kept. ``video_id``: a part has none."""

    upload_id: str
    token: str
    video_id: str
    expires_at: datetime


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def progress_of(layout: Layout, wanted: Iterable[Video]) -> dict[int, float]:
    """How much of each video has arrived (0 to 1), for those that are being uploaded; by row id."""
    ids = [video.id for video in wanted if video.state is VideoState.UPLOADING]
    found: dict[int, float] = {}
    for row in Upload.select().where(Upload.video.in_(ids), Upload.state.in_(OPEN)):
        with contextlib.suppress(FileNotFoundError):
            size = layout.upload(row.public_id).stat().st_size
            found[int(row.video_id or 0)] = min(1.0, size / row.length) if row.length else 0.0
    return found
