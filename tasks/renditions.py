"""Renditions as rows: who wants one, which job makes it, how it moves.

Below the pipeline, which knows what follows what, and below posting, which wants renditions.
"""

from __future__ import annotations

from typing import Any

from appliance import jobs, videos
from appliance.db import transaction
from appliance.errors import Conflict
from appliance.models import Job, Method, Priority, Rendition, Video
from appliance.states import JobState, RenditionState, VideoState, move
from tasks.probe.facts import Probe
from tasks.profiles import PROFILES, SOCIAL, Profile
from tasks.transcode.plan import plan

LIVE = [JobState.QUEUED, JobState.RUNNING]
KINDS = ("remux", "encode")


def want_rendition(
    video: Video, profile: str = SOCIAL.name, priority: Priority = Priority.NORMAL
) -> Rendition:
    """The rendition, made if it isn't there, sooner if ``priority`` is higher. Safe to call often.

    Raises Conflict when there is nothing that it could be made of.
    """
    spec = PROFILES[profile]
    with transaction():
        video = Video.get_by_id(video.id)
        if video.state is VideoState.TRASHED:
            raise Conflict("The video is in the bin. Restore it first.", code="trashed")
        if not videos.is_as_sent(video):
            raise Conflict(videos.NOT_AS_SENT, code="not_as_sent")
        if video.facts is None and video.state is VideoState.FAILED:
            raise Conflict(video.error or "The file could not be used.", code="unusable")
        rendition = row_for(video, spec)
        if is_current(rendition):
            return rendition
        if rendition.wanted < priority:
            Rendition.update(wanted=int(priority)).where(Rendition.id == rendition.id).execute()
        if video.facts is None:
            # Nobody has looked at it yet; after_probe goes on from ``wanted``.
            for job in live_jobs(video, ("probe",)):
                jobs.lift(job, priority)
        else:
            restart(rendition, video, priority)
        return Rendition.get_by_id(rendition.id)


def is_current(rendition: Rendition) -> bool:
    version = PROFILES[rendition.profile].version
    return rendition.state is RenditionState.READY and rendition.profile_version == version


def restart(rendition: Rendition, video: Video, priority: Priority) -> None:
    if rendition.state in (RenditionState.FAILED, RenditionState.READY):
        move_rendition(rendition, RenditionState.PENDING, error=None, error_detail=None)
    if video.state is VideoState.FAILED:
        move_video(video, VideoState.PROCESSING, error=None, error_detail=None)
    start(rendition, video, priority)


def row_for(video: Video, profile: Profile) -> Rendition:
    """The row of it, made if needed. Inside a transaction, so nobody else makes it meanwhile."""
    known: Rendition | None = Rendition.get_or_none(
        Rendition.video == video, Rendition.profile == profile.name
    )
    return known or Rendition.create(
        video=video, profile=profile.name, profile_version=profile.version
    )


def start(rendition: Rendition, video: Video, priority: Priority) -> None:
    """One live job for it, in the queue that its plan belongs to."""
    if live := live_jobs(video, KINDS):
        for job in live:
            jobs.lift(job, priority)
        return
    profile = PROFILES[rendition.profile]
    chosen = plan(Probe.from_dict(video.facts), profile)
    cheap = chosen.method in (Method.LEAVE, Method.REMUX)
    kind = "remux" if cheap or find_twin(video, profile) else "encode"
    make_job(kind, rendition, video, priority)


def make_job(
    kind: str,
    rendition: Rendition,
    video: Video,
    priority: Priority,
    payload: dict[str, Any] | None = None,
) -> None:
    key = f"{kind}:{rendition.public_id}"
    jobs.create(kind, key, video=video, rendition=rendition, priority=priority, payload=payload)


def find_twin(video: Video, profile: Profile) -> Rendition | None:
    """The finished rendition of another video with the very same bytes; None: there is none."""
    if video.sha256 is None:
        return None
    twin: Rendition | None = (
        Rendition.select()
        .join(Video)
        .where(
            Video.sha256 == video.sha256,
            Video.id != video.id,
            Video.state != VideoState.TRASHED,
            Rendition.profile == profile.name,
            Rendition.profile_version == profile.version,
            Rendition.state == RenditionState.READY,
        )
        .first()
    )
    return twin


def live_jobs(video: Video, kinds: tuple[str, ...]) -> list[Job]:
    return list(Job.select().where(Job.video == video, Job.kind.in_(kinds), Job.state.in_(LIVE)))


def move_video(video: Video, new: VideoState, **columns: Any) -> None:
    """To ``new``, or (in the bin) to where a restore will bring it."""
    fresh = Video.get_by_id(video.id)
    if fresh.state is VideoState.TRASHED:
        Video.update(state_before_trash=new, **columns).where(Video.id == fresh.id).execute()
    elif fresh.state is new:
        if columns:
            Video.update(**columns).where(Video.id == fresh.id).execute()
        videos.tell(fresh, f"video.{new.value}")
    else:
        videos.change_state(fresh, new, **columns)


def move_rendition(rendition: Rendition, new: RenditionState, **columns: Any) -> None:
    if not move(Rendition, rendition.id, rendition.state, new, **columns):
        raise Conflict("The rendition changed in between; look again.")
    rendition.state = new
    video = Video.get_by_id(rendition.video_id)
    videos.tell(video, f"rendition.{new.value}", profile=rendition.profile)
