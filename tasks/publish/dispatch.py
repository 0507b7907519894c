"""From a post to its jobs: made, sent, called back, sent again; and set going after a pause.

One target on its way: tasks/publish/sending.py. What happens elsewhere and concerns posts:
tasks/publish/settling.py. What people change about posts that exist (another time, now, other
texts, removed there): tasks/publish/wishes.py. Which file and which texts go out:
tasks/publish/material.py. `sweep` repairs what a crash between two transactions may have left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import approval, posting_switch, posts
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Account, Post, PostTarget, Priority, Video
from appliance.post_input import CLOCK_SKEW
from appliance.states import (
    AccountState,
    ApprovalState,
    PostState,
    TargetState,
    VideoState,
)
from tasks.publish import (
    leftovers,
    link_variables,
    material,
    outlook,
    same_post,
    sending,
    timing,
)
from tasks.publish.choice import Use
from tasks.publish.publisher import MediaFacts
from tasks.publish.registry import publisher_for
from tasks.publish.sending import OPEN, UNSEEN, make_job, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from appliance.models import User
    from appliance.settings import Settings


def create(
    settings: Settings,
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
    again: bool = False,
) -> Post:
    """`appliance.posts.create`, each platform's own rules for the texts, and off it goes.

    In one transaction: a post that is answered for has its jobs, or is a draft that waits for
    approval when its author needs one. ``again``: also when the same is on its way already. Raises
    what ``posts.create`` raises, InvalidInput for a text that a platform would refuse, SamePost.
    """
    with transaction():
        held = not draft and approval.is_needed_by(author)
        post = posts.create(
            video,
            accounts,
            author=author,
            title=title,
            description=description,
            publish_at=publish_at,
            time_zone=time_zone,
            overrides=overrides,
            draft=draft or held,
            hold_there=hold_there,
        )
        if not draft:
            check_post(post, settings)
        if not draft and not again:
            same_post.refuse_post(post)
        if held:
            approval.ask(post, actor=author)
        elif not draft:
            send_off(post)
    return post


def submit(
    settings: Settings,
    post: Post,
    *,
    actor: User | None,
    as_of: datetime | None = None,
    again: bool = False,
) -> None:
    """Send a draft, or ask for approval where ``actor`` needs one. Somebody who may approve says
    yes by sending what waits for it.

    ``as_of``: the ``updated_at`` of what was read; None: whatever it is by now. ``again``: also
    when the same is on its way already.

    Raises Conflict, also when it was changed since or its time has passed meanwhile, SamePost, and
    InvalidInput for a text that a platform would refuse.
    """
    with transaction():
        fresh = Post.get_by_id(post.id)
        approval.check_unchanged(fresh, as_of)
        check_post(fresh, settings)
        if not again:
            same_post.refuse_post(fresh)
        drafts = [(t.account, material.draft_of(t)) for t in posts.latest_targets(fresh)]
        outlook.refuse(outlook.look(settings, fresh.video, drafts))
        if approval.is_needed(fresh, actor):
            approval.ask(fresh, actor=actor)
            return
        if approval.is_waiting(fresh):
            approval.record_yes(fresh, actor=actor)
        if fresh.publish_at is not None and fresh.publish_at < now() - CLOCK_SKEW:
            raise Conflict(
                "Its time has passed meanwhile. Choose another time, or post it now.",
                code="time_passed",
            )
        posts.submit(post, actor=actor)
        send_off(post)


def check_post(post: Post, settings: Settings) -> None:
    """What is wrong with the texts is said at once, not when the time has come.

    Raises InvalidInput.
    """
    targets = posts.latest_targets(post)
    for target in targets:
        check_texts(target, settings)
    check_links(targets)


def check_links(targets: Iterable[PostTarget]) -> None:
    """No text waits for a link that never comes. Of what is public nothing is waited for.

    Raises InvalidInput.
    """
    needs: dict[str, set[str]] = {}
    for target in targets:
        asked = needs.setdefault(target.account.platform, set())
        if target.state is not TargetState.PUBLISHED:
            asked |= material.links_in(material.draft_of(target))
    known = set().union(*needs.values()) if needs else set()
    if (wrong := link_variables.fault(needs, known, sending.label_of)) is not None:
        raise InvalidInput(wrong, field="description", code="must_edit")


def check_texts(target: PostTarget, settings: Settings) -> None:
    """By the platform's own rules. Raises InvalidInput."""
    publisher = publisher_for(target.account.platform, settings)
    for finding in publisher.validate(material.draft_of(target), MediaFacts(size_bytes=0)):
        if finding.must and finding.field != "media":
            raise InvalidInput(
                f"{target.account.name}: {finding.message}", field=finding.field, code="must_edit"
            )


