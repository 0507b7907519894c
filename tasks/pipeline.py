"""From an original to a video that can be posted: which job follows which, and what ends mean.

    probe ─┬─ poster
           ├─ preview (before all else, where the original can't be played by browsers)
           ├─ remux, or encode (→ the social rendition: "ready")
           └─ the other eager profiles, when nobody waits for anything

Rows and jobs change together, in the transaction of whoever calls. The original stays playable
whatever fails; a video is READY when its rendition is, or, with ``auto_renditions`` off, when
it has been looked at. Renditions are then made when a post wants one, or a person.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance import events, jobs, videos
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import JobFailed
from appliance.models import Damage, Job, Method, PosterChoice, Priority, Rendition, Video
from appliance.states import JobState, RenditionState, VideoState
from tasks import asking, profiles, renditions
from tasks.acceptance import BROWSERS
from tasks.connect import flow
from tasks.probe.facts import Probe
from tasks.profiles import PREVIEW, SOCIAL
from tasks.publish import follow_up, settling
from tasks.transcode.plan import plan

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings
    from tasks.profiles import Profile


# After a look


def after_probe(job: Job, facts: Probe, digest: str, settings: Settings) -> None:
    """The facts are known: record them, and make the jobs that follow."""
    assert facts.video is not None
    video = Video.get_by_id(job.video_id)
    video.sha256 = digest
    if not videos.is_as_sent(video):
        raise _not_as_sent(video)
    columns: dict[str, Any] = {
        "facts": facts.to_dict(),
        "sha256": digest,
        "duration_s": round(facts.duration_s, 3),
        "width": facts.video.shown_width,
        "height": facts.video.shown_height,
        "error": None,
        "error_detail": None,
    }
    renditions.move_video(video, VideoState.PROCESSING, **columns)
    video = Video.get_by_id(video.id)
    make_poster(video)
    rendition = renditions.row_for(video, SOCIAL)
    if rendition.state is RenditionState.READY:  # somebody had an old look repeated
        renditions.move_video(video, VideoState.READY)
    start_eager(video, settings)


def start_eager(video: Video, settings: Settings) -> None:
    """Jobs for what is made of every video, and for what somebody has asked for; repeatable."""
    for profile in profiles.PROFILES.values():
        rendition = Rendition.get_or_none(
            Rendition.video == video, Rendition.profile == profile.name
        )
        wanted = rendition.wanted if rendition is not None else 0
        if not (wanted or (profile.eager and settings.auto_renditions)):
            continue
        if not wanted and rendition is None and _is_needless(profile, video):
            continue
        if reason := asking.why_not(profile, video):
            if rendition is not None:
                fail_rendition(rendition, reason)
            continue
        rendition = rendition or renditions.row_for(video, profile)
        if rendition.state is RenditionState.PENDING:
            priority = wanted or _eager_priority(video, profile)
            renditions.start(rendition, video, Priority(priority))


def _eager_priority(video: Video, profile: Profile) -> Priority:
    """The preview is the first that can be watched; of a film that plays as it is, it can wait."""
    if profile.name == PREVIEW.name:
        for_players = replace(profile, places=(BROWSERS,))
        plays = renditions.choose_job(for_players, video) != profile.jobs[-1]
        return Priority.LOW if plays else profile.priority
    return profile.priority


def _is_needless(profile: Profile, video: Video) -> bool:
    """A preview that would be a second copy of a film which is only repacked, and at once."""
    if profile.name != PREVIEW.name:
        return False
    facts, whole = Probe.from_dict(video.facts or {}), profiles.current(SOCIAL.name)
    return plan(facts, profile).method is Method.REMUX and (
        renditions.choose_job(whole, video) == whole.jobs[0]
    )


def _not_as_sent(video: Video) -> JobFailed:
    return JobFailed(
        videos.NOT_AS_SENT,
        permanent=True,
        code="not_as_sent",
        detail=videos.digests_of(video),
    )


def check_sent_digest(video: Video) -> bool:
    """The sender has said its digest: if ours is another, nothing is made or posted of the video.

    False: it is another. Repeatable; when ours isn't known yet, ``after_probe`` compares.
    """
    with transaction():
        fresh = Video.get_by_id(video.id)
        if videos.is_as_sent(fresh):
            return True
        stop_work(fresh)
        videos.check_sent_digest(fresh)
        for rendition in Rendition.select().where(Rendition.video == fresh):
            if rendition.state is RenditionState.READY:
                renditions.move_rendition(rendition, RenditionState.PENDING)
            fail_rendition(rendition, videos.NOT_AS_SENT, videos.digests_of(fresh))
        settling.video_refused(fresh, videos.NOT_AS_SENT, code="not_as_sent")
    return False


def make_poster(video: Video) -> None:
    jobs.create("poster", f"poster:{video.public_id}", video=video)


def poster_taken(
    video: Video, choice: PosterChoice = PosterChoice.AUTO, at_s: float | None = None
) -> None:
    """It is in its place. ``at_s``: the moment that it shows; None for a picture of a person."""
    Video.update(
        poster_version=Video.poster_version + 1, poster_choice=choice, poster_at_s=at_s
    ).where(Video.id == video.id).execute()
    videos.tell(video, "video.poster")
    ready_without_rendition(video)


def ready_without_rendition(video: Video) -> None:
    """With renditions on demand, a video that has been looked at is ready to be used."""
    video = Video.get_by_id(video.id)
    if video.state is VideoState.PROCESSING:
        social = renditions.row_for(video, SOCIAL)
        if social.state is RenditionState.PENDING and not renditions.jobs_of(social):
            renditions.move_video(video, VideoState.READY, ready_at=now())


# Renditions


def rendition_started(rendition: Rendition) -> None:
    """A worker begins with it, or begins again after a crash. A ready one stays in use."""
    fresh = Rendition.get_by_id(rendition.id)
    if fresh.state is RenditionState.FAILED:
        renditions.move_rendition(fresh, RenditionState.PENDING, error=None, error_detail=None)
    if fresh.state is RenditionState.PENDING:
        renditions.move_rendition(fresh, RenditionState.PROCESSING)


def hand_to_encoder(job: Job, rendition: Rendition, fault: str = "") -> None:
    """Repacking wasn't enough: the same rendition by an encode, in the other queue.

    ``fault``: what was wrong with the repacked file; then the picture is encoded in any case.
    """
    video = Video.get_by_id(rendition.video_id)
    payload = {**job.payload, "anyway": fault} if fault else job.payload
    kind = profiles.PROFILES[rendition.profile].jobs[-1]
    renditions.make_job(
        kind,
        rendition,
        video,
        Priority(job.priority),
        payload,
        only_at_night=job.only_at_night or None,
    )


def rendition_ready(rendition: Rendition, columns: dict[str, Any]) -> None:
    """Its file is in its place."""
    fresh = Rendition.get_by_id(rendition.id)
    if not videos.is_as_sent(source := Video.get_by_id(fresh.video_id)):
        raise _not_as_sent(source)  # heard of while it was made
    columns = {**columns, "ready_at": now(), "wanted": 0, "error": None, "error_detail": None}
    if fresh.state is RenditionState.READY:  # made anew
        Rendition.update(**columns).where(Rendition.id == fresh.id).execute()
        renditions.tell(fresh, fresh.state.value)
    else:
        renditions.move_rendition(fresh, RenditionState.READY, **columns)
    Damage.delete().where(Damage.video == fresh.video_id, Damage.name == fresh.profile).execute()
    video = Video.get_by_id(fresh.video_id)
    if fresh.profile == SOCIAL.name and video.state is not VideoState.READY:
        renditions.move_video(
            video, VideoState.READY, ready_at=now(), error=None, error_detail=None
        )
    settling.rendition_settled(Rendition.get_by_id(fresh.id))


def lose_rendition(rendition: Rendition, error: str) -> None:
    """Its file is gone, and it can't be made again: whoever waits for it hears of that."""
    if rendition.state is RenditionState.READY:
        renditions.move_rendition(rendition, RenditionState.PENDING)
    fail_rendition(rendition, error)


