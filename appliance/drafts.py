"""Drafts: posts that are written, and perhaps planned, but not sent. Wants a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import approval, events, posts, users
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict
from appliance.models import Account, Post, PostTarget
from appliance.post_input import check_time, clean_description, clean_title, for_each_account
from appliance.states import PostState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import EllipsisType

    from appliance.models import User


def change(
    post: Post,
    *,
    actor: User | None,
    accounts: Sequence[Account] | None = None,
    title: str | None = None,
    description: str | None = None,
    publish_at: datetime | EllipsisType | None = ...,
    time_zone: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    hold_there: bool | None = None,
) -> Post:
    """Write into a draft what is given; the rest stays. ``publish_at`` None: when it is sent.

    ``accounts``: all that it goes to from now on. ``overrides``: as for a new post, and all of
    them. One that waits for approval no longer does: somebody else read another text.

    Raises Conflict when it was sent meanwhile, and what a new post raises.
    """
    with transaction():
        fresh = Post.get_by_id(post.id)
        if fresh.state is not PostState.DRAFT:
            raise Conflict("This post was sent already; look again.", code="not_a_draft")
        if approval.is_waiting(fresh):
            approval.withdraw(fresh, actor=actor)
        columns: dict[str, Any] = {"updated_at": now()}
        if title is not None:
            columns["title"] = clean_title(title, field="title") or fresh.video.title
        if description is not None:
            columns["description"] = clean_description(description, field="description")
        if publish_at is not ...:
            columns["publish_at"] = check_time(publish_at)
        if time_zone is not None:
            columns["time_zone"] = users.check_time_zone(time_zone)
        if hold_there is not None:
            columns["hold_there"] = hold_there
        Post.update(**columns).where(Post.id == fresh.id).execute()
        if accounts is not None or overrides is not None:
            _change_targets(fresh, accounts, overrides)
        changed = Post.get_by_id(fresh.id)
        posts.tell(changed, "post.draft_changed", actor=actor)
        events.audit(actor, "post.draft", f"post:{changed.public_id}")
    return changed


def _change_targets(
    post: Post,
    accounts: Sequence[Account] | None,
    overrides: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    """Nothing of a draft has gone anywhere, so its targets may come and go."""
    here = {target.account_id: target for target in posts.latest_targets(post)}
    chosen = list(accounts) if accounts is not None else [t.account for t in here.values()]
    chosen = list({account.id: account for account in chosen}.values())
    for account in chosen:
        posts.check_account(account)
    gone = set(here) - {account.id for account in chosen}
    PostTarget.delete().where(PostTarget.id.in_([here[id].id for id in gone])).execute()
    if overrides is None:
        kept = {a.public_id: here[a.id].overrides for a in chosen if a.id in here}
        overrides = kept
    for account, changes in for_each_account(chosen, overrides):
        if account.id in here:
            PostTarget.update(overrides=changes, updated_at=now()).where(
                PostTarget.id == here[account.id].id
            ).execute()
        else:
            PostTarget.create(post=post, account=account, overrides=changes)
