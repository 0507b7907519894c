"""Upload grants: an address for exactly one file, checked before it is given.

Whoever has the address may send that file, by tus, by the IETF draft, or by plain PUT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from appliance import tags
from appliance.clock import now
from appliance.errors import InvalidInput
from appliance.models import Source, Visibility
from appliance.text import clean_line, describe_size
from storage.uploads import NewUpload, Store
from web.upload_requests import upload_path

if TYPE_CHECKING:
    from appliance.models import User
    from storage.uploads import Created

_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]*)/([a-z0-9][a-z0-9!#$&^_.+-]*)")
# Containers whose registered type isn't video/… or audio/…, and the type of what nobody knows.
_OTHER_TYPES = {
    "application/octet-stream",
    "application/mp4",
    "application/mxf",
    "application/ogg",
    "application/x-matroska",
    "application/vnd.rn-realmedia",
}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class UploadWanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    filename: str
    file_size: int
    """In bytes."""
    content_type: str
    """video/…, audio/…, or application/octet-stream where it isn't known"""
    title: str | None = None
    """Default: the file's name without its ending."""
    visibility: Visibility | None = None
    sha256: str | None = None
    """Of the whole file, in hex. A file that turns out to have another one fails."""
    index_moved: bool = False
    """The sender has put the index of an MP4 to its front, and nothing else was changed."""
    tags: list[str] = []


@dataclass(frozen=True)
class UploadGrant:
    """``upload_url`` takes exactly this file, without signing in.

    By tus, by the IETF draft, or by PUT. ``expires_in``: how long it waits for the first byte, in
    seconds; every byte prolongs its life.
    """

    video_id: str
    upload_url: str
    expires_in: int
    status_url: str


def check_wanted(wanted: UploadWanted, max_bytes: int) -> None:
    """Whether such a file may come. Raises InvalidInput; pure."""
    if not clean_line(wanted.filename):
        raise InvalidInput("The file needs a name.", field="filename")
    if wanted.file_size < 0:
        raise InvalidInput("No file has fewer than 0 bytes.", field="file_size")
    if wanted.file_size == 0:
        raise InvalidInput("The file is empty, so there is nothing to send.", field="file_size")
    if wanted.file_size > max_bytes:
        raise InvalidInput(
            f"The file has {describe_size(wanted.file_size)}; this box takes at most "
            f"{describe_size(max_bytes)}.",
            field="file_size",
        )
    _check_type(wanted.content_type)
    if wanted.sha256 is not None:
        read_sha256(wanted.sha256)
    tags.clean_all(wanted.tags)


def _check_type(text: str) -> None:
    kind = text.partition(";")[0].strip().lower()
    match = _TYPE.fullmatch(kind)
    if match is None or (match[1] not in ("video", "audio") and kind not in _OTHER_TYPES):
        raise InvalidInput(
            "Only videos and sound are taken: the type must be video/…, audio/… or "
            "application/octet-stream.",
            field="content_type",
        )


def read_sha256(text: str) -> str:
    """In lower case. Raises InvalidInput; pure."""
    if not _SHA256.fullmatch(text):
        raise InvalidInput("A SHA-256 has 64 hexadecimal digits.", field="sha256")
    return text.lower()


def make_grant(store: Store, owner: User, wanted: UploadWanted) -> UploadGrant:
    """Raises InvalidInput, StorageFull, TooManyAttempts. Wants an open database connection."""
    check_wanted(wanted, int(store.settings.max_upload_bytes))
    new = NewUpload(
        length=wanted.file_size,
        filename=wanted.filename,
        content_type=wanted.content_type,
        title=wanted.title,
        visibility=wanted.visibility,
        source=Source.API,
        sent_sha256=None if wanted.sha256 is None else read_sha256(wanted.sha256),
        index_moved=wanted.index_moved,
        life_hours=store.settings.upload_grant_hours,
        tags=tuple(wanted.tags),
    )
    return grant_of(store.settings.base_url, store.create(owner, new))


def grant_of(base_url: str, created: Created) -> UploadGrant:
    return UploadGrant(
        video_id=created.video_id,
        upload_url=base_url + upload_path(created.upload_id, created.token),
        expires_in=round((created.expires_at - now()).total_seconds()),
        status_url=status_url(base_url, created.video_id),
    )


def status_url(base_url: str, video_id: str) -> str:
    return f"{base_url}/api/v1/videos/{video_id}/status"
