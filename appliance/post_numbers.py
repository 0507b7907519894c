"""Whether views and likes are fetched from the platforms: a wish of the admins, off by default.

Kept in the row "numbers" of the settings. When a post's numbers are due is decided here, purely:
often while it is young, then ever more seldom, and no more after a quarter.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.models import Setting

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
    row = Setting.get_or_none(Setting.name == NAME)
    return bool(row and row.value.get("on"))


def keep(wish: bool) -> None:
    """Inside a transaction."""
    Setting.insert({Setting.name: NAME, Setting.value: {"on": wish}}).on_conflict(
        conflict_target=[Setting.name],
        update={Setting.value: {"on": wish}, Setting.updated_at: now()},
    ).execute()


def is_due(published_at: datetime, numbers_at: datetime | None, at: datetime) -> bool:
    age = at - published_at
    for up_to, every in PACE:
        if age <= up_to:
            return numbers_at is None or at - numbers_at >= every
    return False
