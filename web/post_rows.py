"""Posts as the pages show them: loaded dataclasses, see web/rows.py for the rules."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from peewee import JOIN

from appliance import access
from appliance.clock import now
from appliance.models import Account, Attempt, Job, Post, PostTarget, Rendition, Role, User
from appliance.states import POST_ENDED, AccountState, JobState, PostState, TargetState
from tasks.publish import taken
from tasks.publish.registry import capabilities_of
from web import lateness, posting_words, words
from web.post_badge import badge_of
from web.posting_words import Part, Told, platform_name
from web.rows import poster_url
from web.target_links import link_of
from web.words import Badge, _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.publish.publisher import Capabilities

# Of what was tried for one account, the latest.
SHOWN_TRIES = 40
_NOT_OUT = (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED)


@dataclass(frozen=True)
class TryRow:
    """One call of a platform, for those who look for the reason."""

    what: str
    outcome: str
    error: str
    detail: str
    started_at: datetime
    took_s: float | None


@dataclass(frozen=True)
class TargetRow:
    """One account of a post, and how it went there."""

    id: str
    account: str
    platform: str
    platform_name: str
    practice: bool
    badge: Badge
    state: TargetState
    stage: str
    url: str
    error: str
    detail: str
    published_at: datetime | None
    edited_at: datetime | None
    deleted_at: datetime | None
    numbers: str
    """What the platform counts: "1,204 views, 17 likes"; "" when nobody asked."""
    numbers_at: datetime | None
    path: str
    """Which file was taken, and whether it had to be waited for."""
    title: str
    description: str
    may_retry: bool
    needs_person: bool
    reconnect: bool
    may_edit: bool
    may_remove: bool
    doing: str
    """What is being done to it on the platform; "" nothing."""
    undone: str
    """Why the last change or removal there didn't happen, if so."""
    why_not: str
    """Why what is published can be neither changed nor removed from here, if so."""
    tries: list[TryRow] = field(default_factory=list)


@dataclass(frozen=True)
class PostRow:
    id: str
    video_id: str
    video_title: str
    poster: str
    title: str
    description: str
    badge: Badge
    state: PostState
    author: str
    created_at: datetime
    publish_at: datetime | None
    error: str
    told: Told
    brief: str
    """What its window is called: the state, and of one on its way each account's."""
    may_retry: bool
    may_cancel: bool
    as_of: str
    """When it was changed last, for a yes to what was read."""
    late: str
    """That it won't be ready in time, if so."""
    targets: list[TargetRow] = field(default_factory=list)

    @property
    def failed_targets(self) -> int:
        return sum(target.state is TargetState.FAILED for target in self.targets)


def load_posts(
    user: User, posts: Sequence[Post], *, zone: str = "UTC", tries: bool = False
) -> list[PostRow]:
    """Rows for posts in hand (with their videos joined), in their order.

    ``tries``: with all that was tried for each account; for a page of one post.
    """
    targets: defaultdict[int, dict[int, PostTarget]] = defaultdict(dict)
    rows = (
        PostTarget.select(PostTarget, Account, Rendition)
        .join(Account)
        .switch(PostTarget)
        .join(Rendition, JOIN.LEFT_OUTER)
        .where(PostTarget.post.in_([post.id for post in posts]))
        .order_by(PostTarget.generation, PostTarget.id)
    )
    for target in rows:
        targets[target.post_id][target.account_id] = target  # the newest generation stays
    authors = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({p.author_id for p in posts if p.author_id}))
    }
    ids = [post.id for post in posts]
    tried, follow_ups = _load_tries(ids) if tries else {}, _load_follow_ups(ids)
    return [
        _post_row(
            user,
            post,
            authors,
            zone,
            [
                _target_row(
                    user,
                    post,
                    target,
                    tried.get((post.id, target.account_id), []),
                    follow_ups.get(target.id),
                )
                for target in targets[post.id].values()
            ],
        )
        for post in posts
    ]


