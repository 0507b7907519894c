"""When a target begins, and whether the platform or the box keeps it until its time. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tasks.publish.publisher import Capabilities

# Of the life of what is staged; the rest is for a clock that differs, and a post that is late.
SHARE_OF_LIFE = 0.9


def is_due(publish_at: datetime | None, now: datetime) -> bool:
    return publish_at is None or publish_at <= now


def is_same(held_until: datetime, publish_at: datetime | None) -> bool:
    """Whether that is the time that a platform was given: they know whole seconds."""
    return publish_at is not None and abs(held_until - publish_at) < timedelta(seconds=1)


def held_until(
    publish_at: datetime | None, now: datetime, there: Capabilities, *, hold: bool
) -> datetime | None:
    """The time that is given to the platform; None: the box keeps it itself.

    ``hold``: a person wants that, where it can be had.
    """
    if not hold or publish_at is None or not there.native_scheduling:
        return None
    ahead_s = (publish_at - now).total_seconds()
    most_s = there.holds_to_s
    if ahead_s < max(there.holds_from_s, 1.0) or (most_s is not None and ahead_s > most_s):
        return None
    return publish_at


def begin_at(
    publish_at: datetime | None,
    now: datetime,
    there: Capabilities,
    *,
    stage_ahead: bool,
    hold: bool,
) -> datetime | None:
    """When the file is brought there; None: at once.

    ``stage_ahead``: the account's wish. What the platform forgets after a while is brought so late
    that it is still there in time.
    """
    if publish_at is None or publish_at <= now:
        return None
    begins = [publish_at]
    if hold and there.native_scheduling and (publish_at - now).total_seconds() > there.holds_from_s:
        most_s = there.holds_to_s
        begins.append(now if most_s is None else publish_at - timedelta(seconds=most_s))
    if stage_ahead and there.can_stage:
        life_s = there.staged_lifetime_s
        begins.append(now if life_s is None else publish_at - SHARE_OF_LIFE * _seconds(life_s))
    first = min(begins)
    return None if first <= now else first


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)
