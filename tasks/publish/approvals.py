"""Saying yes to a post that waits for it, and sending it.

The rows are appliance/approval.py's; asking is part of `dispatch.create` and `dispatch.submit`. A
post that waits for a yes is a draft, so the ledger leaves it alone whatever happens meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import approval
from appliance.db import transaction
from appliance.models import Post
from tasks.publish import dispatch, wishes

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import User
    from appliance.settings import Settings


def approve(
    settings: Settings,
    post: Post,
    *,
    actor: User | None,
    note: str = "",
    now: bool = False,
    as_of: datetime | None = None,
    again: bool = False,
) -> None:
    """It goes out at its time. ``now``: at once, whatever its time is. ``as_of``: the
    ``updated_at`` of what was read; None: whatever it is by now. ``again``: also when the same is
    on its way already.

    Raises Forbidden, InvalidInput for a text that a platform would refuse, SamePost, and Conflict
    when nobody asks for approval (any more), it was changed since, or its time has passed
    meanwhile.
    """
    with transaction():
        approval.record_yes(post, actor=actor, note=note, as_of=as_of)
        if now:
            wishes.reschedule(post, None, actor=actor)
        dispatch.submit(settings, Post.get_by_id(post.id), actor=actor, again=again)
