"""What people ask for about posts that exist: another time, now, other texts, away with it.

tasks/publish/dispatch.py makes posts, sends them and calls them back. Here is what changes one
that was sent; the platform's part of it is a job, so that nobody waits for a platform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import access, approval, events, posts, users
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Post, PostTarget
from appliance.post_input import check_time, clean_overrides
from appliance.states import AccountState, PostState, TargetState
from tasks.publish import dispatch, link_variables, material, same_post
from tasks.publish.follow_up import ask
from tasks.publish.publisher import MediaFacts, PostDraft
from tasks.publish.registry import capabilities_of, publisher_for
from tasks.publish.sending import UNSEEN, label_of, send

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import Job, User
    from appliance.settings import Settings


def reschedule(
    post: Post,
    when: datetime | None,
    zone: str | None = None,
    *,
    actor: User | None,
    hold_there: bool | None = None,
) -> None:
    """It goes out at ``when`` (aware; None: as soon as it can), chosen by the clocks of ``zone``.

    ``hold_there``: platforms that can keep it until then shall; None: as before. For drafts, too,
    which stay drafts. What a platform holds until the old time is called back
    from there first. Raises InvalidInput for a time that has passed, Conflict when nothing of the
    post is still to come.
    """
    with transaction():
        post = Post.get_by_id(post.id)
        chosen = check_time(when)
        zone = users.check_time_zone(zone) if zone else post.time_zone
        targets = [t for t in posts.latest_targets(post) if t.state in UNSEEN]
        if not targets and post.state is not PostState.DRAFT:
            raise Conflict(
                "All of this post is out already, or was called back.", code="nothing_to_move"
            )
        hold = post.hold_there if hold_there is None else hold_there
        Post.update(
            publish_at=chosen, time_zone=zone, late_since=None, hold_there=hold, updated_at=now()
        ).where(Post.id == post.id).execute()
        events.audit(
            actor,
            "post.reschedule",
            f"post:{post.public_id}",
            publish_at=chosen.isoformat() if chosen else None,
        )
        post = Post.get_by_id(post.id)
        posts.tell(post, "post.rescheduled", actor=actor)
        if post.state is not PostState.DRAFT:
            for target in posts.latest_targets(post):
                if target.state in UNSEEN:
                    send(target)
            posts.refresh_state(post)


def decide_late(
    post: Post, when: datetime | None = None, zone: str | None = None, *, actor: User | None
) -> None:
    """About a post whose time passed meanwhile: now (None), or another time.

    Raises Conflict when nobody has to decide any more.
    """
    with transaction():
        if Post.get_by_id(post.id).late_since is None:
            raise Conflict("Somebody has decided about this post already.", code="not_late")
        reschedule(post, when, zone, actor=actor)


def retry_target(
    target: PostTarget, *, actor: User | None, although_same: bool = False
) -> PostTarget:
    """Send one failed target again. ``although_same``: also when another post of the same is on its
    way by now. Raises Conflict, SamePost."""
    with transaction():
        target = posts.get_target(target.post, target.public_id)
        (again,) = posts.retry([target], actor=actor)
        if not although_same:
            same_post.refuse([again])
        send(again)
    return again


def change_texts(
    settings: Settings,
    target: PostTarget,
    *,
    title: str | None = None,
    description: str | None = None,
    options: dict[str, Any] | None = None,
    actor: User | None,
) -> None:
    """Other texts for one account of a post that isn't out yet; None: as before.

    What was staged with the old ones is taken away and staged anew. Raises Conflict, and
    InvalidInput for a text that the platform would refuse.
    """
    with transaction():
        target = posts.get_target(target.post, target.public_id)
        approval.before_change(target.post, actor)
        if target.state not in (*UNSEEN, TargetState.FAILED):
            raise Conflict("This is out already, or on its way.", code="too_late")
        changes = {"title": title, "description": description, "options": options}
        given = clean_overrides({k: v for k, v in changes.items() if v is not None})
        target.overrides = {**target.overrides, **given}
        dispatch.check_texts(target, settings)
        others = [t for t in posts.latest_targets(target.post) if t.id != target.id]
        dispatch.check_links([*others, target])
        posts.note_target(target, target.stage, overrides=target.overrides)
        events.audit(actor, "post.edit", f"post:{target.post.public_id}", target=target.public_id)
        posts.tell_target(target, "target.edited")
        if target.state in UNSEEN and target.post.state is not PostState.DRAFT:
            send(target)


def edit_published(
    settings: Settings,
    target: PostTarget,
    *,
    title: str | None = None,
    description: str | None = None,
    actor: User | None,
) -> Job:
    """Change what stands on the platform; None: as it is. The job that does it.

    Raises Conflict when it isn't public or the platform doesn't let us, and InvalidInput for a
    text that it would refuse.
    """
    with transaction():
        target = _published(target)
        approval.before_change(target.post, actor)
        capabilities = capabilities_of(target.account.platform)
        able = capabilities.can_edit if capabilities else frozenset()
        wanted = {"title": title, "description": description}
        texts = {name: text for name, text in wanted.items() if text is not None}
        if not texts:
            raise InvalidInput("Give another title or description.", field="title")
        if cannot := sorted(set(texts) - able):
            raise Conflict(
                f"{target.account.name} keeps the {cannot[0]} as it was posted.",
                code="not_offered",
            )
        draft = material.draft_of(target)
        changed = PostDraft(
            texts.get("title", draft.title),
            texts.get("description", draft.description),
            draft.options,
        )
        known = material.urls_of(target)
        if missing := sorted(material.links_in(changed) - set(known)):
            raise InvalidInput(
                f"This post has no link from {label_of(missing[0])}. Take "
                f"“{{{missing[0]}_url}}” out of the text.",
                field="description",
                code="must_edit",
            )
        changed = link_variables.fill(changed, known)
        publisher = publisher_for(target.account.platform, settings)
        for finding in publisher.validate(changed, MediaFacts(size_bytes=0)):
            if finding.must and finding.field in texts:
                raise InvalidInput(finding.message, field=finding.field, code="must_edit")
        events.audit(actor, "post.edit", f"post:{target.post.public_id}", target=target.public_id)
        return ask("edit", target, texts)


def remove_published(settings: Settings, target: PostTarget, *, actor: User | None) -> Job:
    """Remove it from the platform, for good. The job that does it.

    Raises Forbidden unless it is theirs to delete, and Conflict.
    """
    with transaction():
        access.require_delete_post(actor, target.post)
        target = _published(target)
        capabilities = capabilities_of(target.account.platform)
        if capabilities is None or not capabilities.can_delete:
            raise Conflict(
                f"{target.account.name} doesn't let programs remove posts. Remove it there.",
                code="not_offered",
            )
        events.audit(actor, "post.remove", f"post:{target.post.public_id}", target=target.public_id)
        return ask("remove", target, {})


def _published(target: PostTarget) -> PostTarget:
    fresh = posts.get_target(target.post, target.public_id)
    if fresh.state is not TargetState.PUBLISHED or fresh.deleted_at is not None:
        raise Conflict("This is not public (any more); look again.", code="not_published")
    if fresh.account.state is not AccountState.CONNECTED:
        raise Conflict(f"Connect “{fresh.account.name}” again first.", code="account_disconnected")
    return fresh
