"""A new post, as the API takes it: what it may say, and the post that is made of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from appliance import access, accounts, post_templates
from tasks.publish import composing, dispatch, outlook

if TYPE_CHECKING:
    from appliance.models import Account, Post, User, Video
    from appliance.settings import Settings


class NewPost(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Texts default to the video's. ``publish_at`` with its zone; without it: now."""

    video_id: str
    accounts: list[str] = []
    platforms: list[str] = []
    title: str | None = None
    description: str | None = None
    publish_at: datetime | None = None
    time_zone: str | None = None
    options: dict[str, Any] | None = None
    """For all accounts; each takes those that its platform has: first_comment, version, cover,
    and the platform's own, such as privacy."""
    overrides: dict[str, dict[str, Any]] | None = None
    """Account id or platform: another title, description, options."""
    template: str | None = None
    """The id or name of a template to begin with; what is given here wins."""
    hold_there: bool = False
    """Platforms that can keep a post until its time do: it goes out even when this box is off."""
    draft: bool = False
    again: bool = False
    """Also when the video is on its way to one of the accounts already, or went out there with the
    same text within 24 hours. Without: 409 ``same_post``, with that post's ``post_id``."""


def create(settings: Settings, user: User, data: NewPost) -> Post:
    """Raises NotFound, Forbidden, Conflict, SamePost, and InvalidInput for what a platform would
    refuse: then nothing is posted anywhere. Wants a connection."""
    video = access.get_video(user, data.video_id)
    chosen = _choose(data)
    title, description, options = _begin(data, video)
    composed = composing.compose(chosen, options=options, overrides=data.overrides)
    if not data.draft:
        drafts = composing.drafts_of(video, chosen, composed, title=title, description=description)
        outlook.refuse(outlook.look(settings, video, drafts))
    return dispatch.create(
        settings,
        video,
        chosen,
        author=user,
        title=title,
        description=description,
        publish_at=data.publish_at,
        hold_there=data.hold_there,
        time_zone=data.time_zone or user.time_zone,
        overrides=composed,
        draft=data.draft,
        again=data.again,
    )


def _choose(data: NewPost) -> list[Account]:
    if data.draft and not data.accounts and not data.platforms:
        return []
    return accounts.choose(data.accounts, data.platforms)


def _begin(data: NewPost, video: Video) -> tuple[str | None, str | None, dict[str, Any]]:
    """Title, text and options: those of the template, and over them those that were given."""
    if data.template is None:
        return data.title, data.description, data.options or {}
    template = post_templates.find(data.template)
    title, description = post_templates.texts_for(template, video)
    # Of a template each account takes what it knows; of what is given for all, something is meant.
    known: set[str] = set()
    for account in _choose(data):
        known |= set(composing.options_of(account.platform))
    options = {name: value for name, value in template.options.items() if name in known}
    return (
        data.title or title or None,
        data.description or description or None,
        {**options, **(data.options or {})},
    )