def fail_rendition(rendition: Rendition, error: str, detail: str = "") -> None:
    fresh = Rendition.get_by_id(rendition.id)
    if fresh.state is RenditionState.READY:
        return
    if fresh.state is not RenditionState.FAILED:
        renditions.move_rendition(
            fresh, RenditionState.FAILED, error=error, error_detail=detail or None, wanted=0
        )
    settling.rendition_settled(Rendition.get_by_id(fresh.id))


# Encodes of growing files


def start_ahead(video: Video, payload: dict[str, Any], probe: Probe, settings: Settings) -> None:
    """Encode a file while the rest of it arrives, if it will be wanted. In a transaction."""
    known = Rendition.get_or_none(Rendition.video == video, Rendition.profile == SOCIAL.name)
    if not settings.auto_renditions and not (known and known.wanted):
        return
    rendition = known or renditions.row_for(video, SOCIAL)
    if rendition.state is RenditionState.PENDING and not renditions.jobs_of(rendition):
        renditions.make_job(renditions.AHEAD, rendition, video, Priority.LOW, payload, probe=probe)


def encode_as_usual(job: Job) -> None:
    """Nothing came of an encode ahead: begin one, if all of the file is here and looked at.

    If it isn't, ``after_probe`` does.
    """
    rendition: Rendition = Rendition.get_by_id(job.rendition_id)
    video = Video.get_by_id(rendition.video_id)
    if rendition.state is RenditionState.PROCESSING:
        renditions.move_rendition(rendition, RenditionState.PENDING)
    here = video.facts is not None and video.state in (VideoState.PROCESSING, VideoState.READY)
    others = [other for other in renditions.jobs_of(rendition) if other.id != job.id]
    if here and rendition.state is RenditionState.PENDING and not others:
        kind = renditions.choose_job(profiles.current(rendition.profile), video)
        priority = Priority(rendition.wanted or Priority.NORMAL)
        renditions.make_job(kind, rendition, video, priority)


