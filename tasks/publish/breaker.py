"""A platform that fails again and again is left alone for a while: a circuit breaker per account.

After `LIMIT` failures in a row the account pauses; then one target tries (*half open*), and the
others follow when that goes well. What a platform refuses about one post is no failure of it.
Source: robustness R13.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance import events
from appliance.models import Account
from tasks.publish.publisher import NeedsReconnect, RetryAt, Step, Unsure

if TYPE_CHECKING:
    from datetime import datetime

LIMIT = 5
LONGEST_PAUSE_S = 600.0
# How long the one that tries has, before another may.
TRIAL = timedelta(minutes=2)
# A pause that the platform asks for concerns all of the account; shorter ones aren't worth it.
WORTH_A_PAUSE = timedelta(seconds=10)


@dataclass(frozen=True)
class Health:
    """Of an account. ``paused_until``: nothing is begun there before."""

    failures: int = 0
    paused_until: datetime | None = None
    reason: str | None = None


def after_step(health: Health, step: Step, now: datetime, first_pause_s: float) -> Health:
    """What an answer says of the account as a whole. Pure."""
    match step:
        case NeedsReconnect():
            return health  # a state of its own
        case RetryAt(counted=False, when=when) if when is not None:
            if when - now < WORTH_A_PAUSE or _is_later(health.paused_until, when):
                return health
            return Health(health.failures, when, step.reason)
        case RetryAt(counted=True) | Unsure():
            failures = health.failures + 1
            if failures < LIMIT:
                return Health(failures, health.paused_until, health.reason)
            until = now + pause_after(failures, first_pause_s)
            return Health(failures, until, f"{step.reason} That was {failures} times in a row.")
    return Health()


def pause_after(failures: int, first_pause_s: float) -> timedelta:
    """Twice as long each time."""
    times = 2.0 ** min(failures - LIMIT, 20)
    return timedelta(seconds=min(LONGEST_PAUSE_S, first_pause_s * times))


def _is_later(paused_until: datetime | None, when: datetime) -> bool:
    return paused_until is not None and paused_until > when


# Rows


def health_of(account: Account) -> Health:
    return Health(account.failures, account.paused_until, account.pause_reason)


def may_begin(account: Account, now: datetime) -> datetime | None:
    """When something may be begun there; None: now. Of those that ask after a pause one gets it.

    Inside a transaction.
    """
    until = account.paused_until
    if until is None:
        return None
    if until > now:
        return until
    if account.failures < LIMIT:
        return None
    taken = (
        Account.update(paused_until=now + TRIAL)
        .where(Account.id == account.id, Account.paused_until == until)
        .execute()
    )
    return None if taken == 1 else now + TRIAL


def keep(account_id: int, step: Step, now: datetime, first_pause_s: float) -> bool:
    """Write down what an answer says; whether the account may go on after a pause. In a
    transaction."""
    account = Account.get_by_id(account_id)
    before = health_of(account)
    after = after_step(before, step, now, first_pause_s)
    if after == before:
        return False
    Account.update(
        failures=after.failures, paused_until=after.paused_until, pause_reason=after.reason
    ).where(Account.id == account_id).execute()
    begins = after.paused_until is not None and before.paused_until is None
    if begins or (before.paused_until is not None and after.paused_until is None):
        events.record(
            "account.paused" if begins else "account.resumed",
            f"account:{account.public_id}",
            account=account.name,
            platform=account.platform,
            reason=after.reason,
        )
    return before.paused_until is not None and after.paused_until is None
