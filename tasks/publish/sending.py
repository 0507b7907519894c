"""One target on its way: its job, and what it waits for in words.

A target that can go has one live ``publish`` job; one that waits for something else (its video, its
account, an approval, a link) has none, and gets it in the very transaction in which that comes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance import jobs, posting_switch, posts
from appliance.clock import now
from appliance.errors import ApplianceError
from appliance.models import Job, PostTarget, Priority
from appliance.states import (
    TARGET_ENDED,
    AccountState,
    ApprovalState,
    JobState,
    PostState,
    TargetState,
)
from tasks import renditions
from tasks.publish import material, timing
from tasks.publish.choice import Use
from tasks.publish.publisher import Capabilities
from tasks.publish.registry import capabilities_of

if TYPE_CHECKING:
    from datetime import datetime

    from tasks.publish.choice import Choice

log = logging.getLogger(__name__)

WAITS_FOR_ACCOUNT = "Waits until the account is connected again"
WAITS_FOR_APPROVAL = "Waits for approval"
ALL_PAUSED = "All posting is paused"
LATE = "Its time passed before it could be posted. Post it now, or choose another time."
VIDEO_DELETED = (
    "The video was deleted before it could be posted. Restore it from the bin, then press Retry."
)

# What a job can still do something about.
OPEN = (
    TargetState.WAITING,
    TargetState.STAGING,
    TargetState.STAGED,
    TargetState.PUBLISHING,
    TargetState.UNSURE,
)
# Of these nothing was made public, and nobody tries to at this moment.
UNSEEN = (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED)


def send(target: PostTarget) -> None:
    """Give it a job, or have made what it waits for, or say why it waits. Idempotent."""
    if target.post.state is PostState.DRAFT:
        return
    if target.state not in UNSEEN:
        make_job(target)  # it may be public: that has to be found out, whatever else is
        return
    if name := lost_link(target):
        fail_for_link(target, name)
        return
    if why := held_back(target):
        if is_held_otherwise(target):
            make_job(target)  # the platform would make it public by itself: it is called back
            return
        posts.drop_queued_jobs(target)
        posts.note_target(target, why)
        return
    if target.state is not TargetState.WAITING:
        make_job(target)
        return
    choice = material.choice_for(target)
    if choice.use is Use.NOTHING:
        posts.drop_queued_jobs(target)
        posts.fail_target(target, choice.why, code="no_rendition")
        return
    when = begins_at(target)
    missing = choice.use in (Use.WAIT, Use.FAILED)
    if when is not None:
        make_job(target, run_after=when)
        if missing:
            want(target, choice, Priority.NORMAL)
    elif not missing or target.checkpoint:
        _log_fast_path(target, choice)
        make_job(target)
    elif timing.is_due(target.post.publish_at, now()):
        _wait_for(target, choice, Priority.HIGH)
    else:  # it could be brought there ahead of its time
        _wait_for(target, choice, Priority.NORMAL)
        make_job(target, run_after=target.post.publish_at)


def is_held_otherwise(target: PostTarget) -> bool:
    """Whether a platform would make it public by itself, at another time or with other texts than
    it has by now."""
    if target.held_until is None:
        return False
    return material.is_stale(target) or not timing.is_same(
        target.held_until, target.post.publish_at
    )


def _wait_for(target: PostTarget, choice: Choice, priority: Priority) -> None:
    log.info(
        "post %s to %s waits for the rendition %s (fallback)",
        target.post.public_id,
        target.account.platform,
        choice.profile,
    )
    if want(target, choice, priority):
        posts.note_target(target, material.waits_for(choice))


def _log_fast_path(target: PostTarget, choice: Choice) -> None:
    log.info(
        "post %s to %s takes the fast path: the %s is ready%s",
        target.post.public_id,
        target.account.platform,
        choice.use,
        f". {choice.why}" if choice.why else "",
    )


def held_back(target: PostTarget) -> str:
    """Why nothing of it may be sent or made public now, in words; "": it may."""
    if target.account.state is not AccountState.CONNECTED:
        return WAITS_FOR_ACCOUNT
    post = target.post
    if post.approval in (ApprovalState.REQUESTED, ApprovalState.REFUSED):
        return WAITS_FOR_APPROVAL
    if post.late_since is not None and target.held_until is None:
        return LATE
    if posting_switch.is_paused():
        return ALL_PAUSED
    return _waits_for_link(target)


def _waits_for_link(target: PostTarget) -> str:
    links = material.links_in(material.draft_of(target))
    missing = links - set(material.urls_of(target)) if links else links
    if not missing:
        return ""
    name = sorted(missing)[0]
    return f"Waits for the link from {label_of(name)}"


def lost_link(target: PostTarget) -> str | None:
    """The platform whose link will not come, so that the target can't go; None: it may come."""
    links = material.links_in(material.draft_of(target))
    for name in sorted(links - set(material.urls_of(target)) if links else links):
        sources = [t for t in material.siblings(target) if t.account.platform == name]
        open_ones = [
            t for t in sources if t.state not in TARGET_ENDED or t.state is TargetState.NEEDS_PERSON
        ]
        if not open_ones:
            return name
    return None