# How jobs end


def settle_failure(job: Job, failure: JobFailed) -> None:
    """What the final failure of a job does to its subject, in the transaction that fails it."""
    if job.kind == "publish":
        settling.job_failed(job, failure)
        return
    if job.kind == "connect":
        flow.connect_failed(job, failure)
        return
    video = Video.get_or_none(Video.id == job.video_id)
    if video is None or job.kind in ("early_look", "cover", *follow_up.KINDS):
        return  # nothing waits for it
    if job.kind == "poster":
        if job.payload and failure.code != "cancelled":  # somebody has chosen it
            videos.tell(video, "video.poster_failed", error=failure.message)
        ready_without_rendition(video)
        return
    if video.state is VideoState.TRASHED:
        # Its files were moved away under the job. A restore goes on from here, by the sweep.
        _take_back_rendition(job)
        return
    if job.kind == renditions.AHEAD and not _is_all_there_is(video, failure):
        encode_as_usual(job)
        return
    if not videos.is_as_sent(video):
        failure = _not_as_sent(video)  # which ended the work, whatever the work has said
    error, detail = failure.message, failure.detail or None
    if job.kind == "probe":
        if video.state is VideoState.READY:
            return  # an old look that was repeated; what was found out before still holds
        renditions.move_video(video, VideoState.FAILED, error=error, error_detail=detail)
        for rendition in Rendition.select().where(Rendition.video == video):
            fail_rendition(rendition, error, failure.detail)
    elif job.rendition is not None:
        fail_rendition(job.rendition, error, failure.detail)
        # Made on demand for a video that is in use already: that one stays usable.
        decides = job.rendition.profile == SOCIAL.name
        if decides and video.state is not VideoState.READY:
            renditions.move_video(video, VideoState.FAILED, error=error, error_detail=detail)


def _is_all_there_is(video: Video, failure: JobFailed) -> bool:
    """A person has cancelled what they took for the encode, and what it had become: the file is
    here, and no other encode of it was begun."""
    return failure.code == "cancelled" and video.facts is not None


def _take_back_rendition(job: Job) -> None:
    rendition = job.rendition
    if rendition is not None and rendition.state is RenditionState.PROCESSING:
        renditions.move_rendition(rendition, RenditionState.PENDING)


def settle_cancel(job: Job) -> None:
    """The same for a cancel. There is no state "cancelled" for videos: Retry is offered."""
    if job.kind == "publish":
        settling.job_cancelled(job)
    else:
        what = "Checking the file" if job.kind == "probe" else "Making it ready"
        sentence = f"{what} was cancelled. Press Retry to start it again."
        settle_failure(job, JobFailed(sentence, permanent=True, code="cancelled"))


# What people press


def cancel_job(job: Job, actor: User | None) -> JobState:
    """Cancel it; the state that it is in now. Raises InvalidTransition when it has ended."""
    with transaction():
        state = jobs.cancel(job)
        if state is JobState.CANCELLED:
            settle_cancel(Job.get_by_id(job.id))
        events.audit(actor, "job.cancel", f"job:{job.public_id}")
    return state


def stop_work(video: Video) -> None:
    """Nobody waits for it any more: end what is queued and what runs.

    ``restarts.go_on_after_return`` begins again with what is missing if the video comes back.
    """
    with transaction():
        for job in Job.select().where(
            Job.video == video, Job.kind != "publish", Job.state.in_(renditions.LIVE)
        ):
            if jobs.cancel(job) is JobState.CANCELLED:
                settle_cancel(Job.get_by_id(job.id))
