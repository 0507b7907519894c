"""What a post is, in one badge: lateness and approval come before its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.states import ApprovalState, PostState
from web import words
from web.words import Badge, _

if TYPE_CHECKING:
    from appliance.models import Post


def badge_of(post: Post, *, number: str = "") -> Badge:
    """``number`` follows the word of the state ("14:00")."""
    if post.late_since is not None:
        return Badge("late", "warn", "clock", _("Late"))
    asked = post.approval in (ApprovalState.REQUESTED, ApprovalState.REFUSED)
    if post.state is PostState.DRAFT and asked:
        return words.badge(post.approval)
    return words.badge(post.state, number=number)
