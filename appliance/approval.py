"""Approval: a post that somebody has to say yes to is a draft until then.

That it is a draft is what keeps it back: nothing of the ledger touches drafts, so there is no
second gate to forget. Whose posts need it is a rule of the admins (appliance/schedule_rules.py).
These are the rows; sending what was approved is tasks/publish/approvals.py. Wants a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import access, events, posts, schedule_rules
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, Forbidden, InvalidInput
from appliance.models import AuditEntry, Post, Role, User
from appliance.states import ApprovalState, PostState, check_move
from appliance.text import clean_text

if TYPE_CHECKING:
    from datetime import datetime

    from peewee import ModelSelect

MAX_NOTE_BYTES = 2000


def is_needed_by(author: User | None) -> bool:
    """Whether what this person makes can't go out without somebody's yes."""
    return schedule_rules.needs_approval(schedule_rules.current(), author)


def is_needed(post: Post, actor: User | None) -> bool:
    """Whether ``actor`` can't send this draft without somebody's yes."""
    return post.approval is not ApprovalState.APPROVED and is_needed_by(actor)


def is_waiting(post: Post) -> bool:
    return post.state is PostState.DRAFT and post.approval is ApprovalState.REQUESTED


def may_decide(user: User, post: Post) -> bool:
    """Admins and owners; of an admin's own post another admin or an owner. Owners of any.

    An admin who needs approval is also refused what they asked for, or whose texts they changed
    last, whoever made it.
    """
    if not access.at_least(user, Role.ADMIN):
        return False
    if user.role is Role.OWNER:
        return True
    if post.author_id == user.id:
        return False
    return not is_needed_by(user) or user.id not in (
        _last_who(post, "post.approval_requested"),
        _last_who(post, "post.draft", "post.edit"),
    )


def _last_who(post: Post, *actions: str) -> int | None:
    """Whose the last of these entries about the post is; None also when there is none."""
    entry = (
        AuditEntry.select()
        .where(
            AuditEntry.at >= post.created_at,  # it has an index, the subject none
            AuditEntry.subject == f"post:{post.public_id}",
            AuditEntry.action.in_(actions),
        )
        .order_by(AuditEntry.id.desc())
        .first()
    )
    return entry.actor_id if entry is not None else None


def waiting(user: User) -> ModelSelect[Post]:
    """What this person sees that waits for a yes, the oldest first."""
    return (
        access.visible_posts(user)
        .where(Post.state == PostState.DRAFT, Post.approval == ApprovalState.REQUESTED)
        .order_by(Post.id)
    )


def before_change(post: Post, actor: User | None) -> None:
    """Call it before texts are changed by somebody: what was approved is what goes out.

    Of what still waits the question is taken back, unless ``actor`` needs nobody's yes: somebody
    else read another text. A yes to what they read is told of it in any case (``as_of``). Raises
    Forbidden for what was sent, when ``actor`` needs approval.
    """
    _note_change(post)
    if not is_needed_by(actor):
        return
    if is_waiting(post):
        withdraw(post, actor=actor)
    elif post.state is not PostState.DRAFT:
        raise Forbidden(
            "This post was approved as it is. Ask an admin to change it, or cancel it and ask "
            "for approval of another."
        )


def _note_change(post: Post) -> None:
    drafts = Post.id == post.id, Post.state == PostState.DRAFT
    Post.update(updated_at=now()).where(*drafts).execute()


def ask(post: Post, *, actor: User | None) -> None:
    """A draft waits for somebody's yes from now on. Raises InvalidInput, Conflict."""
    if not posts.latest_targets(post):
        raise InvalidInput("Choose at least one account to post to.", field="accounts")
    _move(post, ApprovalState.REQUESTED, "post.approval_requested", actor=actor, note="")


def withdraw(post: Post, *, actor: User | None) -> None:
    """A plain draft again, to be changed. Raises Conflict."""
    _move(post, ApprovalState.NOT_NEEDED, "post.approval_withdrawn", actor=actor, note="")


def record_yes(
    post: Post, *, actor: User | None, note: str = "", as_of: datetime | None = None
) -> None:
    """Use tasks.publish.approvals.approve, which also sends it.

    ``as_of``: the ``updated_at`` of what was read; None: it isn't checked. Raises Forbidden,
    Conflict.
    """
    _require(actor, post)
    with transaction():
        check_unchanged(post, as_of)
        _move(post, ApprovalState.APPROVED, "post.approved", actor=actor, note=_clean(note))


def refuse(post: Post, *, actor: User | None, note: str, as_of: datetime | None = None) -> None:
    """It stays a draft, with the reason. ``as_of``: as for a yes; a note about another text helps
    nobody. Raises Forbidden, Conflict, InvalidInput without a reason."""
    _require(actor, post)
    if not (said := _clean(note)):
        raise InvalidInput("Write what should be changed, so that it can be.", field="note")
    with transaction():
        check_unchanged(post, as_of)
        _move(post, ApprovalState.REFUSED, "post.refused", actor=actor, note=said)


def check_unchanged(post: Post, as_of: datetime | None) -> None:
    """That it is as somebody has read it. ``as_of``: its ``updated_at`` then; None: not checked.

    Call it in the transaction that acts on it. Raises Conflict.
    """
    if as_of is not None and Post.get_by_id(post.id).updated_at != as_of:
        raise Conflict("This was changed meanwhile; read it again.", code="changed_meanwhile")


def _require(actor: User | None, post: Post) -> None:
    if actor is not None and not may_decide(actor, post):
        raise Forbidden("Only another admin or an owner may decide about this post.")


def _clean(note: str) -> str:
    return clean_text(note, max_bytes=MAX_NOTE_BYTES).strip()


def _move(post: Post, new: ApprovalState, event: str, *, actor: User | None, note: str) -> None:
    with transaction():
        fresh = Post.get_by_id(post.id)
        check_move(fresh.approval, new)  # raises InvalidTransition, a Conflict
        decided = new in (ApprovalState.APPROVED, ApprovalState.REFUSED)
        changed = (
            Post.update(
                approval=new,
                approved_by=actor if new is ApprovalState.APPROVED else None,
                approval_note=note,
                updated_at=now(),
            )
            .where(
                Post.id == post.id, Post.state == PostState.DRAFT, Post.approval == fresh.approval
            )
            .execute()
        )
        if changed != 1:
            raise Conflict("This post was sent already; look again.", code="not_a_draft")
        post.approval, post.approval_note = new, note
        posts.tell(post, event, actor=actor, **({"note": note} if decided else {}))
        events.audit(actor, event, f"post:{post.public_id}")