def send_off(post: Post) -> None:
    """Make the jobs of all its targets that wait; those of a later time start then. Idempotent."""
    with transaction():
        fresh = Post.get_by_id(post.id)
        if fresh.state is PostState.DRAFT:
            return
        for target in posts.latest_targets(fresh):
            if target.state is TargetState.WAITING:
                send(target)
        posts.refresh_state(post)


def retry_failed(
    post: Post, *, actor: User | None, although_same: bool = False
) -> list[PostTarget]:
    """Send the failed targets again, and only them. ``although_same``: also where another post of
    the same is on its way by now. Raises Conflict, SamePost."""
    with transaction():
        again = posts.retry_failed(post, actor=actor)
        if not although_same:
            same_post.refuse(again)
        for target in again:
            send(target)
    return again


def cancel(post: Post, *, actor: User | None) -> None:
    """Call back what hasn't gone out, and tidy up what platforms hold of it. Raises Conflict."""
    with transaction():
        for target in posts.cancel(post, actor=actor):
            make_job(target)
        leftovers.let_go(posts.latest_targets(post))


def settle(target: PostTarget, *, there: bool, actor: User | None) -> PostTarget:
    """ "It is there", or "send again", about a target that needs a person. Raises Conflict."""
    with transaction():
        shown = posts.settle_by_person(target, there=there, actor=actor)
        if shown.state is TargetState.WAITING:
            send(shown)
        sending.link_settled(shown)
    return shown


def account_settled(account: Account) -> None:
    """The account is connected again, or no longer paused: what waited for it goes on."""
    with transaction():
        if account.state is AccountState.CONNECTED:
            for target in _without_job(PostTarget.account == account):
                _go_on(target)
            sending.wake(account.id)


def posting_resumed() -> None:
    """The pause of all posting is over: what waited for that goes on."""
    sweep()


def sweep() -> int:
    """Targets that nobody works on and nothing will wake: set going again, or ended; how many."""
    mended = 0
    with transaction():
        for target in _without_job(*_may_go()):
            mended += _go_on(target)
        left = (PostTarget.checkpoint != {}) & (Account.state == AccountState.CONNECTED)
        for target in _without_job(left, states=(TargetState.CANCELLED,)):
            make_job(target)  # a platform still holds what was prepared
            mended += 1
        mended += leftovers.sweep()
    return mended


def _may_go() -> list[Any]:
    """Conditions: none of those that nothing but a person ends."""
    asking = PostTarget.state.not_in(list(UNSEEN))
    if posting_switch.is_paused():
        return [asking]
    approved = Post.approval.not_in([ApprovalState.REQUESTED, ApprovalState.REFUSED])
    in_time = Post.late_since.is_null() | PostTarget.held_until.is_null(False)
    return [asking | (approved & in_time)]


def _without_job(*also: Any, states: Sequence[TargetState] = OPEN) -> list[PostTarget]:
    query = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(
            PostTarget.state.in_(states),
            Post.state != PostState.DRAFT,
            PostTarget.id.not_in(sending.targets_with_job()),
            *also,
        )
    )
    return list(query)


def _go_on(target: PostTarget) -> bool:
    if target.account.state is not AccountState.CONNECTED:
        return False
    if target.state is not TargetState.WAITING:
        make_job(target)
        return True
    video = target.post.video
    if video.state is VideoState.TRASHED:
        posts.fail_target(target, sending.VIDEO_DELETED, code="no_video")
        return True
    before = target.stage
    if sending.held_back(target):
        send(target)  # says why, or that it can't be any more
        return target.stage != before or target.state is not TargetState.WAITING
    choice = material.choice_for(target)
    later = not timing.is_due(target.post.publish_at, now())
    if later or target.checkpoint or choice.use in (Use.RENDITION, Use.ORIGINAL, Use.NOTHING):
        send(target)
        return True
    if choice.use is Use.FAILED and video.state is VideoState.FAILED:
        posts.fail_target(target, choice.why, code="no_rendition")
        return True
    # Without a wish of ours nobody may be making it: it is made on demand, or a person has
    # cancelled it while the account was away.
    waits_for_it = target.stage == material.waits_for(choice)
    if sending.want(target, choice, Priority.HIGH):
        posts.note_target(target, material.waits_for(choice))
        return choice.use is Use.FAILED or not waits_for_it
    return True
