"""How much of the disk one person's videos may take.

What counts: the originals of the videos that are theirs and not deleted for good (the bin counts,
what a policy has removed does not), and what was promised to their uploads under way, those of
their guests included. A file that has arrived is never refused for a quota: it is checked before
bytes are sent, not after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import fn
from pydantic import ByteSize, TypeAdapter, ValidationError

from appliance.errors import InvalidInput, TooLarge
from appliance.models import Upload, Video
from appliance.states import UploadState
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings

# In User.quota_bytes, where None means "as the setting says".
UNLIMITED = -1
_MOST = 1 << 60
_SIZE = TypeAdapter(ByteSize)
_OPEN = (UploadState.RECEIVING, UploadState.FINISHING)


class QuotaExceeded(TooLarge):
    """No room is left to this person, though the disk may have some."""

    code = "quota_exceeded"


def quota_of(settings: Settings, user: User) -> int | None:
    """In bytes; None: no limit."""
    if user.quota_bytes is None:
        return None if settings.user_quota is None else int(settings.user_quota)
    return None if user.quota_bytes == UNLIMITED else int(user.quota_bytes)


def used_bytes(user: User, *, without: Upload | None = None) -> int:
    """What counts against the quota; ``without``: an upload that is not to be counted."""
    originals = Video.select(fn.SUM(Video.size_bytes)).where(
        Video.owner == user,
        Video.received_at.is_null(False),
        Video.original_removed_at.is_null(),
    )
    promised = fn.MAX(fn.COALESCE(Upload.length, Upload.expected_bytes), Upload.settled_offset)
    # The parts of a final upload, once it is begun, count with it.
    joined = (Upload.concat == "partial") & (Upload.state == UploadState.FINISHING)
    under_way = Upload.select(fn.SUM(promised)).where(
        Upload.owner == user, Upload.state.in_(_OPEN), Upload.concat.is_null() | ~joined
    )
    if without is not None:
        under_way = under_way.where(Upload.id != without.id)
    return int(originals.scalar() or 0) + int(under_way.scalar() or 0)


def check_quota(
    settings: Settings,
    user: User | None,
    needed_bytes: int,
    *,
    without: Upload | None = None,
    for_guest: bool = False,
) -> None:
    """Whether so many bytes more may come on this person's account. Raises QuotaExceeded."""
    quota = None if user is None else quota_of(settings, user)
    if user is None or quota is None:
        return
    used = used_bytes(user, without=without)
    if used + needed_bytes <= quota:
        return
    if for_guest:  # how full somebody's account is, is none of a guest's business
        raise QuotaExceeded(
            "There is no room for this file at the moment. Tell whoever gave you the link."
        )
    raise QuotaExceeded(
        f"The file has {describe_size(needed_bytes)}, and {describe_size(used)} of your "
        f"{describe_size(quota)} are used. Empty the bin or delete videos, or ask your admin "
        "for more."
    )


def parse_quota(text: str) -> int | None:
    """What people write: a size ("20 GiB"), "none" (no limit), or "default" (None).

    Raises InvalidInput.
    """
    word = text.strip().lower()
    if word in ("", "default"):
        return None
    if word == "none":
        return UNLIMITED
    try:
        size = int(_SIZE.validate_python(word))
    except ValidationError:
        size = -1
    if not 0 <= size <= _MOST:
        raise InvalidInput(
            "Write a size such as 20 GiB, “none” for no limit, or “default” for the box's own.",
            field="quota",
        )
    return size


def describe_quota(settings: Settings, user: User) -> str:
    """ "3.1 GB of 20.0 GB", or without a limit "3.1 GB"."""
    used, quota = used_bytes(user), quota_of(settings, user)
    return (
        describe_size(used) if quota is None else f"{describe_size(used)} of {describe_size(quota)}"
    )


def write_quota(quota_bytes: int | None) -> str:
    """``User.quota_bytes`` as ``parse_quota`` reads it; "" for None."""
    if quota_bytes is None:
        return ""
    if quota_bytes == UNLIMITED:
        return "none"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("kB", 1000)):
        if quota_bytes and quota_bytes % size == 0:
            return f"{quota_bytes // size} {unit}"
    return str(quota_bytes)
