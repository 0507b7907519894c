"""What happens to a post whose time passed while the box was away: the wish of the admins.

Kept in the row "late" of the settings. *Away* is everything that kept the post back and wasn't
its own video: the box was off, posting was paused, the account had to be connected again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from appliance import events, kept
from appliance.db import transaction
from appliance.errors import InvalidInput

if TYPE_CHECKING:
    from appliance.models import User

NAME = "late"
LEAST_S, MOST_S = 60.0, 7 * 86400.0


class WhenLate(StrEnum):
    POST = "post"  # as soon as it can
    ASK = "ask"  # a person says "Post now", or another time


@dataclass(frozen=True)
class Policy:
    """``after_s``: so much later is still in time."""

    when_late: WhenLate = WhenLate.ASK
    after_s: float = 3600.0


def policy() -> Policy:
    """Wants a connection."""
    chosen = kept.read(NAME)
    if not chosen:
        return Policy()
    return Policy(WhenLate(chosen["when_late"]), float(chosen["after_s"]))


def keep(
    *, when_late: str | None = None, after_s: float | None = None, actor: User | None
) -> Policy:
    """Change what is given. Raises InvalidInput, also for a grace that is too short or too long."""
    with transaction():
        wish = policy()
        if when_late is not None:
            if when_late not in list(WhenLate):
                raise InvalidInput("Choose “ask” or “post”.", field="when_late")
            wish = replace(wish, when_late=WhenLate(when_late))
        if after_s is not None:
            if not LEAST_S <= after_s <= MOST_S:
                raise InvalidInput(
                    "Choose between one minute and seven days.", field="late_after_s"
                )
            wish = replace(wish, after_s=after_s)
        value: dict[str, Any] = {"when_late": wish.when_late.value, "after_s": wish.after_s}
        kept.write(NAME, value)
        events.audit(actor, "schedule.late", **value)
    return wish


def is_late(
    wish: Policy, *, publish_at: datetime | None, ready_at: datetime | None, at: datetime
) -> bool:
    """Whether a person has to say what becomes of it. Pure.

    ``ready_at``: when its file was made; what waited for its own video isn't late.
    """
    if wish.when_late is WhenLate.POST or publish_at is None:
        return False
    due = max(publish_at, ready_at) if ready_at is not None else publish_at
    return at - due > timedelta(seconds=wish.after_s)