def _load_follow_ups(post_ids: Sequence[int]) -> dict[int, Job]:
    """Target → the last job that changes or removes what is published."""
    rows = Job.select().where(Job.post.in_(list(post_ids)), Job.kind.in_(list(_FOLLOW_UPS)))
    return {row.target_id: row for row in rows.order_by(Job.id) if row.target_id is not None}


def _load_tries(post_ids: Sequence[int]) -> dict[tuple[int, int], list[TryRow]]:
    """(post, account) → what was tried, of all generations, the newest first."""
    found: defaultdict[tuple[int, int], list[TryRow]] = defaultdict(list)
    rows: Any = (
        Attempt.select(Attempt, PostTarget)
        .join(PostTarget)
        .where(PostTarget.post.in_(list(post_ids)))
        .order_by(Attempt.id.desc())
    )
    for row in rows:
        tries = found[row.target.post_id, row.target.account_id]
        if len(tries) < SHOWN_TRIES:
            tries.append(_try_row(row))
    return found


_FOLLOW_UPS = {
    "edit": ("Changing the text there", "The text there stays as it was: {error}"),
    "remove": ("Removing it there", "It is still there: {error}"),
}


def _follow_up(job: Job | None) -> tuple[str, str]:
    """What is being done there, and why the last try of it came to nothing."""
    if job is None:
        return "", ""
    doing, undone = _FOLLOW_UPS[job.kind]
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        return _(doing), ""
    if job.state is JobState.FAILED:
        return "", _(undone, error=job.error or _("no reason is known."))
    return "", ""


_STEPS = {
    "stage": "Handed over",
    "poll": "Asked how far it is",
    "go_live": "Made public",
    "reconcile": "Looked whether it is there",
    "edit": "Changed the text",
    "comment": "Wrote the first comment",
    "delete": "Removed",
    "numbers": "Asked for numbers",
    "retry": "Retry was pressed",
}


# As tasks/publish/answers.py and follow_up.py write them.
_OUTCOMES = {
    "asked": "asked for",
    "again": "prepared again",
    "done": "done",
    "gave_up": "given up",
    "gone": "not there",
    "held": "scheduled there",
    "left": "could not be taken back",
    "lost": "the worker was lost",
    "must_edit": "has to be changed first",
    "needs_person": "the platform can't tell",
    "published": "public",
    "reconnect": "the sign-in was refused",
    "refused": "refused",
    "removed": "taken back",
    "removed_there": "was removed there",
    "retry": "to be tried again",
    "staged": "prepared",
    "throttled": "asked to wait",
    "unsure": "the answer was lost",
    "waiting": "worked on there",
}


def _try_row(attempt: Attempt) -> TryRow:
    took = attempt.ended_at - attempt.started_at if attempt.ended_at else None
    return TryRow(
        what=_(_STEPS.get(attempt.step, attempt.step)),
        outcome=_(_OUTCOMES.get(attempt.outcome, attempt.outcome))
        if attempt.outcome
        else _("no answer is known"),
        error=attempt.error or "",
        detail=attempt.detail or "",
        started_at=attempt.started_at,
        took_s=took.total_seconds() if took is not None else None,
    )


def _post_row(
    user: User, post: Post, authors: dict[int, str], zone: str, shown: list[TargetRow]
) -> PostRow:
    may_change = access.at_least(user, Role.EDITOR)
    number = ""
    if post.state is PostState.SCHEDULED and post.publish_at:
        number = words.clock_time(post.publish_at, zone, now())
    parts = [Part(t.platform, t.account, t.state, t.url, t.error) for t in shown]
    badge = words.badge(post.state, number=number)
    return PostRow(
        id=post.public_id,
        video_id=post.video.public_id,
        video_title=post.video.title,
        poster=poster_url(post.video),
        title=post.title or post.video.title,
        description=post.description,
        badge=badge_of(post, number=number),
        state=post.state,
        author=authors.get(post.author_id or 0, ""),
        created_at=post.created_at,
        publish_at=post.publish_at,
        error=post.error or "",
        told=posting_words.tell(post.state, parts),
        brief=posting_words.brief(parts) if post.state is PostState.PROCESSING else badge.word,
        may_retry=may_change and any(t.state is TargetState.FAILED for t in shown),
        may_cancel=may_change
        and post.state not in POST_ENDED
        and any(t.state in _NOT_OUT for t in shown),
        as_of=post.updated_at.isoformat(),
        late=late.sentence if (late := lateness.of_post(post, zone)) is not None else "",
        targets=shown,
    )


