"""What goes out: which file of a video a platform gets, and with which texts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance import videos
from appliance.models import Account, PosterChoice, PostTarget, Rendition
from appliance.states import TargetState, VideoState
from storage.media_types import RENDITION_FILES, original_type
from tasks.acceptance import Delivery, delivery_for
from tasks.probe.facts import Probe
from tasks.profiles import PROFILES, SOCIAL
from tasks.publish import link_variables
from tasks.publish.choice import Choice, Known, Use, choose
from tasks.publish.publisher import COVER, VERSION, MediaFacts, PostDraft
from tasks.publish.registry import PUBLISHERS, capabilities_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.models import Video

WAITS_FOR_VIDEO = "Waiting for the video to be ready"
# The original is what goes out: when no rendition can be made, and the platform takes it as it is.
ORIGINAL = "original"
# The versions that somebody can choose for an account, in place of the best that fits.
FILMS = ("social", "vertical", "reel", "instagram")


def delivery_of(platform: str, options: Mapping[str, Any] | None = None) -> Delivery:
    """``options``: of the draft; a version that somebody has chosen is the only one."""
    delivery = delivery_for(platform, options or {})
    version = (options or {}).get(VERSION)
    return replace(delivery, profiles=(version,)) if version in FILMS else delivery


def choice_of(video: Video, platform: str, options: Mapping[str, Any] | None = None) -> Choice:
    """Which file goes out there, or is waited for. Wants a connection."""
    if not videos.is_as_sent(video):
        return Choice(Use.WAIT, SOCIAL.name)
    delivery = delivery_of(platform, options)
    capabilities = capabilities_of(platform)
    return choose(
        delivery,
        Probe.from_dict(video.facts) if video.facts else None,
        known_of(video, delivery.profiles),
        original_here=(
            not (options or {}).get(VERSION)  # who has chosen one wants that one
            and video.state in (VideoState.READY, VideoState.FAILED)
            and video.facts is not None
            and video.original_removed_at is None
        ),
        takes_any=capabilities is not None and capabilities.takes_any_media,
        trouble=video.error or "",
    )


def known_of(video: Video, profiles: Iterable[str]) -> dict[str, Known]:
    """What is known of its renditions, by profile."""
    rows = Rendition.select().where(Rendition.video == video, Rendition.profile.in_(list(profiles)))
    return {row.profile: _known(row) for row in rows}


def _known(row: Rendition) -> Known:
    probe = (row.facts or {}).get("probe")
    return Known(row.state, Probe.from_dict(probe) if probe else None, row.error or "")


def choice_for(target: PostTarget) -> Choice:
    """The same for a target, by the options of its post."""
    return choice_of(target.post.video, target.account.platform, draft_of(target).options)


def media_for(target: PostTarget) -> Rendition | str | None:
    """What would go out now: the rendition (a stale one, too), ORIGINAL, or None (nothing yet)."""
    video, choice = target.post.video, choice_for(target)
    if choice.use is Use.ORIGINAL:
        return ORIGINAL
    if choice.use is not Use.RENDITION:
        return None
    found: Rendition = Rendition.get(Rendition.video == video, Rendition.profile == choice.profile)
    return found


def facts_of(video: Video, rendition: Rendition | None) -> MediaFacts:
    """Of the file that goes out; None: the original."""
    if rendition is None:
        return MediaFacts(
            size_bytes=video.size_bytes,
            content_type=original_type(video)[0],
            sha256=video.sha256,
            duration_s=video.duration_s,
            width=video.width,
            height=video.height,
        )
    # A cut or a shape of its own makes it unlike the video.
    probe = Probe.from_dict((rendition.facts or {}).get("probe") or {})
    return MediaFacts(
        size_bytes=rendition.size_bytes,
        content_type=RENDITION_FILES[rendition.profile].media_type,
        sha256=rendition.sha256,
        duration_s=probe.duration_s or video.duration_s,
        width=probe.video.shown_width if probe.video else video.width,
        height=probe.video.shown_height if probe.video else video.height,
    )


def waits_for(choice: Choice) -> str:
    """What a target waits for, in words."""
    if choice.profile == SOCIAL.name:
        return WAITS_FOR_VIDEO
    return f"Waiting for “{PROFILES[choice.profile].label}” to be ready"


def what_went_out(target: PostTarget) -> str:
    """For the target of a post that is out: which file it was, unless it was the usual one."""
    if target.rendition is None:
        return "The original went out: no rendition could be made of it"
    if target.rendition.profile == SOCIAL.name:
        return ""
    return f"“{PROFILES[target.rendition.profile].label}” went out"


# Texts


def draft_of(target: PostTarget) -> PostDraft:
    """The texts for one account: its own where it has some, else the post's. Variables unfilled."""
    overrides = target.overrides
    return PostDraft(
        title=overrides.get("title") or target.post.title,
        description=overrides.get("description") or target.post.description,
        options=overrides.get("options", {}),
    )


def links_in(draft: PostDraft) -> set[str]:
    """The platforms whose links stand in it; other words in braces are just text."""
    return link_variables.platforms_in(draft) & set(PUBLISHERS)


def siblings(target: PostTarget) -> list[PostTarget]:
    """The targets of the same post: for each account the newest."""
    rows = (
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(PostTarget.post == target.post_id)
        .order_by(PostTarget.generation, PostTarget.id)
    )
    return list({row.account_id: row for row in rows}.values())


def urls_of(target: PostTarget) -> dict[str, str]:
    """Where the same post is public elsewhere, by platform."""
    public: dict[str, str] = {}
    for other in siblings(target):
        if other.state is TargetState.PUBLISHED and other.url:
            public.setdefault(other.account.platform, other.url)
    return public


def final_draft(target: PostTarget) -> PostDraft:
    """The texts as they go out, links in their places."""
    draft = draft_of(target)
    return link_variables.fill(draft, urls_of(target)) if links_in(draft) else draft


def fingerprint(draft: PostDraft, media: MediaFacts, video: Video) -> str:
    """Of all that is fixed when it is brought to the platform; another one: stage anew."""
    fixed = [draft.title, draft.description, draft.options, media.sha256, media.size_bytes]
    if not draft.options.get(COVER) and video.poster_choice is not PosterChoice.AUTO:
        fixed.append(video.poster_version)  # the poster that somebody chose goes along
    text = json.dumps(fixed, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_stale(target: PostTarget) -> bool:
    """Whether what shall go out has changed since it was staged."""
    if target.staged_as is None or not target.checkpoint:
        return False
    if target.state not in (TargetState.WAITING, TargetState.STAGED):
        return False
    media = media_for(target)
    if media is None:  # a new one is just being made: what is staged is as good
        return False
    facts = facts_of(target.post.video, media if isinstance(media, Rendition) else None)
    return target.staged_as != fingerprint(final_draft(target), facts, target.post.video)
