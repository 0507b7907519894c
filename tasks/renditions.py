"""Renditions as rows: who wants one, which job makes it, how it moves.

Below the pipeline, which knows what follows what, and below posting, which wants renditions.
One that was made by an older recipe of its profile is *stale*: it stays in use until a person has
it made anew (``remake``), and while that goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import jobs, night, videos
from appliance.db import transaction
from appliance.errors import Conflict
from appliance.models import Damage, Job, Method, PostTarget, Priority, Rendition, Video
from appliance.states import JobState, RenditionState, TargetState, VideoState, move
from tasks import profiles
from tasks.capacity import cost_of, work_of
from tasks.probe.facts import Probe
from tasks.profiles import PREVIEW, SOCIAL, Profile
from tasks.room import estimate_bytes
from tasks.transcode.plan import plan

if TYPE_CHECKING:
    from appliance.models import User

LIVE = [JobState.QUEUED, JobState.RUNNING]
# The kind that encodes a file while it still arrives, for the social rendition.
AHEAD = "in_flight"
# In the payload of a job: make it anew although it is current, and not of a twin's file.
FORCE = "although_current"
# In the payload, too: who asked for many, and may take that back.
ASKER = "asker"
# What may be kept for the night; previews, copies and pictures are made at once.
ENCODES = ("encode", AHEAD)
# All kinds of jobs whose end is a rendition.
KINDS = tuple(dict.fromkeys(kind for p in profiles.PROFILES.values() for kind in p.jobs))

ORIGINAL_REMOVED = (
    "The original of this video was removed to save space, so nothing more can be made of it. "
    "Upload it again for that."
)


def want_rendition(
    video: Video, profile: str = SOCIAL.name, priority: Priority = Priority.NORMAL
) -> Rendition:
    """The rendition, made if it isn't there, sooner if ``priority`` is higher. Safe to call often.

    Raises Conflict when there is nothing that it could be made of.
    """
    with transaction():
        video = Video.get_by_id(video.id)
        require_usable(video)
        rendition = row_for(video, profiles.current(profile))
        if rendition.state is RenditionState.READY:
            return rendition
        if rendition.wanted < priority:
            rendition.wanted = int(priority)
            rendition.save(only=[Rendition.wanted])
        if video.facts is None:
            # Nobody has looked at it yet; after_probe goes on from ``wanted``.
            for job in live_jobs(video, ("probe",)):
                jobs.lift(job, priority)
        else:
            restart(rendition, video, priority)
        return Rendition.get_by_id(rendition.id)


def remake(
    rendition: Rendition,
    priority: Priority,
    *,
    only_at_night: bool = False,
    although_current: bool = False,
    asker: int | None = None,
) -> Job:
    """Make a ready one anew by the profile of today; the old file serves until then.

    ``asker``: the number of the person who wants it, among many others.

    ``although_current``: of the original, even where it was made by the profile of today.
    Raises Conflict when there is nothing that it could be made of.
    """
    with transaction():
        video = Video.get_by_id(rendition.video_id)
        require_usable(video)
        if although_current and video.original_removed_at is not None:
            raise Conflict(ORIGINAL_REMOVED, code="original_removed")
        payload: dict[str, Any] = {"remake": True}
        if although_current:
            payload[FORCE] = True
        if asker is not None:
            payload[ASKER] = asker
        return start(rendition, video, priority, payload=payload, only_at_night=only_at_night)


def require_usable(video: Video) -> None:
    """Raises Conflict when nothing can be made of the video."""
    if video.state is VideoState.TRASHED:
        raise Conflict("The video is in the bin. Restore it first.", code="trashed")
    if not videos.is_as_sent(video):
        raise Conflict(videos.NOT_AS_SENT, code="not_as_sent")
    if video.facts is None and video.state is VideoState.FAILED:
        raise Conflict(video.error or "The file could not be used.", code="unusable")


def is_stale(rendition: Rendition) -> bool:
    """It is in use, but its profile has changed since it was made."""
    recipe = profiles.current(rendition.profile).recipe
    return rendition.state is RenditionState.READY and rendition.recipe != recipe


def is_current(rendition: Rendition) -> bool:
    return rendition.state is RenditionState.READY and not is_stale(rendition)


def is_going_out(rendition: Rendition) -> bool:
    """A platform is being handed its file, or fetches it: it must not be replaced now."""
    return bool(
        PostTarget.select()
        .where(
            PostTarget.rendition == rendition,
            PostTarget.state.in_([TargetState.STAGING, TargetState.PUBLISHING]),
        )
        .exists()
    )


def restart(
    rendition: Rendition, video: Video, priority: Priority, *, only_at_night: bool | None = None
) -> None:
    if rendition.state in (RenditionState.FAILED, RenditionState.READY):
        move_rendition(rendition, RenditionState.PENDING, error=None, error_detail=None)
    if video.state is VideoState.FAILED and rendition.profile == SOCIAL.name:
        move_video(video, VideoState.PROCESSING, error=None, error_detail=None)
    start(rendition, video, priority, only_at_night=only_at_night)


def row_for(video: Video, profile: Profile) -> Rendition:
    """The row of it, made if needed. Inside a transaction, so nobody else makes it meanwhile."""
    known: Rendition | None = Rendition.get_or_none(
        Rendition.video == video, Rendition.profile == profile.name
    )
    return known or Rendition.create(video=video, profile=profile.name, recipe=profile.recipe)


def start(
    rendition: Rendition,
    video: Video,
    priority: Priority,
    *,
    payload: dict[str, Any] | None = None,
    only_at_night: bool | None = None,
) -> Job:
    """One live job for it, in the queue that its plan belongs to.

    ``only_at_night`` None: if the admins want such work at night. A live job that waits for the
    night, and need not any more, begins by day.
    Raises Conflict when the original was removed, and no other video has the same file.
    """
    if live := [job for job in jobs_of(rendition) if not _withdraw(job)]:
        for job in live:
            later = only_at_night
            if later is None:
                later = waits_for_night(job.kind, rendition, priority)
            jobs.lift(job, priority, only_at_night=later)
        return live[0]
    profile = profiles.current(rendition.profile)
    if video.original_removed_at is not None and find_twin(video, profile) is None:
        raise Conflict(ORIGINAL_REMOVED, code="original_removed")
    kind = choose_job(profile, video)
    return make_job(kind, rendition, video, priority, payload, only_at_night=only_at_night)


def waits_for_night(kind: str, rendition: Rendition, priority: int) -> bool:
    """Whether the admins want such work at night: an encode that no person and no post wants."""
    nobody = rendition.wanted < Priority.NORMAL and priority < Priority.HIGH
    encodes = kind in ENCODES and rendition.profile != PREVIEW.name
    return encodes and nobody and night.is_only()


def _withdraw(job: Job) -> bool:
    """An encode of the growing file that hasn't begun has nothing to win any more."""
    if job.kind != AHEAD or job.state is not JobState.QUEUED:
        return False
    sentence = "The file was here before there was a free place; it is encoded as usual."
    Job.update(error=sentence).where(Job.id == job.id).execute()
    return jobs.cancel(job) is JobState.CANCELLED


