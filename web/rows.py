"""Loaded dataclasses for templates: plain values, no row that asks the database while rendering.

``load_…`` functions run a fixed number of queries, however many rows there are (and a few small
ones for each job that is far behind in its line); a connection must be open.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from peewee import JOIN

from appliance import access, guest_links, job_history, scheduling, tags
from appliance.models import (
    LIVE,
    GuestLink,
    Job,
    Rendition,
    Role,
    User,
    Video,
)
from appliance.states import (
    JobState,
    RenditionState,
    VideoState,
)
from appliance.videos import is_as_sent
from storage.uploads.first_looks import looks_of
from storage.uploads.rows import progress_of
from tasks import profiles
from tasks.profiles import SOCIAL
from tasks.retrying import may_help
from web import progress, words
from web.progress import Progress, Work
from web.words import Badge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.job_history import Forecast
    from storage.layout import Layout


@dataclass(frozen=True)
class Viewer:
    """Who looks at the page."""

    user_id: str
    email: str
    shown_name: str
    role: str
    theme: str
    shortcuts: bool
    time_zone: str
    is_admin: bool
    may_upload: bool

    @classmethod
    def of(cls, user: User) -> Viewer:
        return cls(
            user_id=user.public_id,
            email=user.email,
            shown_name=user.name or user.email,
            role=user.role.value,
            theme=user.theme,
            shortcuts=user.shortcuts,
            time_zone=user.time_zone,
            is_admin=access.at_least(user, Role.ADMIN),
            may_upload=access.at_least(user, Role.EDITOR),
        )


@dataclass(frozen=True)
class Sender:
    """The guest who sent a video, and the link that they came by."""

    name: str
    link_id: str
    link_title: str


@dataclass(frozen=True)
class VideoCard:
    """A video in a list."""

    id: str
    title: str
    state: VideoState
    badge: Badge
    progress: Progress | None
    poster: str
    duration_s: float | None
    created_at: datetime
    deleted_at: datetime | None
    owner: str
    sender: Sender | None
    tags: list[str]
    private: bool
    outlook: str
    """What will be done with a file that is still arriving, as far as its first bytes tell."""
    problem: str
    remedy: str
    """What is offered against its failure: "retry", "upload" (another copy), or ""."""
    may_change: bool
    may_delete: bool
    stale: bool = False
    """A version of it was made by other settings than today's."""


def poster_url(video: Video) -> str:
    """The version is part of the address, so a new poster is a new address; "" without one."""
    if video.poster_version == 0 or video.state is VideoState.TRASHED:
        return ""
    return f"/media/{video.public_id}/poster.webp?v={video.poster_version}"


def load_cards(user: User, layout: Layout, videos: Sequence[Video]) -> list[VideoCard]:
    """Cards for videos in hand, in their order."""
    ids = [video.id for video in videos]
    owners = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({v.owner_id for v in videos if v.owner_id}))
    }
    work = load_work(ids)
    parts = progress_of(layout, videos)
    looks = looks_of(videos)
    failed, stale = _versions_of(ids)
    ends = _last_ends(v.id for v in videos if v.id in failed or v.state is VideoState.FAILED)
    tagged = tags.of(videos)
    links = guest_links.of_videos(videos)
    cards = []
    for video in videos:
        part = progress.of_video(video.state, parts.get(video.id), work[video.id])
        may_change = access.may_change(user, video)
        cards.append(
            VideoCard(
                id=video.public_id,
                title=video.title,
                state=video.state,
                badge=progress.badge(video.state, part, failed_version=video.id in failed),
                progress=part,
                poster=poster_url(video),
                duration_s=video.duration_s,
                created_at=video.created_at,
                deleted_at=video.deleted_at,
                owner=owners.get(video.owner_id or 0, ""),
                sender=_sender(video, links),
                tags=tagged.get(video.id, []),
                private=video.visibility == "private",
                outlook=_outlook(looks.get(video.id), work[video.id])
                if video.state is VideoState.UPLOADING
                else "",
                problem=(video.error or "") if video.state is VideoState.FAILED else "",
                remedy=_remedy(video, ends.get(video.id), failed_version=video.id in failed)
                if may_change
                else "",
                may_change=may_change,
                may_delete=access.may_delete(user, video),
                stale=video.id in stale,
            )
        )
    return cards


def _versions_of(video_ids: Sequence[int]) -> tuple[set[int], set[int]]:
    """The videos whose version for posting failed, and those with one by older settings."""
    columns = Rendition.video, Rendition.profile, Rendition.state, Rendition.recipe
    recipes = {name: profile.recipe for name, profile in profiles.all_current().items()}
    failed, stale = set(), set()
    for row in Rendition.select(*columns).where(Rendition.video.in_(video_ids)):
        if row.state is RenditionState.FAILED and row.profile == SOCIAL.name:
            failed.add(row.video_id)
        elif row.state is RenditionState.READY and row.recipe != recipes.get(row.profile):
            stale.add(row.video_id)
    return failed, stale


def _sender(video: Video, links: dict[int, GuestLink]) -> Sender | None:
    if not video.guest_name:
        return None
    link = links.get(video.guest_link_id or 0)
    return Sender(video.guest_name, link.public_id if link else "", link.title if link else "")


def _outlook(look: Mapping[str, Any] | None, work: list[Work]) -> str:
    encoding = progress.while_it_uploads(work)
    return words.outlook(look) if encoding is None else f"{encoding.words}."


def _last_ends(video_ids: Iterable[int]) -> dict[int, Job]:
    """The newest job of each video that failed, or was cancelled, while making it ready."""
    ids = list(video_ids)
    if not ids:
        return {}
    rows = Job.select().where(
        Job.video.in_(ids),
        Job.kind.in_(["probe", "remux", "encode"]),
        Job.state.in_([JobState.FAILED, JobState.CANCELLED]),
    )
    return {row.video_id: row for row in rows.order_by(Job.id) if row.video_id is not None}


def _remedy(video: Video, last: Job | None, *, failed_version: bool) -> str:
    partly = video.state is VideoState.READY and failed_version
    if video.state is not VideoState.FAILED and not partly:
        return ""
    never_arrived = video.received_at is None and video.facts is None
    if never_arrived or not is_as_sent(video):
        return "upload"
    if last is not None and not may_help(last.kind, last.error_code):
        return "upload"
    return "retry"


def load_work(video_ids: Iterable[int]) -> defaultdict[int, list[Work]]:
    """The live jobs of videos, each with its place in the line of its queue."""
    found: defaultdict[int, list[Work]] = defaultdict(list)
    jobs: Any = (
        Job.select(Job, Rendition.profile.alias("profile"))
        .join(Rendition, JOIN.LEFT_OUTER)
        .where(Job.video.in_(list(video_ids)), LIVE)
        .order_by(Job.queue, Job.state.desc(), Job.priority.desc(), Job.id)
        .objects()
    )
    ours = list(jobs)
    if not ours:
        return found
    soon, night = job_history.forecasts(), scheduling.is_night()
    for job in ours:
        work = work_of(job, soon.get(job.id), profile=job.profile or "", night=night)
        found[job.video_id].append(work)
    return found


def work_of(job: Job, forecast: Forecast | None, *, profile: str = "", night: bool) -> Work:
    """``night``: it is, so nothing waits for it."""
    place = forecast.place if forecast is not None else job_history.place_of(job)
    return Work(
        job.kind,
        job.state,
        job.stage,
        job.progress,
        job.eta_s,
        place,
        profile,
        job.only_at_night and not night,
        forecast.left if forecast is not None else None,
    )
