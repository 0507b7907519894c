"""Allowances of platforms: what was used of them, and when there is room again.

The platforms' limits are data of their publishers (``tasks.publish.publisher.Bucket``); what calls
have cost is counted here in rows. ``tasks.publish.budgets`` brings both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from appliance.clock import now
from appliance.models import Account, QuotaUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import PostTarget

KEEP = timedelta(days=8)


@dataclass(frozen=True)
class Spent:
    """``units`` at one time."""

    at: datetime
    units: int


@dataclass(frozen=True)
class Window:
    """``resets``: a zone at whose midnight it begins anew; "": it slides, ``seconds`` long."""

    seconds: float
    resets: str = ""


def window_start(window: Window, at: datetime) -> datetime:
    """What was spent before no longer counts at ``at``."""
    if not window.resets:
        return at - timedelta(seconds=window.seconds)
    here = at.astimezone(ZoneInfo(window.resets))
    return here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def used(spent: Sequence[Spent], window: Window, at: datetime) -> int:
    start = window_start(window, at)
    return sum(each.units for each in spent if each.at > start)


def free_at(
    spent: Sequence[Spent], window: Window, *, limit: int, need: int, at: datetime
) -> datetime | None:
    """When ``need`` units can be spent; None: at once. A need above the limit: when all is free."""
    counting = sorted(
        (each for each in spent if each.at > window_start(window, at)), key=lambda each: each.at
    )
    over = sum(each.units for each in counting) + min(need, limit) - limit
    if over <= 0:
        return None
    if window.resets:
        return next_midnight(window.resets, at)
    for each in counting:
        over -= each.units
        if over <= 0:
            return each.at + timedelta(seconds=window.seconds)
    return None


def next_midnight(zone: str, at: datetime) -> datetime:
    """The next beginning of a day there, in ``at``'s zone. A day may have 23 or 25 hours."""
    day = at.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return midnight.astimezone(at.tzinfo)


# Rows


def spend(account: Account, bucket: str, units: int, *, target: PostTarget | None = None) -> None:
    """Wants a connection."""
    QuotaUse.create(account=account, target=target, bucket=bucket, units=units)


def spent_of(account: Account, bucket: str, *, since: datetime, shared: bool) -> list[Spent]:
    """What was spent of ``bucket`` since; ``shared``: by all accounts of its platform."""
    query = QuotaUse.select(QuotaUse.at, QuotaUse.units).where(
        QuotaUse.bucket == bucket, QuotaUse.at > since
    )
    if shared:
        same = Account.select(Account.id).where(
            Account.platform == account.platform, Account.practice == account.practice
        )
        query = query.where(QuotaUse.account.in_(same))
    else:
        query = query.where(QuotaUse.account == account)
    return [Spent(row.at, row.units) for row in query.order_by(QuotaUse.at)]


def spent_by(target: PostTarget, bucket: str, *, since: datetime) -> int:
    """What one target has taken already."""
    rows = QuotaUse.select(QuotaUse.units).where(
        QuotaUse.target == target, QuotaUse.bucket == bucket, QuotaUse.at > since
    )
    return sum(row.units for row in rows)


def prune() -> int:
    """Forget what no window counts any more; how many rows."""
    return int(QuotaUse.delete().where(QuotaUse.at < now() - KEEP).execute())
