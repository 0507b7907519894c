"""Work that begins again: somebody presses Retry, a video comes back, or nothing works on one.

What follows then is decided as the first time (tasks/pipeline.py).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import peewee
from peewee import fn

from appliance import events, jobs, videos
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict
from appliance.models import LIVE, Job, Priority, Rendition, Video
from appliance.states import JobState, RenditionState, VideoState
from tasks import pipeline, renditions
from tasks.profiles import SOCIAL
from tasks.publish import dispatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.models import User
    from appliance.settings import Settings

log = logging.getLogger(__name__)


# What people press


def retry_job(job: Job, actor: User | None) -> None:
    """Start it again, with all attempts. Raises Conflict when that makes no sense any more."""
    with transaction():
        job = Job.get_by_id(job.id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise Conflict("Only jobs that failed or were cancelled can be tried again.")
        if job.kind == renditions.AHEAD:
            raise Conflict("It is encoded as usual when all of it is here.", code="superseded")
        events.audit(actor, "job.retry", f"job:{job.public_id}")
        if job.kind == "publish":
            _retry_publish(job, actor)
            return
        if job.kind in ("probe", *renditions.KINDS):
            _reopen(job)
        try:
            jobs.retry(job)
        except peewee.IntegrityError as exc:
            raise Conflict("A newer job does the same already.", code="superseded") from exc


def _retry_publish(job: Job, actor: User | None) -> None:
    """By way of its post: which targets may be sent again is decided there."""
    if job.post is None:
        raise Conflict("The post of this job is gone.")
    dispatch.retry_failed(job.post, actor=actor)


def _reopen(job: Job) -> None:
    video = Video.get_by_id(job.video_id)
    if video.state is VideoState.TRASHED:
        raise Conflict("The video is in the bin. Restore it first.", code="trashed")
    _refuse_unlike(video)
    if video.original_removed_at is not None:
        raise Conflict(renditions.ORIGINAL_REMOVED, code="original_removed")
    if job.rendition is not None and renditions.jobs_of(job.rendition):
        raise Conflict("A newer job does the same already.", code="superseded")
    decides = job.kind == "probe" or (job.rendition and job.rendition.profile == SOCIAL.name)
    if decides and video.state is VideoState.FAILED:
        renditions.move_video(video, VideoState.PROCESSING, error=None, error_detail=None)
    if job.rendition is not None and job.rendition.state is RenditionState.FAILED:
        renditions.move_rendition(
            job.rendition, RenditionState.PENDING, error=None, error_detail=None
        )


def _refuse_unlike(video: Video) -> None:
    if not videos.is_as_sent(video):
        raise Conflict(videos.NOT_AS_SENT, code="not_as_sent")


def retry_video(video: Video, actor: User | None) -> None:
    """Make it ready (again): from the look on if that failed, else the rendition, first in line.

    A rendition that is ready is made anew; its file serves until then. Raises Conflict when that
    is impossible.
    """
    with transaction():
        video = Video.get_by_id(video.id)
        if video.state is VideoState.TRASHED:
            raise Conflict("The video is in the bin. Restore it first.", code="trashed")
        if video.received_at is None and video.facts is None:
            raise Conflict("The file isn't here yet. Upload it first.", code="not_received")
        _refuse_unlike(video)
        events.audit(actor, "video.retry", f"video:{video.public_id}")
        if video.facts is None:
            if video.state is VideoState.FAILED:
                renditions.move_video(video, VideoState.PROCESSING, error=None, error_detail=None)
            for rendition in Rendition.select().where(Rendition.video == video):
                if rendition.state is RenditionState.FAILED:
                    renditions.move_rendition(rendition, RenditionState.PENDING, error=None)
            job = jobs.create("probe", f"probe:{video.public_id}", video=video)
            jobs.lift(job, Priority.HIGH)
            return
        rendition = renditions.row_for(video, SOCIAL)
        if rendition.state is RenditionState.READY:
            renditions.remake(rendition, Priority.HIGH, although_current=True)
        else:
            if rendition.wanted < Priority.HIGH:
                Rendition.update(wanted=int(Priority.HIGH)).where(
                    Rendition.id == rendition.id
                ).execute()
            renditions.restart(rendition, video, Priority.HIGH)
        if video.poster_version == 0:
            pipeline.make_poster(video)


# What is taken up again by itself


def go_on_after_return(video: Video, settings: Settings) -> None:
    """It is out of the bin again: begin anew what ``stop_work`` has ended. Repeatable."""
    with transaction():
        video = Video.get_by_id(video.id)
        if not videos.is_as_sent(video):
            return
        if video.state in (VideoState.RECEIVED, VideoState.PROCESSING):
            _go_on(video, settings)
        elif video.state is VideoState.READY and video.facts is not None:
            if video.poster_version == 0:
                pipeline.make_poster(video)
            pipeline.start_eager(video, settings)


def sweep(settings: Settings) -> int:
    """Videos that no job works on although one should (restored from the bin, say); how many.

    They are looked for without keeping writers waiting; what is found is looked at again.
    """
    steps: list[tuple[Any, Callable[[Any], object]]] = [
        (_without_job(), lambda video: _go_on(video, settings)),
        (_unlike_sent(), pipeline.check_sent_digest),
        (_without_hope(), _give_up_hope),
    ]
    mended = 0
    for found, mend in steps:
        for row in list(found):
            with transaction():
                still = found.where(type(row).id == row.id).first()
                if still is not None:
                    mend(still)
                    mended += 1
    return mended


def _without_job() -> Any:
    # A post that waits for its time makes no video ready.
    busy = Job.select(Job.video).where(LIVE, Job.video.is_null(False), Job.kind != "publish")
    waiting = [VideoState.RECEIVED, VideoState.PROCESSING]
    return Video.select().where(Video.state.in_(waiting), Video.id.not_in(busy))


def _go_on(video: Video, settings: Settings) -> None:
    log.info("video %s goes on", video.public_id)
    if video.facts is None:
        jobs.create("probe", f"probe:{video.public_id}", video=video)
        return
    if video.poster_version == 0:
        pipeline.make_poster(video)
    rendition = renditions.row_for(video, SOCIAL)
    if rendition.state is RenditionState.READY:
        renditions.move_video(video, VideoState.READY, ready_at=now())
    elif settings.auto_renditions or rendition.wanted:
        renditions.restart(rendition, video, Priority(rendition.wanted or Priority.NORMAL))
        pipeline.start_eager(video, settings)
    elif video.poster_version:
        pipeline.ready_without_rendition(video)


def _unlike_sent() -> Any:
    """Not what was sent, and something is still made of them, or was made before that was known."""
    # NULL, hence no, while one is unknown. Word for word as in its index.
    differs = Video.sha256 != fn.LOWER(Video.sent_sha256)
    failed = Rendition.state == RenditionState.FAILED
    unsettled = Rendition.select(Rendition.video).where(~failed)
    return Video.select().where(
        Video.state != VideoState.TRASHED,
        differs,
        (Video.state != VideoState.FAILED) | Video.id.in_(unsettled),
    )


def _without_hope() -> Any:
    """Asked for while the file was arriving, which then came to nothing."""
    return (
        Rendition.select(Rendition, Video)
        .join(Video)
        .where(
            Video.state == VideoState.FAILED,
            Video.facts.is_null(),
            Rendition.state.in_([RenditionState.PENDING, RenditionState.PROCESSING]),
        )
    )


def _give_up_hope(rendition: Rendition) -> None:
    pipeline.fail_rendition(rendition, rendition.video.error or "The file could not be used.")
