"""The cover that goes out with a post: the one that was chosen for it, else the video's poster."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.ids import is_id
from storage.media import place
from storage.public_links import PublicLinks
from tasks.publish.publisher import COVER

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Video
    from tasks.context import Context
    from tasks.publish.publisher import PostDraft

log = logging.getLogger(__name__)

POSTER = "poster.jpg"
_QUALITY = 88


def picture_of(video: Video, draft: PostDraft, context: Context) -> Path | None:
    """A JPEG; None: there is none."""
    if (chosen := _chosen(video, draft, context)) is not None:
        return chosen
    poster = context.layout.poster(video.public_id)
    return _as_jpeg(poster, context) if video.poster_version and poster.exists() else None


def _as_jpeg(poster: Path, context: Context) -> Path:
    """Made once for each poster, beside it: a post is looked at many times before it is out."""
    kept = poster.with_name(POSTER)
    if kept.exists() and kept.stat().st_mtime >= poster.stat().st_mtime:
        return kept
    from PIL import Image  # only for those few calls

    made: Path = context.folder / POSTER
    with Image.open(poster, formats=["WEBP"]) as picture:  # made by ourselves
        picture.convert("RGB").save(made, "JPEG", quality=_QUALITY)
    place(made, kept)
    return kept


def address_of(video: Video, draft: PostDraft, context: Context) -> str | None:
    """Where a platform fetches the cover that was chosen; None: none was. Of the poster there is
    no address: a platform that fetches takes its own picture then."""
    if _chosen(video, draft, context) is None:
        return None
    links = PublicLinks(context.settings, context.vault)
    expires = now() + timedelta(hours=context.settings.public_link_hours)
    return links.cover_url(video, str(draft.options[COVER]), expires=expires)


def _chosen(video: Video, draft: PostDraft, context: Context) -> Path | None:
    cover = str(draft.options.get(COVER) or "")
    if not is_id(cover):
        return None
    path: Path = context.layout.cover(video.public_id, cover)
    if path.exists():
        return path
    log.warning("the cover %s of video %s is gone; the poster goes out", cover, video.public_id)
    return None
