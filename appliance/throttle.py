"""Slow down guessing: after some failures each try has to wait, ever longer, never for good.

A try is counted before its password is looked at, so that a hundred tries at the same moment
aren't all let through. The wait is told in minutes; it ends by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.db import transaction
from appliance.errors import TooManyAttempts
from appliance.models import Throttle

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

FIRST_WAIT_S = 30
LONGEST_WAIT_S = 15 * 60
FORGOTTEN_AFTER = timedelta(hours=12)
SHARE_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Limit:
    """``key`` names what is protected; ``free`` tries cost nothing."""

    key: str
    free: int


@dataclass(frozen=True)
class Share:
    """How much of something one address gets in ``SHARE_FOR``; nothing wrong is done by it."""

    key: str
    most: int


def account(email: str) -> Limit:
    return Limit(f"account:{email}", free=5)


def address(client: str) -> Limit:
    """Many people may share one address, so more is free."""
    return Limit(f"address:{client}", free=20)


def wait_s(failures: int, free: int) -> int:
    """Seconds to wait before the next try, after so many failures."""
    if failures < free:
        return 0
    return min(LONGEST_WAIT_S, FIRST_WAIT_S << min(failures - free, 10))


def count_try(limits: Iterable[Limit]) -> None:
    """Count one try for each limit. Raises TooManyAttempts, counting nothing, while one waits."""
    with transaction():
        at = now()
        rows = [(limit, _row(limit, at)) for limit in limits]
        left = max((_left_s(row, limit, at) for limit, row in rows), default=0)
        if left > 0:
            minutes = math.ceil(left / 60)
            raise TooManyAttempts(
                f"Too many wrong tries. Wait {minutes} {'minute' if minutes == 1 else 'minutes'}, "
                "then try again.",
                retry_after_s=left,
            )
        for _, row in rows:
            Throttle.update(failures=row.failures + 1, last_at=at).where(
                Throttle.id == row.id
            ).execute()


def succeeded(limits: Iterable[Limit]) -> None:
    """The try was right: it doesn't count, and the account starts afresh."""
    with transaction():
        for limit in limits:
            row = Throttle.get_or_none(Throttle.key == limit.key)
            if row is None:
                continue
            if limit.key.startswith("account:") or row.failures <= 1:
                row.delete_instance()
            else:
                Throttle.update(failures=row.failures - 1).where(Throttle.id == row.id).execute()


def take_share(share: Share) -> None:
    """Count one. Raises TooManyAttempts when the share of this hour is used up."""
    with transaction():
        at = now()
        row: Throttle | None = Throttle.get_or_none(Throttle.key == share.key)
        if row is None:
            Throttle.create(key=share.key, failures=1, last_at=at)
            return
        # ``last_at`` is when the hour began; a wall clock that was set back begins a new one.
        begun = row.last_at if at - SHARE_FOR < row.last_at <= at else at
        used = row.failures if begun == row.last_at else 0
        if used >= share.most:
            left_s = math.ceil((begun + SHARE_FOR - at).total_seconds())
            minutes = math.ceil(left_s / 60)
            raise TooManyAttempts(
                f"{share.most} files were sent from here within an hour. The next can be sent in "
                f"{minutes} {'minute' if minutes == 1 else 'minutes'}.",
                retry_after_s=left_s,
            )
        Throttle.update(failures=used + 1, last_at=begun).where(Throttle.id == row.id).execute()


def _row(limit: Limit, at: datetime) -> Throttle:
    row: Throttle | None = Throttle.get_or_none(Throttle.key == limit.key)
    if row is None:
        row = Throttle.create(key=limit.key, failures=0, last_at=at)
    if row.last_at + FORGOTTEN_AFTER < at:
        row.failures = 0
    return row


def _left_s(row: Throttle, limit: Limit, at: datetime) -> int:
    """A wall clock that was set back doesn't lengthen the wait beyond its full length."""
    wait = wait_s(row.failures, limit.free)
    gone = max(0.0, (at - row.last_at).total_seconds())
    return math.ceil(max(0.0, wait - gone))
