"""What is planned, and what went out lately, as plain values for appliance/schedule.py.

All functions want a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import access
from appliance.models import Account, Post, PostTarget, User, Video
from appliance.schedule import Planned
from appliance.states import PostState, TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

PRIVATE = "A private video"


def load(
    start: datetime,
    end: datetime,
    *,
    viewer: User | None = None,
    platforms: Sequence[str] | None = None,
) -> list[Planned]:
    """Each account of each post that goes or went out from ``start`` to ``end``, in that order.

    Drafts with a time count: they hold their place. What failed or was called back doesn't.
    ``viewer``: who reads it; of private videos that aren't theirs the title stays out.
    """
    query = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(
            PostTarget.state.not_in([TargetState.FAILED, TargetState.CANCELLED]),
            _between(PostTarget.published_at, start, end)
            | (PostTarget.published_at.is_null() & _between(Post.publish_at, start, end))
            | (
                PostTarget.published_at.is_null()
                & Post.publish_at.is_null()
                & (Post.state != PostState.DRAFT)
                & _between(Post.created_at, start, end)
            ),
        )
    )
    if platforms is not None:
        query = query.where(Account.platform.in_(platforms))
    seen = _visible(viewer, {target.post.video_id for target in query})
    return sorted((_planned(target, seen) for target in query), key=lambda plan: plan.at)


def _between(column: Any, start: datetime, end: datetime) -> Any:
    return (column >= start) & (column <= end)


def _visible(viewer: User | None, video_ids: Iterable[int]) -> set[int] | None:
    if viewer is None:
        return None
    rows = access.visible_videos(viewer).where(Video.id.in_(list(video_ids)))
    return {row.id for row in rows}


def _planned(target: PostTarget, seen: set[int] | None) -> Planned:
    post = target.post
    hidden = seen is not None and post.video_id not in seen
    return Planned(
        post=post.public_id,
        title=PRIVATE if hidden else post.title or post.video.title,
        account=target.account_id,
        account_name=target.account.name,
        platform=target.account.platform,
        at=target.published_at or post.publish_at or post.created_at,
        pool=pool_of(target.account),
    )


def pool_of(account: Account) -> str:
    """Which accounts share an allowance with this one: those of the same platform, or stand-in."""
    return f"{account.platform} practice" if account.practice else account.platform


def without_accounts(start: datetime, end: datetime, *, but: str = "") -> list[datetime]:
    """The times of drafts that have a time but no account yet: they hold their place for all."""
    with_some = PostTarget.select(PostTarget.post)
    rows = Post.select(Post.publish_at).where(
        Post.state == PostState.DRAFT,
        _between(Post.publish_at, start, end),
        Post.id.not_in(with_some),
        Post.public_id != but,
    )
    return [row.publish_at for row in rows if row.publish_at is not None]
