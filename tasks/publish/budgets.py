"""What an account may still do today: the platform's allowances, and what was used of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance import allowances
from appliance.allowances import Spent, Window
from appliance.clock import now
from appliance.models import Account, Post, PostTarget, Rendition, Video
from appliance.states import TargetState
from tasks.publish import material
from tasks.publish.registry import capabilities_of

if TYPE_CHECKING:
    from tasks.publish.publisher import Bucket


# What a platform said of its own counting is old after this.
ASK_AGAIN = timedelta(hours=1)
# Until what is going out has spent its share, or failed.
OTHERS_TAKE = timedelta(seconds=15)


@dataclass(frozen=True)
class Use:
    """One allowance of an account, for the screen.

    ``posts_left``: so many more posts fit. ``free_at``: when the next one fits again; None: now.
    """

    bucket: str
    label: str
    used: int
    limit: int
    posts_left: int
    free_at: datetime | None = None


def usage(account: Account) -> list[Use]:
    """All allowances of ``account``; [] for a platform without any. Wants a connection."""
    capabilities = capabilities_of(account.platform)
    return [_use(account, bucket) for bucket in capabilities.buckets] if capabilities else []


def room_at(target: PostTarget) -> tuple[datetime, str] | None:
    """When there is room for one more post of the target's account, and why not before, in words;
    None: now. Others that are going out at this moment count as if they had spent theirs.
    Inside the transaction that then lets it go."""
    capabilities = capabilities_of(target.account.platform)
    latest: tuple[datetime, str] | None = None
    for bucket in capabilities.buckets if capabilities else ():
        if not _concerns(bucket, target):
            continue
        at = now()
        window = Window(bucket.window_s, bucket.resets)
        since = allowances.window_start(window, at)
        need = bucket.post - allowances.spent_by(target, bucket.name, since=since)
        if need <= 0:
            continue
        limit, spent = _known(target.account, bucket, at)
        taken = Spent(at, bucket.post * _going_out(target, bucket, since))
        if allowances.free_at([*spent, taken], window, limit=limit, need=need, at=at) is None:
            continue
        used = allowances.used(spent, window, at)
        when = allowances.free_at(spent, window, limit=limit, need=need, at=at)
        if when is not None:
            why = f"The allowance “{bucket.label}” is used up ({used} of {limit})"
        else:  # by others that may fail, and leave it
            when = at + OTHERS_TAKE
            why = (
                f"Others that go out just now take the rest of “{bucket.label}” ({used} of {limit})"
            )
        if latest is None or when > latest[0]:
            latest = when, why
    return latest


def _concerns(bucket: Bucket, target: PostTarget) -> bool:
    if bucket.concerns is None:
        return True
    media = material.media_for(target)
    rendition = media if isinstance(media, Rendition) else None
    facts = material.facts_of(target.post.video, rendition)
    return bucket.concerns(material.draft_of(target), facts)


def _use(account: Account, bucket: Bucket) -> Use:
    at = now()
    window = Window(bucket.window_s, bucket.resets)
    limit, spent = _known(account, bucket, at)
    used = allowances.used(spent, window, at)
    return Use(
        bucket.name,
        bucket.label,
        used=used,
        limit=limit,
        posts_left=max(0, limit - used) // bucket.post if bucket.post else 0,
        free_at=allowances.free_at(spent, window, limit=limit, need=bucket.post, at=at),
    )


def _known(account: Account, bucket: Bucket, at: datetime) -> tuple[int, list[Spent]]:
    """The limit, and what was spent: as the platform said last, and what we have counted since."""
    since = allowances.window_start(Window(bucket.window_s, bucket.resets), at)
    said: dict[str, Any] = (account.facts or {}).get("allowances", {}).get(bucket.name, {})
    limit = int(said.get("limit", bucket.limit))
    asked_at = datetime.fromisoformat(said["at"]).astimezone(UTC) if said.get("at") else None
    if not bucket.asked or asked_at is None or asked_at <= since:
        spent = allowances.spent_of(account, bucket.name, since=since, shared=bucket.shared)
        return limit, spent
    ours = allowances.spent_of(account, bucket.name, since=since, shared=bucket.shared)
    before = [each for each in ours if each.at <= asked_at]
    # What we know nothing of (somebody posts by hand, too) may have been spent at any time: it
    # counts until it is worth asking again.
    unknown = max(0, int(said.get("used", 0)) - sum(each.units for each in before))
    since_when = asked_at - timedelta(seconds=bucket.window_s) + ASK_AGAIN
    return limit, [*ours, Spent(since_when, unknown)]


def _going_out(target: PostTarget, bucket: Bucket, since: datetime) -> int:
    """Other targets on their way there that haven't spent theirs yet."""
    account = target.account
    same = Account.id == account.id
    if bucket.shared:
        same = (Account.platform == account.platform) & (Account.practice == account.practice)
    others = (
        PostTarget.select(PostTarget, Account, Post, Video)
        .join(Account)
        .switch(PostTarget)
        .join(Post)
        .join(Video)
        .where(
            same,
            PostTarget.id != target.id,
            PostTarget.state.in_([TargetState.STAGING, TargetState.PUBLISHING]),
            PostTarget.updated_at > now() - timedelta(days=1),
        )
    )
    return sum(
        allowances.spent_by(other, bucket.name, since=since) == 0 and _concerns(bucket, other)
        for other in others
    )
