"""The cover that goes out with a post: the one that was chosen for it, else the video's poster."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.ids import is_id
from appliance.models import PosterChoice
from storage.media import place
from storage.public_links import POSTER, PublicLinks
from tasks.publish.publisher import COVER, COVER_AT_S

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Video
    from tasks.context import Context
    from tasks.publish.publisher import PostDraft

log = logging.getLogger(__name__)

_QUALITY = 88


def picture_of(video: Video, draft: PostDraft, context: Context) -> Path | None:
    """A JPEG; None: there is none."""
    if (chosen := _chosen(video, draft, context)) is not None:
        return chosen
    return _poster(video, context)


def _poster(video: Video, context: Context) -> Path | None:
    """As JPEG, made once for each poster, beside it: a post is looked at many times until it is
    out. None: there is no poster."""
    poster = context.layout.poster(video.public_id)
    if not video.poster_version or not poster.exists():
        return None
    kept: Path = context.layout.poster_jpeg(video.public_id)
    if kept.exists() and kept.stat().st_mtime >= poster.stat().st_mtime:
        return kept
    from PIL import Image  # only for those few calls

    made: Path = context.folder / kept.name
    with Image.open(poster, formats=["WEBP"]) as picture:  # made by ourselves
        picture.convert("RGB").save(made, "JPEG", quality=_QUALITY)
    place(made, kept)
    return kept


def address_of(video: Video, draft: PostDraft, context: Context) -> str | None:
    """Where a platform fetches the cover: the chosen one, else the poster if a person has chosen
    that. None: it shall take its own picture, which has the shape of what it shows."""
    if _chosen(video, draft, context) is not None:
        cover = str(draft.options[COVER])
    elif _is_wanted(video, draft) and _poster(video, context) is not None:
        cover = POSTER
    else:
        return None
    links = PublicLinks(context.settings, context.vault)
    expires = now() + timedelta(hours=context.settings.public_link_hours)
    return links.cover_url(video, cover, expires=expires)


def _is_wanted(video: Video, draft: PostDraft) -> bool:
    """A person has chosen the poster, and nothing else for this post."""
    return video.poster_choice is not PosterChoice.AUTO and not draft.options.get(COVER_AT_S)


def _chosen(video: Video, draft: PostDraft, context: Context) -> Path | None:
    cover = str(draft.options.get(COVER) or "")
    if not is_id(cover):
        return None
    path: Path = context.layout.cover(video.public_id, cover)
    if path.exists():
        return path
    log.warning("the cover %s of video %s is gone; the poster goes out", cover, video.public_id)
    return None
