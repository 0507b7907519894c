"""What the API says about posts and accounts; kept stable, because scripts rely on it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from peewee import JOIN, fn

from appliance.models import Account, Attempt, PostTarget, Rendition
from appliance.states import TARGET_ENDED, PostState, TargetState
from tasks.publish import budgets, taken
from web import lateness, posting_words
from web.posting_words import Part
from web.target_links import link_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import Post
    from web.lateness import Lateness


@dataclass(frozen=True)
class AllowanceShape:
    """What the platform allows within a while. ``free_at``: when the next post fits; null: now."""

    name: str
    label: str
    used: int
    limit: int
    posts_left: int
    free_at: datetime | None


@dataclass(frozen=True)
class AccountShape:
    """``state``: connected, reconnect (somebody has to sign in again) or disabled. ``expires_at``:
    when the sign-in ends at the latest; null: no end is known."""

    id: str
    platform: str
    name: str
    state: str
    error: str | None
    practice: bool
    """On this box's own stand-in of the platform: nothing leaves the box."""
    stage_ahead: bool
    link: str | None
    warning: str | None
    expires_at: datetime | None
    checked_at: datetime | None
    paused_until: datetime | None
    allowances: list[AllowanceShape]


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
    path: str | None
    """"fast": the version was ready when it was wanted; "fallback": it had to be waited for."""
    edited_at: datetime | None
    removed_at: datetime | None
    """When its text was changed on the platform, and when it was removed there, from here."""
    numbers: dict[str, int]
    """views, likes, comments: what the platform counts, as far as it was asked."""
    numbers_at: datetime | None


@dataclass(frozen=True)
class PostShape:
    post_id: str
    video_id: str
    status: str
    message: str
    """The same for people: "Posting to platforms... (YouTube done, Facebook waiting)"."""
    platforms: list[str]
    title: str
    description: str
    results: list[ResultShape]
    error: str | None
    publish_at: datetime | None
    time_zone: str
    approval: str
    """not_needed, requested (a draft that waits for a yes), approved, refused."""
    approval_note: str
    late_since: datetime | None
    """Its time passed while the box could not post, and a person decides: reschedule it."""
    hold_there: bool
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
    return [
        AccountShape(
            id=row.public_id,
            platform=row.platform,
            name=row.name,
            state=row.state,
            error=row.error,
            practice=row.practice,
            stage_ahead=row.stage_ahead,
            link=row.facts.get("link") or None,
            warning=row.facts.get("warning"),
            expires_at=row.expires_at,
            checked_at=row.checked_at,
            paused_until=row.paused_until,
            allowances=[
                AllowanceShape(
                    use.bucket, use.label, use.used, use.limit, use.posts_left, use.free_at
                )
                for use in budgets.usage(row)
            ],
        )
        for row in accounts
    ]


def load_posts(posts: Sequence[Post], *, base_url: str) -> list[PostShape]:
    """Shapes for posts in hand (with their videos joined), in their order.

    Three queries, and some for each that is scheduled and whose video isn't ready.
    """
    targets: defaultdict[int, dict[int, PostTarget]] = defaultdict(dict)
    rows = list(
        PostTarget.select(PostTarget, Account, Rendition)
        .join(Account)
        .switch(PostTarget)
        .join(Rendition, JOIN.LEFT_OUTER)
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
            message=_message(post, list(targets[post.id].values())),
            platforms=sorted({t.account.platform for t in targets[post.id].values()}),
            title=post.title,
            description=post.description,
            results=[_result(post, t, tries[t.id], base_url) for t in targets[post.id].values()],
            error=post.error,
            publish_at=post.publish_at,
            time_zone=post.time_zone,
            approval=post.approval,
            approval_note=post.approval_note,
            late_since=post.late_since,
            hold_there=post.hold_there,
            created_at=post.created_at,
            updated_at=post.updated_at,
            finished_at=post.finished_at,
            status_url=status_url(post, base_url),
            **warning_of(late[post.id]),
        )
        for post in posts
    ]


def _message(post: Post, targets: Sequence[PostTarget]) -> str:
    parts = [
        Part(t.account.platform, t.account.name, t.state, t.url or "", t.error or "")
        for t in targets
    ]
    return posting_words.tell(post.state, parts).sentence


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


def _result(post: Post, target: PostTarget, attempts: int, base_url: str) -> ResultShape:
    took = taken.of(post, target)
    ended = target.state in TARGET_ENDED and target.state is not TargetState.NEEDS_PERSON
    return ResultShape(
        target_id=target.public_id,
        account=target.account.public_id,
        account_name=target.account.name,
        platform=target.account.platform,
        state=target.state,
        stage=target.stage,
        success=target.state is TargetState.PUBLISHED if ended else None,
        url=link_of(target, base_url=base_url) or None,
        remote_id=target.remote_id,
        error=target.error,
        error_code=target.error_code,
        error_detail=target.error_detail,
        attempts=attempts,
        generation=target.generation,
        published_at=target.published_at,
        path=took.path if took is not None else None,
        edited_at=target.edited_at,
        removed_at=target.deleted_at,
        numbers=target.numbers,
        numbers_at=target.numbers_at,
    )


@dataclass(frozen=True)
class AttemptShape:
    """One call of a platform. ``outcome``: null while it is under way, or when its answer was
    lost with the worker."""

    target_id: str
    generation: int
    account: str
    account_name: str
    platform: str
    step: str
    outcome: str | None
    error: str | None
    detail: str | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class AttemptList:
    items: list[AttemptShape]


def load_attempts(post: Post, *, limit: int = 500) -> AttemptList:
    """What was tried for a post, of all generations of its targets, the newest first."""
    rows: Any = (
        Attempt.select(Attempt, PostTarget, Account)
        .join(PostTarget)
        .join(Account)
        .where(PostTarget.post == post)
        .order_by(Attempt.id.desc())
        .limit(limit)
    )
    return AttemptList([_attempt(row) for row in rows])


def _attempt(row: Attempt) -> AttemptShape:
    target = row.target
    return AttemptShape(
        target_id=target.public_id,
        generation=target.generation,
        account=target.account.public_id,
        account_name=target.account.name,
        platform=target.account.platform,
        step=row.step,
        outcome=row.outcome,
        error=row.error,
        detail=row.detail,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


# Seconds after which asking again makes sense. Source: the notes' poll of 3 s, with exponential
# back-off, for those who don't listen to GET /api/v1/events.
_FIRST_S, _LONGEST_S, _LONGEST_SCHEDULED_S = 3, 60, 300


def retry_after_s(post: Post, changed_at: datetime, now: datetime) -> int | None:
    """The pause doubles while nothing changes, and is short again when something has.

    ``changed_at``: the post's last change or that of an account of it. None: nothing will change
    by itself.
    """
    if post.state in (PostState.PENDING, PostState.PROCESSING):
        quiet_s = int((now - changed_at).total_seconds())
        return max(_FIRST_S, min(quiet_s, _LONGEST_S))
    if post.state is PostState.SCHEDULED and post.publish_at is not None:
        left_s = int((post.publish_at - now).total_seconds())
        return max(_FIRST_S, min(left_s, _LONGEST_SCHEDULED_S))
    return None


def changed_at(post: Post) -> datetime:
    """When it, or an account of it, changed last."""
    last = PostTarget.select(fn.MAX(PostTarget.updated_at)).where(PostTarget.post == post).scalar()
    return max(post.updated_at, last) if last is not None else post.updated_at
