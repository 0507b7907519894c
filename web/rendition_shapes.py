"""What the API says about the files that were made of a video."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance.models import Job, Rendition, Video
from appliance.states import JOB_ENDED, RenditionState, VideoState
from storage.media_types import RENDITION_FILES
from tasks import asking, profiles, renditions

if TYPE_CHECKING:
    from storage.public_links import PublicLinks


@dataclass(frozen=True)
class RenditionShape:
    """One thing that is made of a video, or can be.

    ``state``: "none" when nobody has asked for it. ``made_of_all``: of each new video, unasked.
    ``stale``: its profile has changed since; it can be made anew. ``why_not``: why this video can
    have none. ``url`` wants a sign-in or a token; ``public_url`` is good for an hour without.
    """

    profile: str
    label: str
    made_of_all: bool
    state: str
    stale: bool
    method: str | None
    facts: dict[str, Any]
    media_type: str
    size_bytes: int | None
    sha256: str | None
    ready_at: datetime | None
    error: str | None
    error_detail: str | None
    why_not: str | None
    job_id: str | None
    only_at_night: bool
    progress: float
    eta_s: float | None
    url: str | None
    download_url: str | None
    public_url: str | None
    index_url: str | None
    """Of a storyboard: WebVTT that says which part belongs to which seconds."""


@dataclass(frozen=True)
class PosterShape:
    """``choice``: "auto", "moment" or "custom". ``job_id``: a new one is being made.

    ``error``: why the last choice came to nothing; the poster before it stays.
    """

    url: str | None
    choice: str
    at_s: float | None
    version: int
    job_id: str | None
    error: str | None


@dataclass(frozen=True)
class RenditionList:
    video_id: str
    items: list[RenditionShape]
    poster: PosterShape


def load_renditions(video: Video, *, links: PublicLinks, base_url: str) -> RenditionList:
    """All profiles in their order, whether there is a file or not."""
    # The jobs first: whoever sees that one has ended sees in the row what came of it, too.
    live = {
        job.rendition_id: job
        for job in Job.select()
        .where(Job.video == video, Job.rendition.is_null(False), Job.state.not_in(list(JOB_ENDED)))
        .order_by(Job.progress)
    }
    rows = {row.profile: row for row in Rendition.select().where(Rendition.video == video)}
    items = [
        _shape(name, video, row, live.get(row.id) if row else None, links, base_url)
        for name in profiles.PROFILES
        for row in [rows.get(name)]
    ]
    return RenditionList(video.public_id, items, load_poster(video, base_url))


def load_rendition(video: Video, name: str, *, links: PublicLinks, base_url: str) -> RenditionShape:
    found = load_renditions(video, links=links, base_url=base_url)
    return next(item for item in found.items if item.profile == name)


def version_of(rendition: Rendition) -> int:
    """For addresses that never change their content: another file, another number."""
    return int((rendition.sha256 or "0")[:8], 16)


def _shape(
    name: str,
    video: Video,
    row: Rendition | None,
    job: Job | None,
    links: PublicLinks,
    base_url: str,
) -> RenditionShape:
    profile, file = profiles.current(name), RENDITION_FILES[name]
    ready = row if row is not None and row.state is RenditionState.READY else None
    there = ready is not None and video.state is not VideoState.TRASHED
    media = f"{base_url}/media/{video.public_id}"
    version = f"?v={version_of(ready)}" if ready else ""
    failed = row is not None and row.state is RenditionState.FAILED
    return RenditionShape(
        profile=name,
        label=profile.label,
        made_of_all=profile.eager,
        state=row.state.value if row is not None else "none",
        stale=ready is not None and renditions.is_stale(ready),
        method=ready.method if ready else None,
        facts=(ready.facts or {}) if ready else {},
        media_type=file.media_type,
        size_bytes=ready.size_bytes if ready else None,
        sha256=ready.sha256 if ready else None,
        ready_at=ready.ready_at if ready else None,
        error=row.error if row is not None and failed else None,
        error_detail=row.error_detail if row is not None and failed else None,
        why_not=asking.why_not(profile, video) or None,
        job_id=job.public_id if job else None,
        only_at_night=bool(job and job.only_at_night),
        progress=job.progress if job else (1.0 if ready else 0.0),
        eta_s=job.eta_s if job else None,
        url=f"{media}/{file.name}{version}" if there else None,
        download_url=f"{media}/{file.name}?download=1" if there else None,
        public_url=links.signed_url(video, ready) if there and ready else None,
        index_url=f"{media}/storyboard.vtt{version}" if there and name == "storyboard" else None,
    )


def load_poster(video: Video, base_url: str) -> PosterShape:
    last = (
        Job.select().where(Job.video == video, Job.kind == "poster").order_by(Job.id.desc()).first()
    )
    live = last is not None and last.state not in JOB_ENDED
    if last is not None and not live:
        # It may have ended since the caller read the video: its result belongs to its end.
        video = Video.get_by_id(video.id)
    shown = video.poster_version and video.state is not VideoState.TRASHED
    return PosterShape(
        url=(
            f"{base_url}/media/{video.public_id}/poster.webp?v={video.poster_version}"
            if shown
            else None
        ),
        choice=video.poster_choice.value,
        at_s=video.poster_at_s,
        version=video.poster_version,
        job_id=last.public_id if last and live else None,
        error=last.error if last and not live else None,
    )
