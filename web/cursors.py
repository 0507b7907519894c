"""Lists of the API: ``{items, next_cursor}``, newest first, by the row's number.

A cursor is opaque to its user; it stays right while rows come and go.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, TypeVar

from appliance.errors import InvalidInput

if TYPE_CHECKING:
    from peewee import ModelSelect

MAX_LIMIT = 100
_Row = TypeVar("_Row", bound=Any)


def make(row_id: int) -> str:
    return base64.urlsafe_b64encode(f"before:{row_id}".encode()).decode().rstrip("=")


def read(cursor: str) -> int:
    """Raises InvalidInput for what we didn't make."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    name, _, number = text.partition(":")
    if name != "before" or not number.isdecimal() or len(number) > 18:
        raise InvalidInput("This cursor is not one of ours. Begin without one.", field="cursor")
    return int(number)


def take_page(
    query: ModelSelect[_Row], row: type[_Row], *, cursor: str | None, limit: int
) -> tuple[list[_Row], str | None]:
    """One page of ``query`` and the cursor of the next; None when there is no more."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"A page has between 1 and {MAX_LIMIT} items.", field="limit")
    if cursor is not None:
        query = query.where(row.id < read(cursor))
    rows = list(query.order_by(row.id.desc()).limit(limit + 1))
    more = len(rows) > limit
    return rows[:limit], make(rows[limit - 1].id) if more else None