def _target_row(
    user: User, post: Post, target: PostTarget, tries: list[TryRow], follow_up: Job | None
) -> TargetRow:
    may_change = access.at_least(user, Role.EDITOR)
    doing, undone = _follow_up(follow_up)
    account: Account = target.account
    capabilities = capabilities_of(account.platform)
    out = target.state is TargetState.PUBLISHED and target.deleted_at is None
    usable = may_change and out and account.state is AccountState.CONNECTED and not doing
    editable = usable and capabilities is not None and bool(capabilities.can_edit)
    unsent = may_change and target.state in (*_NOT_OUT, TargetState.FAILED)
    deletable = capabilities is not None and capabilities.can_delete
    may_remove = usable and deletable and access.may_delete_post(user, post)
    return TargetRow(
        id=target.public_id,
        account=account.name,
        platform=account.platform,
        platform_name=platform_name(account.platform),
        practice=account.practice,
        badge=_badge(post, target),
        state=target.state,
        stage="" if undone else target.stage,
        url=link_of(target),
        error=target.error or "",
        detail=target.error_detail or "",
        published_at=target.published_at,
        edited_at=target.edited_at,
        deleted_at=target.deleted_at,
        numbers=_numbers(target.numbers),
        numbers_at=target.numbers_at,
        path=_path(post, target),
        title=target.overrides.get("title") or post.title,
        description=target.overrides.get("description") or post.description,
        may_retry=may_change and target.state is TargetState.FAILED,
        needs_person=may_change and target.state is TargetState.NEEDS_PERSON,
        reconnect=account.state is AccountState.RECONNECT,
        may_edit=editable or unsent,
        may_remove=may_remove,
        doing=doing,
        undone=undone,
        why_not=_why_not(capabilities) if usable else "",
        tries=tries,
    )


def _badge(post: Post, target: PostTarget) -> Badge:
    if target.deleted_at is not None:
        return Badge("removed", "neutral", "trash", _("Removed there"))
    if target.state is TargetState.STAGED and target.held_until is not None:
        return Badge("held", "live", "calendar", _("Scheduled there"))
    if target.state is TargetState.STAGED and post.state is PostState.PROCESSING and _later(post):
        return Badge("prepared", "live", "check", _("Prepared"))
    return words.badge(target.state)


def _later(post: Post) -> bool:
    return post.publish_at is not None and post.publish_at > now()


def _why_not(capabilities: Capabilities | None) -> str:
    if capabilities is None or (capabilities.can_edit and capabilities.can_delete):
        return ""
    name = capabilities.label
    if capabilities.can_edit:
        return _("{name} lets nobody remove a post from outside; do it there.", name=name)
    if capabilities.can_delete:
        return _("{name} lets nobody change a text from outside; do it there.", name=name)
    return _("{name} lets nobody change or remove a post from outside; do it there.", name=name)


_NUMBER_WORDS = {
    "views": ("{n} view", "{n} views"),
    "likes": ("{n} like", "{n} likes"),
    "comments": ("{n} comment", "{n} comments"),
    "shares": ("{n} share", "{n} shares"),
}


def _numbers(counted: dict[str, int]) -> str:
    known = [
        words.count(counted[name], one, many)
        for name, (one, many) in _NUMBER_WORDS.items()
        if name in counted
    ]
    return ", ".join(known)


def _path(post: Post, target: PostTarget) -> str:
    took = taken.of(post, target)
    if took is None:
        return ""
    if took.fast:
        return _("The version was ready: sent at once (fast path).")
    waited = words.spoken_duration(took.waited_s)
    return _("Waited {time} for the version to be made (fallback).", time=waited)
