"""How long an upload is, where that isn't known from the start. Wants a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.db import transaction
from appliance.errors import InvalidInput
from appliance.models import Upload, Video
from storage.uploads.limits import check_more, check_size

if TYPE_CHECKING:
    from storage.uploads.rows import Held
    from storage.uploads.store import Store


def declare(store: Store, held: Held, length: int) -> None:
    """Say how long a file is whose length was not known at first; the same once more is fine.

    Raises InvalidInput (it is known to be another, or more bytes are here), TooLarge,
    StorageFull.
    """
    row = held.row
    if row.length is not None:
        if row.length != length:
            raise InvalidInput(
                f"This upload has {row.length} bytes; its length can't be changed any more."
            )
        return
    if length < held.offset:
        raise InvalidInput(
            f"{held.offset} bytes of this upload are here; it can't have only {length}."
        )
    check_size(store.settings, length)
    with transaction():
        check_more(store.settings, store.layout, row, held.offset, length - held.offset)
        Upload.update(length=length).where(Upload.id == row.id).execute()
        Video.update(size_bytes=length).where(Video.id == row.video_id).execute()
    row.length = length


def forget(held: Held) -> None:
    """Take back what ``declare`` said, together with the bytes it was sent with."""
    with transaction():
        Upload.update(length=None).where(Upload.id == held.row.id).execute()
        Video.update(size_bytes=0).where(Video.id == held.row.video_id).execute()
    held.row.length = None


def check_growth(store: Store, held: Held, more_bytes: int = 0) -> None:
    """For uploads of unknown length, for which no room was promised.

    ``more_bytes``: how many are announced. Raises TooLarge, StorageFull.
    """
    if held.row.length is None:
        check_size(store.settings, held.offset + more_bytes)
        check_more(store.settings, store.layout, held.row, held.offset, more_bytes)