def fail_for_link(target: PostTarget, platform: str) -> None:
    posts.drop_queued_jobs(target)
    posts.fail_target(target, no_link(platform), code="no_link")


def no_link(platform: str) -> str:
    return (
        f"The text names the link from {label_of(platform)}, and nothing of this post is public "
        "there. Change the text or post there first, then press Retry."
    )


def link_settled(target: PostTarget) -> None:
    """It is public, or won't be: those of the same post that wait for its link hear of it."""
    if target.state not in TARGET_ENDED:
        return
    for other in material.siblings(target):
        waits = other.state is TargetState.WAITING and other.id != target.id
        if waits and target.account.platform in material.links_in(material.draft_of(other)):
            send(other)


def label_of(platform: str) -> str:
    capabilities = capabilities_of(platform)
    return capabilities.label if capabilities else platform


def capabilities_for(target: PostTarget) -> Capabilities:
    return capabilities_of(target.account.platform) or Capabilities(target.account.platform)


def begins_at(target: PostTarget) -> datetime | None:
    """When it is brought to its platform; None: at once."""
    return timing.begin_at(
        target.post.publish_at,
        now(),
        capabilities_for(target),
        stage_ahead=target.account.stage_ahead,
        hold=target.post.hold_there,
    )


def make_job(target: PostTarget, *, run_after: datetime | None = None) -> None:
    """The live job of the target, or a new one; one that is queued for another time follows."""
    job = jobs.create(
        "publish",
        f"publish:{target.public_id}",
        video=target.post.video,
        post=target.post,
        target=target,
        run_after=run_after,
    )
    if run_after == job.run_after:
        return
    Job.update(run_after=run_after).where(Job.id == job.id, Job.state == JobState.QUEUED).execute()
    if run_after is None:
        jobs.lift(job, Priority.HIGH)  # rings


# In the payload of a job: its target failed, and what is left of it there is to go.
REMOVES = "removes"


def make_removing_job(target: PostTarget) -> None:
    """For a target that has failed. Whoever presses Retry meanwhile gets what they want."""
    jobs.create(
        "publish",
        f"publish:{target.public_id}",
        video=target.post.video,
        post=target.post,
        target=target,
        payload={REMOVES: True},
        priority=Priority.LOW,
    )


def targets_with_job() -> Any:
    """A subquery: the targets that somebody works on, or will."""
    return Job.select(Job.target).where(
        Job.target.is_null(False), Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    )


def want(target: PostTarget, choice: Choice, priority: Priority) -> bool:
    """Have the rendition made, sooner for ``priority``; False: the target failed for that."""
    try:
        renditions.want_rendition(target.post.video, profile=choice.profile, priority=priority)
    except ApplianceError as exc:
        reason = f"The video can't be made ready: {exc.message}"
        posts.fail_target(target, reason, code="no_rendition")
        return False
    return True


def wait_for_video(target: PostTarget) -> bool:
    """The time has come, but the video isn't ready: hurry it; `settling.rendition_settled` goes on.

    False: the target failed, because no rendition can be made at all.
    """
    choice = material.choice_for(target)
    due = timing.is_due(target.post.publish_at, now())
    if choice.use is Use.NOTHING:
        posts.fail_target(target, choice.why, code="no_rendition")
        return False
    if not want(target, choice, Priority.HIGH if due else Priority.NORMAL):
        return False
    posts.note_target(target, material.waits_for(choice))
    return True


def wake(account_id: int) -> None:
    """The platform answers again: what was put back because it didn't is due now."""
    targets = PostTarget.select(PostTarget.id).where(
        PostTarget.account == account_id, PostTarget.state.in_(list(OPEN))
    )
    for job in Job.select().where(
        Job.kind == "publish", Job.state == JobState.QUEUED, Job.target.in_(targets)
    ):
        due = job.post is None or timing.is_due(job.post.publish_at, now())
        if job.run_after is not None and due and job.target is not None:
            make_job(job.target)
