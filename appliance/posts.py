"""Posts and their targets: the operations that need rows only.

A post goes to accounts; each account is a *target* with a state of its own, and what the post is
follows from them (`states.post_state`). Every change of a target is a compare-and-set that tells
of itself and works the post's state out anew, in one transaction. What talks to platforms, and
what makes jobs, is in tasks/publish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import access, events, users
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, Forbidden, InvalidInput, NotFound
from appliance.models import Account, Attempt, Job, Post, PostTarget, PublicLink, User, Video
from appliance.post_input import check_time, clean_description, clean_title, for_each_account
from appliance.states import (
    POST_ENDED,
    AccountState,
    JobState,
    PostState,
    TargetState,
    VideoState,
    move,
    post_state,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


# By then the platform has finished with the file, or never needs it again.
NEEDS_NO_LINK = frozenset({TargetState.PUBLISHED, TargetState.FAILED, TargetState.CANCELLED})


def create(
    video: Video,
    accounts: Sequence[Account],
    *,
    author: User | None,
    title: str | None = None,
    description: str | None = None,
    publish_at: datetime | None = None,
    time_zone: str = "UTC",
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    draft: bool = False,
    hold_there: bool = False,
) -> Post:
    """A post with one waiting target for each account; tasks.publish.dispatch.send_off sends it.

    ``title`` and ``description``: the video's when empty. ``publish_at``: aware; None is as soon
    as it can. ``overrides``: account id or platform → other title, description or options.
    ``draft``: nothing is sent before `submit`. ``hold_there``: platforms that can keep it until its
    time shall. ``author`` None: the box's own shell.

    Raises NotFound, Forbidden, Conflict or InvalidInput.
    """
    with transaction():
        video = _postable(video, author)
        chosen = list({account.id: account for account in accounts}.values())
        if not chosen and not draft:
            raise InvalidInput("Choose at least one account to post to.", field="accounts")
        for account in chosen:
            check_account(account)
        post = Post.create(
            video=video,
            author=author,
            title=clean_title(title, field="title") or video.title,
            description=clean_description(description, field="description") or video.description,
            publish_at=check_time(publish_at),
            time_zone=users.check_time_zone(time_zone),
            state=PostState.DRAFT if draft else PostState.PENDING,
            hold_there=hold_there,
        )
        for account, changes in for_each_account(chosen, overrides or {}):
            PostTarget.create(post=post, account=account, overrides=changes)
        _tell(post, "post.created", actor_id=author.id if author else None)
        refresh_state(post)
    return post


def submit(post: Post, *, actor: User | None = None) -> None:
    """A draft is to be sent. Raises Conflict when it isn't one, or has no account."""
    with transaction():
        targets = latest_targets(post)
        if not targets:
            raise Conflict("Choose at least one account to post to.", code="no_account")
        changed = (
            Post.update(state=PostState.PENDING, draft=None, updated_at=now())
            .where(Post.id == post.id, Post.state == PostState.DRAFT)
            .execute()
        )
        if changed != 1:
            raise Conflict("This post was sent already; look again.", code="not_a_draft")
        post.state = PostState.PENDING
        _tell(post, "post.submitted", actor_id=actor.id if actor else None)
        refresh_state(post)


def _postable(video: Video, author: User | None) -> Video:
    fresh = Video.get_or_none(Video.id == video.id)
    if fresh is None or fresh.state is VideoState.TRASHED:
        raise NotFound("The video was deleted. Restore it from the bin to post it.")
    if author is not None:
        access.get_video(author, fresh.public_id)  # raises NotFound
        if not access.may_change(author, fresh):
            raise Forbidden("Viewers can't post. Ask your admin for the role of an editor.")
    return fresh


def check_account(account: Account) -> None:
    """That something can be posted there. Raises InvalidInput."""
    if account.state is AccountState.RECONNECT:
        raise InvalidInput(
            f"“{account.name}” has to be connected again before anything can be posted there.",
            field="accounts",
            code="account_disconnected",
        )
    if account.state is AccountState.DISABLED:
        raise InvalidInput(
            f"“{account.name}” is switched off.", field="accounts", code="account_disabled"
        )


