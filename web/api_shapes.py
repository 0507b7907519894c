"""What the API says about videos and jobs; kept stable, because scripts rely on it.

``load_…`` functions run a fixed number of queries, however many rows there are; a connection
must be open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from appliance import guest_links, job_history, scheduling, tags
from appliance.clock import now
from appliance.job_kinds import KINDS
from appliance.models import Job, JobRun, Post, Priority, Rendition, User, Video
from appliance.states import JOB_ENDED, JobState, RenditionState, VideoState
from storage import uploads
from tasks.profiles import SOCIAL
from tasks.runner import WAITING_FOR_SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.job_history import Forecast
    from appliance.models import GuestLink
    from storage.layout import Layout
    from storage.public_links import PublicLinks


@dataclass(frozen=True)
class Person:
    user_id: str
    name: str


@dataclass(frozen=True)
class EarlyLook:
    """What the first bytes of a file tell while the rest is coming.

    ``verdict``: "fine", "refused" (the upload was ended) or "unknown". ``facts``: what is known by
    then, of format, codec, width, height, duration_s, method, reasons, encode_s and index.
    """

    verdict: str
    sentence: str
    code: str
    final: bool
    facts: dict[str, Any]

    @classmethod
    def of(cls, found: dict[str, Any] | None) -> EarlyLook | None:
        """As it is kept in the row of an upload."""
        if found is None:
            return None
        return cls(
            found["verdict"], found["sentence"], found["code"], found["final"], found["facts"]
        )


@dataclass(frozen=True)
class VideoShape:
    """A video. ``social_ready_*`` are about the version for posting."""

    video_id: str
    title: str
    description: str
    state: str
    source: str
    visibility: str
    filename: str
    size_bytes: int
    duration_s: float | None
    width: int | None
    height: int | None
    owner: Person | None
    tags: list[str]
    guest_name: str | None
    guest_link_id: str | None
    error: str | None
    upload_progress: float | None
    early_look: EarlyLook | None
    poster_url: str | None
    created_at: datetime
    received_at: datetime | None
    ready_at: datetime | None
    deleted_at: datetime | None
    keep_original: bool
    original_removed_at: datetime | None
    social_ready_status: str
    social_ready_url: str | None
    social_ready_at: datetime | None
    social_ready_error: str | None
    social_ready_progress: float
    social_ready_eta_s: float | None
    social_ready_eta_low_s: float | None
    social_ready_eta_high_s: float | None
    social_ready_method: str | None
    status_url: str
    renditions_url: str


@dataclass(frozen=True)
class VideoList:
    items: list[VideoShape]
    next_cursor: str | None


def load_videos(
    videos: Sequence[Video], *, layout: Layout, links: PublicLinks, base_url: str
) -> list[VideoShape]:
    """Shapes for videos in hand, in their order."""
    beside = _Beside.of(videos, layout)
    return [_shape(video, beside, links, base_url) for video in videos]


@dataclass(frozen=True)
class _Beside:
    """What stands in other tables, for all videos of a list at once; by the ids of their rows."""

    owners: dict[int, Person]
    renditions: dict[int, Rendition]
    work: dict[int | None, Job]
    """The live job of a rendition."""
    soon: dict[int, Forecast]
    arrived: dict[int, float]
    looks: dict[int, dict[str, Any]]
    tagged: dict[int, list[str]]
    sent_by: dict[int, GuestLink]

    @classmethod
    def of(cls, videos: Sequence[Video], layout: Layout) -> Self:
        owner_ids = {video.owner_id for video in videos if video.owner_id}
        renditions = {
            row.video_id: row
            for row in Rendition.select().where(
                Rendition.video.in_([video.id for video in videos]),
                Rendition.profile == SOCIAL.name,
            )
        }
        live = Job.select().where(
            Job.rendition.in_([row.id for row in renditions.values()]),
            Job.state.not_in(list(JOB_ENDED)),
        )
        work = {row.rendition_id: row for row in live.order_by(Job.progress)}
        return cls(
            owners={
                user.id: Person(user.public_id, user.name or user.email)
                for user in User.select().where(User.id.in_(owner_ids))
            },
            renditions=renditions,
            work=work,
            soon=job_history.forecasts() if work else {},
            arrived=uploads.progress_of(layout, videos),
            looks=uploads.looks_of(videos),
            tagged=tags.of(videos),
            sent_by=guest_links.of_videos(videos),
        )


def _shape(video: Video, beside: _Beside, links: PublicLinks, base_url: str) -> VideoShape:
    rendition = beside.renditions.get(video.id)
    job = beside.work.get(rendition.id) if rendition else None
    ready = rendition if rendition and rendition.state is RenditionState.READY else None
    is_there = video.state is not VideoState.TRASHED
    link = beside.sent_by.get(video.guest_link_id or 0)
    eta = _eta(job, beside.soon)
    api = f"{base_url}/api/v1/videos/{video.public_id}"
    poster = f"{base_url}/media/{video.public_id}/poster.webp?v={video.poster_version}"
    return VideoShape(
        video_id=video.public_id,
        title=video.title,
        description=video.description,
        state=video.state,
        source=video.source,
        visibility=video.visibility,
        filename=video.filename,
        size_bytes=video.size_bytes,
        duration_s=video.duration_s,
        width=video.width,
        height=video.height,
        owner=beside.owners.get(video.owner_id or 0),
        tags=beside.tagged.get(video.id, []),
        guest_name=video.guest_name,
        guest_link_id=link.public_id if link else None,
        error=video.error,
        upload_progress=beside.arrived.get(video.id),
        early_look=EarlyLook.of(beside.looks.get(video.id)),
        poster_url=poster if video.poster_version else None,
        created_at=video.created_at,
        received_at=video.received_at,
        ready_at=video.ready_at,
        deleted_at=video.deleted_at,
        keep_original=video.keep_original,
        original_removed_at=video.original_removed_at,
        social_ready_status=social_status(video, rendition),
        social_ready_url=links.signed_url(video, ready) if ready and is_there else None,
        social_ready_at=ready.ready_at if ready else None,
        social_ready_error=social_error(video, rendition),
        social_ready_progress=1.0 if ready else (job.progress if job else 0.0),
        social_ready_eta_s=eta.likely_s,
        social_ready_eta_low_s=eta.low_s,
        social_ready_eta_high_s=eta.high_s,
        social_ready_method=ready.method if ready else None,
        status_url=f"{api}/status",
        renditions_url=f"{api}/renditions",
    )


def social_status(video: Video, rendition: Rendition | None) -> str:
    """A video that has none yet waits for it, unless it can never have one."""
    if rendition is not None:
        return rendition.state.value
    failed = video.state is VideoState.FAILED
    return (RenditionState.FAILED if failed else RenditionState.PENDING).value


def social_error(video: Video, rendition: Rendition | None) -> str | None:
    if rendition is not None:
        return rendition.error if rendition.state is RenditionState.FAILED else None
    return video.error if video.state is VideoState.FAILED else None


@dataclass(frozen=True)
class Eta:
    """Seconds until a job has ended: likely, at least, at most; null: nobody can tell."""

    likely_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None


def _eta(job: Job | None, forecasts: Mapping[int, Forecast]) -> Eta:
    forecast = forecasts.get(job.id) if job is not None else None
    left = forecast.left if forecast is not None else None
    if left is None:
        return Eta(job.eta_s if job is not None else None)
    return Eta(round(left.likely_s, 1), round(left.low_s, 1), round(left.high_s, 1))


@dataclass(frozen=True)
class JobShape:
    """A job. ``eta_*_s``: seconds until it has ended, likely, at least and at most. Of one that
    waits: ``place``, how many of its queue run or wait before it; ``starts_after_s``, until it
    begins; ``waits_for``, "turn", "time", "night", "space" or "retry"."""

    job_id: str
    kind: str
    label: str
    video_id: str | None
    post_id: str | None
    state: str
    priority: str
    stage: str
    progress: float
    eta_s: float | None
    eta_low_s: float | None
    eta_high_s: float | None
    place: int | None
    starts_after_s: float | None
    waits_for: str | None
    only_at_night: bool
    attempts: int
    max_attempts: int
    crashes: int
    stalls: int
    cancel_requested: bool
    error: str | None
    error_code: str | None
    detail: str | None
    run_after: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class RunShape:
    """One try. ``outcome``: completed, failed, retried, stalled, cancelled, put_back, made_way,
    stopped or lost; null while it runs. ``stage`` and ``progress``: how far it came."""

    worker: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    outcome: str | None
    stage: str
    progress: float
    error: str | None
    error_code: str | None
    detail: str | None


@dataclass(frozen=True)
class JobDetail(JobShape):
    """With all tries, the newest first."""

    runs: list[RunShape]


@dataclass(frozen=True)
class JobList:
    items: list[JobShape]
    next_cursor: str | None


def load_jobs(rows: Sequence[Job]) -> list[JobShape]:
    """Shapes for jobs in hand (with their videos joined), in their order."""
    wanted = {row.post_id for row in rows if row.post_id}
    posts = {row.id: row.public_id for row in Post.select().where(Post.id.in_(wanted))}
    alive = any(row.state not in JOB_ENDED for row in rows)
    forecasts, night = (job_history.forecasts(), scheduling.is_night()) if alive else ({}, False)
    return [_job_shape(row, posts.get(row.post_id or 0), forecasts, night=night) for row in rows]


def load_job(row: Job) -> JobDetail:
    """One job in hand (with its video joined), and its tries."""
    (shape,) = load_jobs([row])
    runs = JobRun.select().where(JobRun.job == row.id).order_by(JobRun.id.desc())
    return JobDetail(**vars(shape), runs=[_run_shape(run, row) for run in runs])


def _run_shape(run: JobRun, job: Job) -> RunShape:
    running = run.ended_at is None
    return RunShape(
        worker=run.worker,
        started_at=run.started_at,
        ended_at=run.ended_at,
        seconds=(run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
        outcome=run.outcome or None,
        stage=job.stage if running else run.stage,
        progress=job.progress if running else run.progress,
        error=run.error,
        error_code=run.error_code,
        detail=run.detail,
    )


def waits_for(job: Job, *, night: bool) -> str | None:
    """Of a queued job: "turn", "time", "night", "space" or "retry"; of others None.

    ``night``: it is."""
    if job.state is not JobState.QUEUED:
        return None
    if job.stage == WAITING_FOR_SPACE:
        return "space"
    if job.run_after is not None and job.run_after > now():
        return "retry" if job.attempts else "time"
    return "night" if job.only_at_night and not night else "turn"


def _job_shape(
    row: Job, post_id: str | None, forecasts: Mapping[int, Forecast], *, night: bool
) -> JobShape:
    video: Video | None = row.video if row.video_id else None
    forecast = forecasts.get(row.id)
    eta = _eta(row, forecasts)
    queued = row.state is JobState.QUEUED
    starts = forecast.starts if forecast is not None and queued else None
    return JobShape(
        job_id=row.public_id,
        kind=row.kind,
        label=KINDS[row.kind].label,
        video_id=video.public_id if video else None,
        post_id=post_id,
        state=row.state,
        priority=priority_word(row.priority),
        stage=row.stage,
        progress=row.progress,
        eta_s=eta.likely_s,
        eta_low_s=eta.low_s,
        eta_high_s=eta.high_s,
        place=forecast.place if forecast is not None and queued else None,
        starts_after_s=round(starts.likely_s, 1) if starts is not None else None,
        waits_for=waits_for(row, night=night),
        only_at_night=row.only_at_night,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        crashes=row.crashes,
        stalls=row.stalls,
        cancel_requested=row.cancel_requested,
        error=row.error,
        error_code=row.error_code,
        detail=row.detail,
        run_after=row.run_after,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def priority_word(priority: int) -> str:
    """high, normal or low: the nearest of the three at or below."""
    if priority >= Priority.HIGH:
        return "high"
    return "normal" if priority >= Priority.NORMAL else "low"
