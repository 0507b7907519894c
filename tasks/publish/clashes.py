"""What stands against a time for a post: another one too close, or more than a platform takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance import planned, schedule, schedule_rules
from appliance.schedule import Allowance, Clash, Planned
from tasks.publish.registry import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.models import Account, User


def allowances_of(platform: str) -> list[Allowance]:
    """What one account there may do, as far as a post takes of it."""
    capabilities = capabilities_of(platform)
    if capabilities is None:
        return []
    return [
        Allowance(
            bucket.label,
            bucket.limit,
            timedelta(seconds=bucket.window_s),
            bucket.post,
            bucket.resets,
            bucket.shared,
        )
        for bucket in capabilities.buckets
        if bucket.post > 0
    ]


def of_time(
    at: datetime, accounts: Sequence[Account], *, viewer: User | None, post: str = ""
) -> list[Clash]:
    """For a post to ``accounts`` at ``at``. ``post``: the one that is moved; it isn't in its own
    way. Wants a connection."""
    plans = [Planned(post, "", a.id, a.name, a.platform, at, planned.pool_of(a)) for a in accounts]
    return [clash for found in of_plans(plans, viewer=viewer).values() for clash in found]


def of_plans(plans: Sequence[Planned], *, viewer: User | None) -> dict[str, list[Clash]]:
    """Post → what stands against it, for plans in hand; one query for all of them."""
    if not plans:
        return {}
    apart = schedule_rules.current().apart
    allowances = {p: allowances_of(p) for p in {plan.platform for plan in plans}}
    reach = max([apart, *(a.window for found in allowances.values() for a in found)])
    moments = [plan.at for plan in plans]
    others = planned.load(
        min(moments) - reach, max(moments) + reach, viewer=viewer, platforms=sorted(allowances)
    )
    found: dict[str, list[Clash]] = {}
    for plan in plans:
        against = schedule.clashes(plan, others, apart=apart, allowances=allowances[plan.platform])
        if against:
            found.setdefault(plan.post, []).extend(against)
    return found
