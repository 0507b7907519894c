"""Whether another upload may begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import StorageFull, TooLarge, TooManyAttempts
from appliance.models import Upload
from appliance.quotas import check_quota
from appliance.text import describe_size
from storage import budget
from storage.uploads.rows import OPEN, NewUpload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.models import User
    from appliance.settings import Settings
    from storage.layout import Layout


def check_size(settings: Settings, length: int | None) -> None:
    """Raises TooLarge."""
    if length is not None and length > settings.max_upload_bytes:
        raise TooLarge(
            f"The file has {describe_size(length)}; this box takes at most "
            f"{describe_size(settings.max_upload_bytes)}."
        )


def check_limits(settings: Settings, layout: Layout, owner: User | None, new: NewUpload) -> None:
    """In the transaction that inserts the row, so that two can't both take the last room.

    Raises TooManyAttempts, QuotaExceeded, StorageFull.
    """
    under_way = list(Upload.select().where(Upload.state.in_(OPEN)))
    # Guests count for their link: they must not take its maker's places.
    link_id = new.guest_link_id
    mine = sum(
        row.owner_id == owner.id and row.guest_link_id == link_id for row in under_way if owner
    )
    if mine >= settings.max_open_uploads:
        raise TooManyAttempts(
            f"You have {mine} unfinished uploads. Finish or cancel one of them first."
            if link_id is None
            else f"{mine} files are on their way by this link. Wait until one has arrived.",
            retry_after_s=60,
        )
    needed = new.expected_bytes if new.length is None else new.length
    check_quota(settings, owner, needed, for_guest=link_id is not None)
    check_room(settings, layout, needed, under_way)


def check_more(
    settings: Settings, layout: Layout, row: Upload, offset: int, more_bytes: int
) -> None:
    """Whether an upload of unknown length may get so many more, from ``offset`` on.

    Raises StorageFull, QuotaExceeded.
    """
    for_guest = row.guest_link_id is not None
    check_quota(settings, row.owner, offset + more_bytes, without=row, for_guest=for_guest)
    others = Upload.select().where(Upload.state.in_(OPEN), Upload.id != row.id)
    check_room(settings, layout, more_bytes, others, present_bytes=offset)


def check_room(
    settings: Settings,
    layout: Layout,
    needed: int,
    under_way: Iterable[Upload] | None = None,
    *,
    present_bytes: int = 0,
) -> None:
    """``under_way``: to whom room is promised; None: all open uploads. ``present_bytes``: what is
    here of one that isn't among them. Raises StorageFull.
    """
    if under_way is None:
        under_way = Upload.select().where(Upload.state.in_(OPEN))
    left = budget.room(settings, layout, under_way, present_bytes=present_bytes)
    if needed > left.for_uploads:
        raise StorageFull(budget.full_sentence(needed, left))


def free_room(settings: Settings, layout: Layout) -> int:
    """How many bytes may still be promised to uploads at this moment."""
    return max(0, budget.room(settings, layout).for_uploads)
