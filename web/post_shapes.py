"""What the API says about posts and accounts; kept stable, because scripts rely on it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance.models import Account, Attempt, PostTarget
from appliance.states import TARGET_ENDED, PostState, TargetState
from web import lateness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import Post
    from web.lateness import Lateness


@dataclass(frozen=True)
class AccountShape:
    id: str
    platform: str
    name: str
    state: str
    error: str | None


@dataclass(frozen=True)
class AccountList:
    items: list[AccountShape]


@dataclass(frozen=True)
class ResultShape:
    """One account of a post. ``success``: null as long as it isn't known."""

    target_id: str
    account: str
    account_name: str
    platform: str
    state: str
    stage: str
    success: bool | None
    url: str | None
    remote_id: str | None
    error: str | None
    error_code: str | None
    error_detail: str | None
    attempts: int
    generation: int
    published_at: datetime | None


@dataclass(frozen=True)
class PostShape:
    post_id: str
    video_id: str
    status: str
    platforms: list[str]
    title: str
    description: str
    results: list[ResultShape]
    error: str | None
    publish_at: datetime | None
    time_zone: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    warning: str | None
    """Of a scheduled one: that the video won't be ready in time. It goes out when it is."""
    ready_from: datetime | None
    ready_by: datetime | None
    status_url: str


@dataclass(frozen=True)
class PostList:
    items: list[PostShape]
    next_cursor: str | None


def load_accounts(accounts: Sequence[Account]) -> list[AccountShape]:
    return [AccountShape(a.public_id, a.platform, a.name, a.state, a.error) for a in accounts]


def load_posts(posts: Sequence[Post], *, base_url: str) -> list[PostShape]:
    """Shapes for posts in hand (with their videos joined), in their order.

    Three queries, and some for each that is scheduled and whose video isn't ready.
    """
    targets: defaultdict[int, dict[int, PostTarget]] = defaultdict(dict)
    rows = list(
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(PostTarget.post.in_([post.id for post in posts]))
        .order_by(PostTarget.generation, PostTarget.id)
    )
    for target in rows:
        targets[target.post_id][target.account_id] = target  # the newest generation stays
    tries = _count_tries(rows)
    late = {post.id: lateness.of_post(post, post.time_zone) for post in posts}
    return [
        PostShape(
            post_id=post.public_id,
            video_id=post.video.public_id,
            status=post.state,
            platforms=sorted({t.account.platform for t in targets[post.id].values()}),
            title=post.title,
            description=post.description,
            results=[_result(t, tries[t.id]) for t in targets[post.id].values()],
            error=post.error,
            publish_at=post.publish_at,
            time_zone=post.time_zone,
            created_at=post.created_at,
            updated_at=post.updated_at,
            finished_at=post.finished_at,
            status_url=status_url(post, base_url),
            **warning_of(late[post.id]),
        )
        for post in posts
    ]


def warning_of(late: Lateness | None) -> dict[str, Any]:
    """The fields that say so."""
    return {
        "warning": late.sentence if late is not None else None,
        "ready_from": late.ready_from if late is not None else None,
        "ready_by": late.ready_by if late is not None else None,
    }


def status_url(post: Post, base_url: str) -> str:
    return f"{base_url}/api/v1/posts/{post.public_id}"


def _count_tries(targets: Sequence[PostTarget]) -> defaultdict[int, int]:
    """How often each was handed over or made public, whichever is more."""
    calls: defaultdict[tuple[int, str], int] = defaultdict(int)
    attempts = Attempt.select(Attempt.target, Attempt.step).where(
        Attempt.target.in_([target.id for target in targets]),
        Attempt.step.in_(["stage", "go_live"]),
    )
    for attempt in attempts:
        calls[attempt.target_id, attempt.step] += 1
    tries: defaultdict[int, int] = defaultdict(int)
    for (target_id, _), number in calls.items():
        tries[target_id] = max(tries[target_id], number)
    return tries


def _result(target: PostTarget, attempts: int) -> ResultShape:
    ended = target.state in TARGET_ENDED and target.state is not TargetState.NEEDS_PERSON
    return ResultShape(
        target_id=target.public_id,
        account=target.account.public_id,
        account_name=target.account.name,
        platform=target.account.platform,
        state=target.state,
        stage=target.stage,
        success=target.state is TargetState.PUBLISHED if ended else None,
        url=target.url,
        remote_id=target.remote_id,
        error=target.error,
        error_code=target.error_code,
        error_detail=target.error_detail,
        attempts=attempts,
        generation=target.generation,
        published_at=target.published_at,
    )


# Seconds after which asking again makes sense; None: nothing will change by itself.
_ASK_AGAIN = {PostState.SCHEDULED: 60, PostState.PENDING: 3, PostState.PROCESSING: 3}


def retry_after_s(post: Post) -> int | None:
    return _ASK_AGAIN.get(post.state)
