"""Whether views and likes are fetched from the platforms: a wish of the admins, off by default.

Kept in the row "numbers" of the settings. When a post's numbers are due is decided here, purely:
often while it is young, then ever more seldom, and no more after a quarter.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance import kept

if TYPE_CHECKING:
    from datetime import datetime

NAME = "numbers"
# (age up to, how often)
PACE = (
    (timedelta(days=1), timedelta(hours=1)),
    (timedelta(days=7), timedelta(hours=6)),
    (timedelta(days=30), timedelta(days=1)),
    (timedelta(days=92), timedelta(days=7)),
)
LONGEST = PACE[-1][0]


def is_on() -> bool:
    """Wants a connection."""
    return bool(kept.read(NAME).get("on"))


def keep(wish: bool) -> None:
    """Inside a transaction."""
    kept.write(NAME, {"on": wish})


def is_due(published_at: datetime, numbers_at: datetime | None, at: datetime) -> bool:
    age = at - published_at
    for up_to, every in PACE:
        if age <= up_to:
            return numbers_at is None or at - numbers_at >= every
    return False
