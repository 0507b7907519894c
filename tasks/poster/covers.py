"""Covers of single posts: a moment of the film or a picture of one's own, in place of the poster.

A cover is a JPEG beside the video's other files, named by an id that the post's target keeps
(``options["cover"]``). It is made at once, by a job of the quick queue, so that it is there and
known to be good before anything is posted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import jobs
from appliance.db import transaction
from appliance.errors import InvalidInput, NotFound
from appliance.ids import is_id, new_id
from appliance.models import Job, Post, PostTarget, Video
from appliance.states import JobState
from storage.orphans import is_old
from tasks.poster.choosing import check_moment, require_choosable
from tasks.publish.publisher import COVER

if TYPE_CHECKING:
    from pathlib import Path

    from storage.layout import Layout

KIND = "cover"


@dataclass(frozen=True)
class CoverState:
    """``state``: making, ready, failed."""

    state: str
    error: str = ""


def new_cover(video: Video, *, at_s: float | None = None, brought: str | None = None) -> str:
    """Have one made: of the moment ``at_s``, or of the picture ``brought`` (an id, see
    ``tasks.poster.choosing.picture_path``). Its id. Raises Conflict and InvalidInput."""
    with transaction():
        video = Video.get_by_id(video.id)
        require_choosable(video)
        if (at_s is None) is (brought is None):
            raise InvalidInput("Say a moment, or send a picture.", field="at_s")
        if at_s is not None:
            check_moment(video, at_s)
        cover = new_id()
        payload = {"custom": brought} if at_s is None else {"at_s": round(at_s, 3)}
        jobs.create(KIND, f"cover:{cover}", video=video, payload={**payload, "cover": cover})
    return cover


def state_of(video: Video, cover: str, layout: Layout) -> CoverState:
    """Raises NotFound for one that was never asked for. Wants a connection."""
    if not is_id(cover):
        raise NotFound("There is no such cover.")
    if layout.cover(video.public_id, cover).exists():
        return CoverState("ready")
    job = (
        Job.select()
        .where(Job.video == video, Job.kind == KIND, Job.key == f"cover:{cover}")
        .order_by(Job.id.desc())
        .first()
    )
    if job is None:
        raise NotFound("There is no such cover. Choose one again.")
    if job.state in (JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED):
        return CoverState("failed", job.error or "The cover could not be made.")
    return CoverState("making")


def named_covers(video: Video) -> set[str]:
    """The ids of the covers that posts of the video name. Wants a connection."""
    targets = PostTarget.select(PostTarget.overrides).join(Post).where(Post.video == video)
    found = (target.overrides.get("options", {}).get(COVER) for target in targets)
    return {str(cover) for cover in found if cover}


def forget_unnamed(video: Video, layout: Layout) -> list[Path]:
    """Remove covers that were chosen a day ago and never posted; which."""
    named = {layout.cover(video.public_id, cover) for cover in named_covers(video) if is_id(cover)}
    folder = layout.video(video.public_id)
    gone = [p for p in folder.glob("cover-*.jpg") if p not in named and is_old(p)]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone
