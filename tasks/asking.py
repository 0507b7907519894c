"""What people ask for about single renditions: make one, make it anew, take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import events, jobs
from appliance.db import transaction
from appliance.durable import sync_folder
from appliance.errors import Conflict, NotFound
from appliance.models import Account, Job, Post, PostTarget, Priority, Rendition, Video
from appliance.states import TARGET_ENDED, JobState, PostState, RenditionState, TargetState
from tasks import profiles, renditions
from tasks.probe.facts import Probe
from tasks.profiles import Profile
from tasks.publish import material
from tasks.transcode.plan import too_long

if TYPE_CHECKING:
    from appliance.models import User
    from storage.layout import Layout

NO_SOUND = "This video has no sound."


def find_profile(name: str) -> Profile:
    """As this box makes it now. Wants a connection. Raises NotFound."""
    if name not in profiles.PROFILES:
        raise NotFound("There is nothing of that name that could be made of a video.")
    return profiles.current(name)


def why_not(profile: Profile, video: Video) -> str:
    """Why there can never be one of this video, in a sentence; "": there can be, or who knows."""
    if video.facts is None:
        return ""
    if profile.needs_sound and video.facts["audio"] is None:
        return NO_SOUND
    return too_long(Probe.from_dict(video.facts), profile)


def ask(video: Video, name: str, actor: User | None, *, at_night: bool = False) -> Rendition:
    """Make it, first in line; or when there is night, behind all others. Safe to call often.

    One that is there and made by the profile of today stays as it is; of an older one the file
    serves until the new one is there. Raises NotFound, and Conflict when nothing can be made.
    """
    with transaction():
        profile = find_profile(name)
        video = Video.get_by_id(video.id)
        renditions.require_usable(video)
        if reason := why_not(profile, video):
            raise Conflict(reason, code="no_sound" if reason == NO_SOUND else "too_long")
        if at_night and video.facts is None:
            raise Conflict(
                "The file is still being checked. Ask again when that is done.", code="not_checked"
            )
        rendition = renditions.row_for(video, profile)
        if renditions.is_current(rendition):
            return rendition
        events.audit(
            actor, "rendition.make", f"video:{video.public_id}", profile=name, at_night=at_night
        )
        renditions.tell(rendition, "asked", actor)
        priority = Priority.LOW if at_night else Priority.HIGH
        if rendition.state is RenditionState.READY:
            renditions.remake(rendition, priority, only_at_night=at_night)
        elif at_night:
            renditions.restart(rendition, video, priority, only_at_night=True)
        else:
            renditions.want_rendition(video, name, priority)
        return Rendition.get_by_id(rendition.id)


def remove(video: Video, name: str, actor: User | None, layout: Layout) -> None:
    """Take away what was made on demand; it can be made again. Raises NotFound, Conflict."""
    profile = find_profile(name)
    if profile.eager:
        raise Conflict(
            f"“{profile.label}” is made of every video and goes with it.", code="made_of_all"
        )
    with transaction():
        rendition = Rendition.get_or_none(Rendition.video == video, Rendition.profile == name)
        if rendition is None:
            raise NotFound("There is none of this video.")
        if _is_needed(video, rendition):
            raise Conflict("A post still needs it. Cancel the post first.", code="in_use")
        ready = rendition.state is RenditionState.READY
        if ready and not layout.original(video.public_id).exists():
            raise Conflict(
                "The original of this video is gone, so this could never be made again. To remove "
                "all of the video, delete the video.",
                code="original_missing",
            )
        live = renditions.jobs_of(rendition)
        if any(job.state is JobState.RUNNING for job in live):
            raise Conflict("It is being made at this moment. Cancel that first.", code="running")
        for job in live:
            jobs.cancel(job)
        events.audit(actor, "rendition.remove", f"video:{video.public_id}", profile=name)
        # The ledger keeps what was done; only the rendition goes.
        Job.update(rendition=None).where(Job.rendition == rendition).execute()
        rendition.delete_instance()
        renditions.tell(rendition, "removed", actor)
    _remove_file(video, name, layout)


def _is_needed(video: Video, rendition: Rendition) -> bool:
    """Whether a post goes out with it, or waits for it: the sweep would only make it anew."""
    open_targets = (
        PostTarget.select(PostTarget, Post, Account)
        .join(Post)
        .switch(PostTarget)
        .join(Account)
        .where(Post.video == video, PostTarget.state.not_in(list(TARGET_ENDED)))
    )
    for target in open_targets:
        if target.rendition_id == rendition.id:
            return True
        if target.state is not TargetState.WAITING or target.post.state is PostState.DRAFT:
            continue
        if material.choice_for(target).profile == rendition.profile:
            return True
    return False


def _remove_file(video: Video, name: str, layout: Layout) -> None:
    """After its row: a crash in between leaves a file that no row names, which a sweep finds."""
    file = layout.rendition(video.public_id, name)
    with transaction():  # so that nobody places a new one meanwhile
        again = Rendition.select().where(Rendition.video == video, Rendition.profile == name)
        if not again.where(Rendition.state == RenditionState.READY).exists() and file.exists():
            file.unlink()
            sync_folder(file.parent)