def latest_targets(post: Post) -> list[PostTarget]:
    """One target for each account, in the order they were chosen: of the newest generation."""
    targets = (
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(PostTarget.post == post)
        .order_by(PostTarget.generation, PostTarget.id)
    )
    return list({target.account_id: target for target in targets}.values())


def refresh_state(post: Post) -> PostState:
    """Work out what the post is from its targets, keep it and tell of it if it changed."""
    with transaction():
        fresh = Post.get_by_id(post.id)
        if fresh.state is PostState.DRAFT:
            return PostState.DRAFT
        targets = latest_targets(fresh)
        scheduled = fresh.publish_at is not None and fresh.publish_at > now()
        state = post_state([target.state for target in targets], scheduled=scheduled)
        error = _error_of(targets) if state in POST_ENDED else None
        if (state, error) != (fresh.state, fresh.error):
            ended = state in POST_ENDED
            Post.update(
                state=state, error=error, updated_at=now(), finished_at=now() if ended else None
            ).where(Post.id == fresh.id).execute()
            if state is not fresh.state:
                fresh.state, fresh.error = state, error
                _tell(fresh, f"post.{state.value}", error=error)
        post.state, post.error = state, error
    return state


def _error_of(targets: list[PostTarget]) -> str | None:
    lines = [f"{target.account.name}: {target.error}" for target in targets if target.error]
    return "\n".join(lines) or None


def move_target(target: PostTarget, new: TargetState, *also: Any, **columns: Any) -> bool:
    """Move a target and tell of it; False when somebody else moved it first.

    ``target.state`` says what it must be in now. ``also`` are further conditions.
    """
    with transaction():
        if not move(PostTarget, target.id, target.state, new, *also, updated_at=now(), **columns):
            return False
        target.state = new
        for name, value in columns.items():
            setattr(target, name, value)
        if new in NEEDS_NO_LINK:
            end_link(target)
        tell_target(target, f"target.{new.value}")
        refresh_state(target.post)
    return True


def fail_target(target: PostTarget, reason: str, *, code: str, detail: str = "") -> None:
    """Nothing of it is public, and it won't go by itself. Any state in which that is known."""
    move_target(
        target, TargetState.FAILED, stage="", error=reason, error_code=code, error_detail=detail
    )


def end_link(target: PostTarget) -> None:
    """The platform has finished with the file: from now on its public link leads nowhere."""
    PublicLink.update(revoked_at=now()).where(
        PublicLink.id == target.public_link_id, PublicLink.revoked_at.is_null()
    ).execute()


def note_target(target: PostTarget, stage: str, **columns: Any) -> None:
    """New words for the screen (and further columns), without a move."""
    with transaction():
        PostTarget.update(stage=stage, updated_at=now(), **columns).where(
            PostTarget.id == target.id, PostTarget.state == target.state
        ).execute()
        changed = target.stage != stage
        target.stage = stage
        for name, value in columns.items():
            setattr(target, name, value)
        if changed:
            tell_target(target, "target.progress")


def tell_target(target: PostTarget, type: str) -> None:
    _tell(
        target.post,
        type,
        target_id=target.public_id,
        account=target.account.name,
        platform=target.account.platform,
        target_state=target.state,
        stage=target.stage,
        url=target.url,
        target_error=target.error,
    )


def tell(post: Post, type: str, *, actor: User | None = None, **data: Any) -> None:
    """An event about the post as a whole."""
    _tell(post, type, actor_id=actor.id if actor else None, **data)


def _tell(post: Post, type: str, *, actor_id: int | None = None, **data: Any) -> None:
    events.record(
        type,
        f"post:{post.public_id}",
        video=post.video,
        actor_id=actor_id,
        post_id=post.public_id,
        video_id=post.video.public_id,
        state=post.state,
        **data,
    )


def cancel(post: Post, *, actor: User | None = None) -> list[PostTarget]:
    """Call back what hasn't gone out; the targets for which a platform has to be tidied up.

    Raises Conflict when there is nothing left to call back.
    """
    with transaction():
        if post.state is PostState.DRAFT:
            return _cancel_draft(post, actor)
        cancelled = [t for t in latest_targets(post) if _cancel_target(t)]
        if not cancelled:
            raise Conflict(
                "Nothing of this post can be called back any more.", code="nothing_to_cancel"
            )
        events.audit(actor, "post.cancel", f"post:{post.public_id}")
    return [target for target in cancelled if target.checkpoint]


