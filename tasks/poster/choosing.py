"""What people choose for a poster: a moment, a picture of their own, or what the box finds best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from appliance import events, jobs, videos
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput
from appliance.ids import is_id, new_id
from appliance.models import Job, PosterChoice, Rendition, Video
from appliance.states import RenditionState
from tasks import renditions

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import User
    from storage.layout import Layout


def choose(
    video: Video,
    actor: User | None,
    layout: Layout,
    *,
    at_s: float | None = None,
    brought: str | None = None,
) -> Job:
    """Have the poster made: of the moment ``at_s``, of the picture ``brought`` (an id, see
    ``picture_path``), or without both of the best moment. The old one stays until then.

    The last choice counts: what is under way for an earlier one ends. Raises Conflict, and
    InvalidInput for a moment outside of the film.
    """
    with transaction():
        video = Video.get_by_id(video.id)
        require_choosable(video)
        if at_s is not None:
            check_moment(video, at_s)
        if brought is None and video.original_removed_at is not None and not _has_film(video):
            raise Conflict(renditions.ORIGINAL_REMOVED, code="original_removed")
        payload = _payload(at_s, brought)
        for job in renditions.live_jobs(video, ("poster",)):
            if job.payload == payload:
                return job  # pressed twice
            jobs.cancel(job)
            forget_picture(job, video, layout)
        events.audit(
            actor,
            "video.poster",
            f"video:{video.public_id}",
            choice=choice_of(payload).value,
            at_s=at_s,
        )
        actor_id = actor.id if actor is not None else None
        videos.tell(video, "video.poster_chosen", actor_id=actor_id)
        # A key of its own: the one before it may need a moment to end.
        return jobs.create("poster", f"poster:{video.public_id}:{new_id()}", video=video,
                           payload=payload)  # fmt: skip


def require_choosable(video: Video) -> None:
    """Raises Conflict when no poster can be made of it now."""
    renditions.require_usable(video)
    if video.facts is None:
        raise Conflict(
            "The file is still being checked. Choose the poster when that is done.",
            code="not_checked",
        )


def check_moment(video: Video, at_s: float) -> None:
    """Raises InvalidInput for what lies outside of the film."""
    duration_s = video.duration_s or 0.0
    if not math.isfinite(at_s) or not 0 <= at_s <= duration_s:
        raise InvalidInput(
            f"The video lasts {duration_s:.1f} seconds. Choose a moment within it.", field="at_s"
        )


def choice_of(payload: dict[str, Any]) -> PosterChoice:
    if "custom" in payload:
        return PosterChoice.CUSTOM
    return PosterChoice.MOMENT if "at_s" in payload else PosterChoice.AUTO


def picture_path(layout: Layout, video: Video, brought: str) -> Path:
    """Where a picture that was brought waits for its job. What is left there by a crash belongs
    to no row, and goes after a day."""
    if not is_id(brought):
        raise ValueError(f"{brought!r} is no id")
    return layout.video(video.public_id) / f"poster-{brought}.brought"


def forget_picture(job: Job, video: Video, layout: Layout) -> None:
    """It was used, or nobody wants it any more. Harmless when repeated."""
    if brought := job.payload.get("custom"):
        picture_path(layout, video, str(brought)).unlink(missing_ok=True)


def is_overtaken(job: Job, video: Video) -> bool:
    """Whether something else was chosen since: then this one's picture isn't wanted."""
    later = Job.select().where(
        Job.video == video, Job.kind == "poster", Job.id > job.id, Job.state.in_(renditions.LIVE)
    )
    # The box's own first try has an empty payload, and never undoes what a person chose.
    by_person = video.poster_choice is not PosterChoice.AUTO and not job.payload
    return by_person or later.exists()


def _payload(at_s: float | None, brought: str | None) -> dict[str, Any]:
    if brought is not None:
        return {"custom": brought}
    return {"auto": True} if at_s is None else {"at_s": round(at_s, 3)}


def _has_film(video: Video) -> bool:
    return film_of(video) is not None


def film_of(video: Video) -> Rendition | None:
    """A rendition that shows all of the film, for when the original is gone."""
    found: Rendition | None = Rendition.get_or_none(
        Rendition.video == video,
        Rendition.profile == "social",
        Rendition.state == RenditionState.READY,
    )
    return found
