"""What a platform still holds, unseen, of posts that failed: kept a day for Retry, then removed.

Retry goes on with it, so that a film of some gigabytes isn't sent twice and no second upload is
spent. After a day, or as soon as its post is called back or its video deleted, nobody will want it
any more. Removing is the last thing that an allowance is for, and never blind: somebody may have
made it public by hand meanwhile, so it is looked at first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.models import Account, Post, PostTarget, Video
from appliance.states import AccountState, TargetState
from tasks.publish import budgets, sending
from tasks.publish.publisher import (
    Done,
    Failed,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Unsure,
    WaitUntil,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.publish.publisher import Publisher, Step, Target

KEPT_FOR = timedelta(hours=24)
# Of one sweep: a platform that was away for weeks isn't asked about all of it at once.
AT_ONCE = 20


def is_left(target: PostTarget) -> bool:
    """Whether it failed while the platform may hold something of it that nobody sees."""
    failed = target.state is TargetState.FAILED
    return failed and bool(target.checkpoint) and target.staged_as is not None


def let_go(targets: Iterable[PostTarget]) -> None:
    """Nobody will press Retry for these: what is left of them is removed now."""
    for target in targets:
        if is_left(target) and target.account.state is AccountState.CONNECTED:
            sending.make_removing_job(target)


def sweep() -> int:
    """Have removed what has been left for long enough, as far as the allowances have room for
    that; how many. What a platform would make public by itself goes first, and at once."""
    found = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(
            PostTarget.state == TargetState.FAILED,
            PostTarget.checkpoint != {},
            PostTarget.staged_as.is_null(False),
            (PostTarget.updated_at <= now() - KEPT_FOR) | PostTarget.held_until.is_null(False),
            Account.state == AccountState.CONNECTED,
            PostTarget.id.not_in(sending.targets_with_job()),
        )
        .order_by(PostTarget.held_until.is_null(), PostTarget.id)
        .limit(AT_ONCE)
    )
    room: dict[int, bool] = {}
    begun = 0
    for target in found:
        account = target.account
        if account.id not in room:
            room[account.id] = _has_room(account)
        if room[account.id] or target.held_until is not None:
            sending.make_removing_job(target)
            begun += 1
    return begun


def _has_room(account: Account) -> bool:
    """What is left of a day's allowance belongs to posts."""
    return all(2 * use.used <= use.limit for use in budgets.usage(account))


def remove_unseen(publisher: Publisher, target: Target) -> Step:
    """Remove what only we can see. ``Done``: it is public, and stays."""
    match publisher.poll(target):
        case Done() | RetryAt() | NeedsReconnect() | NotThere() as said:
            return said
        case WaitUntil() as working:
            return RetryAt(working.when, "The platform still works on it.", counted=False)
        case Unsure() as unsure:
            return Failed(unsure.reason, "not_found", unsure.detail)
        case _:
            return publisher.delete(replace(target, unseen_only=True))