def _cancel_draft(post: Post, actor: User | None) -> list[PostTarget]:
    Post.update(state=PostState.PENDING).where(Post.id == post.id).execute()
    for target in latest_targets(post):
        _cancel_target(target)
    refresh_state(post)
    events.audit(actor, "post.cancel", f"post:{post.public_id}")
    return []


def _cancel_target(target: PostTarget) -> bool:
    if target.state not in (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED):
        return False
    if not move_target(target, TargetState.CANCELLED, stage=""):
        return False
    drop_queued_jobs(target)
    return True


def drop_queued_jobs(target: PostTarget) -> None:
    for job in Job.select().where(Job.target == target, Job.state == JobState.QUEUED):
        move(Job, job.id, JobState.QUEUED, JobState.CANCELLED, finished_at=now())


def retry_failed(post: Post, *, actor: User | None = None) -> list[PostTarget]:
    """The failed targets wait again, and only they; tasks.publish.dispatch sends them.

    Raises Conflict when nothing failed, or the accounts aren't connected.
    """
    return retry([t for t in latest_targets(post) if t.state is TargetState.FAILED], actor=actor)


def retry(targets: Sequence[PostTarget], *, actor: User | None = None) -> list[PostTarget]:
    """The same for some targets of one post; those that wait now. Raises Conflict."""
    with transaction():
        failed = [t for t in targets if t.state is TargetState.FAILED]
        if not failed:
            raise Conflict("Nothing of this post has failed.", code="nothing_to_retry")
        able = [t for t in failed if t.account.state is AccountState.CONNECTED]
        if not able:
            names = ", ".join(f"“{t.account.name}”" for t in failed)
            raise Conflict(f"Connect {names} again first.", code="account_disconnected")
        for target in able:
            # Counting starts anew; the checkpoint stays, so that the publisher finds what is there.
            Attempt.create(target=target, step="retry", outcome="asked", ended_at=now())
            move_target(
                target,
                TargetState.WAITING,
                stage="",
                error=None,
                error_code=None,
                error_detail=None,
            )
        events.audit(actor, "post.retry", f"post:{failed[0].post.public_id}")
    return able


def get_target(post: Post, public_id: str) -> PostTarget:
    """Raises NotFound."""
    for target in latest_targets(post):
        if target.public_id == public_id:
            return target
    raise NotFound("This post has no such target; look again.")


def settle_by_person(target: PostTarget, *, there: bool, actor: User | None) -> PostTarget:
    """Somebody has looked at the platform, which can't tell us itself.

    ``there``: it counts as published. Otherwise a new generation of the target waits to be sent
    (tasks.publish.dispatch.send_off); the old one stays in the record. The target to show.
    Raises Conflict when nobody has to look any more.
    """
    with transaction():
        target = PostTarget.get_by_id(target.id)  # of two who answer, the second reads it here
        if target.state is not TargetState.NEEDS_PERSON:
            raise Conflict("This was settled already; look again.", code="not_open")
        if there:
            moved = move_target(
                target,
                TargetState.PUBLISHED,
                stage="",
                published_at=now(),
                error=None,
                error_code=None,
            )
            result = target
        else:
            # The new one first: the post must not look ended in between.
            result = PostTarget.create(
                post=target.post,
                account=target.account,
                generation=target.generation + 1,
                overrides=target.overrides,
            )
            # Without its checkpoint: what may be public there is not ours to tidy up.
            moved = move_target(
                target,
                TargetState.CANCELLED,
                stage="Sent again",
                checkpoint={},
                error_detail=f"{target.error_detail or ''}\n{target.checkpoint}".strip(),
            )
            tell_target(result, "target.waiting")
        if not moved:
            raise Conflict("This was settled already; look again.", code="not_open")
        events.audit(
            actor,
            "post.settle",
            f"post:{target.post.public_id}",
            target=target.public_id,
            there=there,
        )
    return result
