"""What a publisher is given of a target: its files, texts and links, loaded before the call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance import allowances
from appliance.clock import now
from appliance.models import Account, PostTarget, Rendition
from storage.media_types import RENDITION_FILES
from storage.public_links import PublicLinks
from tasks.publish import covers, material
from tasks.publish.publisher import Target

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from appliance.models import Video
    from tasks.context import Context
    from tasks.publish.publisher import PostDraft, Publisher


def load_target(
    target: PostTarget,
    rendition: Rendition | None,
    context: Context,
    *,
    draft: PostDraft | None = None,
    media_url: str | None = None,
    publish_at: datetime | None = None,
) -> Target:
    """Everything but credentials and cover. ``draft``: other texts than its own.

    Inside a connection; ``spend`` and ``told`` of the result open their own transactions, while
    the job is ours.
    """
    video, account = target.post.video, target.account
    name = RENDITION_FILES[rendition.profile].name if rendition is not None else video.filename
    texts = draft or material.final_draft(target)

    def spend(bucket: str, units: int) -> None:
        context.record(lambda: allowances.spend(account, bucket, units, target=target))

    def told(bucket: str, used: int, limit: int) -> None:
        context.record(lambda: note_allowance(account.id, bucket, used, limit))

    return Target(
        marker=target.public_id,
        draft=texts,
        media=material.facts_of(video, rendition),
        file=file_of(video, rendition, context),
        media_url=media_url,
        remote_account=account.remote_id,
        credentials={},
        options=account.options,
        checkpoint=dict(target.checkpoint),
        filename=name,
        practice=account.practice,
        publish_at=publish_at,
        ahead=account.stage_ahead and _is_later(target),
        remote_id=target.remote_id,
        spend=spend,
        told=told,
    )


def with_cover(target: Target, video: Video, context: Context) -> Target:
    """The poster may have to be converted for it: without an open connection."""
    return replace(
        target,
        cover=covers.picture_of(video, target.draft, context),
        cover_url=covers.address_of(video, target.draft, context),
    )


def _is_later(target: PostTarget) -> bool:
    return target.post.publish_at is not None and target.post.publish_at > now()


def file_of(video: Video, rendition: Rendition | None, context: Context) -> Path:
    if rendition is None:
        return context.layout.original(video.public_id)
    return context.layout.rendition(video.public_id, rendition.profile)


def note_allowance(account_id: int, bucket: str, used: int, limit: int) -> None:
    """What the platform itself has said of an allowance. Inside a transaction."""
    account = Account.get_by_id(account_id)
    said: dict[str, Any] = dict((account.facts or {}).get("allowances", {}))
    said[bucket] = {"used": used, "limit": limit, "at": now().isoformat()}
    Account.update(facts={**(account.facts or {}), "allowances": said}).where(
        Account.id == account_id
    ).execute()


def new_link(
    target: PostTarget, rendition: Rendition | None, publisher: Publisher, context: Context
) -> tuple[Any, str | None]:
    """A public link for the platform's fetcher. Its token is kept nowhere, so each staging gets
    a new one, and the one before dies."""
    links = PublicLinks(context.settings, context.vault)
    if target.public_link is not None:
        links.revoke(target.public_link)
    if not publisher.capabilities.needs_public_url:
        return None, None
    return links.issue(
        target.post.video,
        rendition,
        purpose="post",
        by=target.post.author,
        lifetime_s=context.settings.public_link_hours * 3600,
    )