def choose_job(profile: Profile, video: Video) -> str:
    """The cheapest kind of job that can make it; of films it depends on what has to be done."""
    cheapest, dearest = profile.jobs[0], profile.jobs[-1]
    if cheapest == dearest or profile.targets is None:
        return cheapest
    chosen = plan(Probe.from_dict(video.facts), profile)
    cheap = chosen.method in (Method.LEAVE, Method.REMUX)
    return cheapest if cheap or find_twin(video, profile) else dearest


def make_job(
    kind: str,
    rendition: Rendition,
    video: Video,
    priority: Priority,
    payload: dict[str, Any] | None = None,
    *,
    only_at_night: bool | None = None,
    probe: Probe | None = None,
) -> Job:
    """``probe``: what is known of a video that has no facts yet. ``only_at_night``: as above."""
    if only_at_night is None:
        only_at_night = waits_for_night(kind, rendition, priority)
    if probe is None and video.facts is not None:
        probe = Probe.from_dict(video.facts)
    profile = profiles.current(rendition.profile)
    cost = cost_of(kind, profile, probe)
    method = plan(probe, profile).method if probe is not None and profile.targets else None
    return jobs.create(
        kind,
        f"{kind}:{rendition.public_id}",
        video=video,
        rendition=rendition,
        priority=priority,
        payload=payload,
        only_at_night=only_at_night,
        cores=cost.cores,
        memory_mib=cost.memory_mib,
        work=work_of(kind, profile, probe, method),
        room_bytes=_growth_bytes(rendition, estimate_bytes(probe, profile)),
    )


def _growth_bytes(rendition: Rendition, made_bytes: int) -> int:
    """What is added for good: a file that is replaced has its room already."""
    replaced = rendition.size_bytes if rendition.state is RenditionState.READY else 0
    return max(0, made_bytes - replaced)


def find_twin(video: Video, profile: Profile) -> Rendition | None:
    """The finished rendition of another video with the very same bytes, as far as is known
    undamaged; None: there is none."""
    if video.sha256 is None:
        return None
    damaged = Damage.select().where(Damage.video == Video.id, Damage.name == profile.name)
    twin: Rendition | None = (
        Rendition.select(Rendition, Video)
        .join(Video)
        .where(
            Video.sha256 == video.sha256,
            Video.id != video.id,
            Video.state != VideoState.TRASHED,
            Rendition.profile == profile.name,
            Rendition.recipe == profile.recipe,
            Rendition.state == RenditionState.READY,
            ~fn.EXISTS(damaged),
        )
        .first()
    )
    return twin


def jobs_of(rendition: Rendition) -> list[Job]:
    """Its live jobs."""
    return list(Job.select().where(Job.rendition == rendition, Job.state.in_(LIVE)))


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
    tell(rendition, new.value)


def tell(rendition: Rendition, what: str, actor: User | None = None) -> None:
    """An event about it. ``actor``: who caused it, if that was a person."""
    video = Video.get_by_id(rendition.video_id)
    actor_id = actor.id if actor is not None else None
    videos.tell(video, f"rendition.{what}", actor_id=actor_id, profile=rendition.profile)
