"""What happens elsewhere, and what it means for the posts that wait for it.

Renditions that become ready or fail, videos that are thrown away, jobs that end without the
machine having decided that. Call these in the transaction in which it happens.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance import posts
from appliance.clock import now
from appliance.errors import JobFailed
from appliance.models import Account, Job, Post, PostTarget, Priority, Rendition, Video
from appliance.states import PostState, RenditionState, TargetState
from tasks.publish import leftovers, material, sending, timing
from tasks.publish.choice import Use
from tasks.publish.sending import OPEN, UNSEEN, VIDEO_DELETED, make_job, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

log = logging.getLogger(__name__)

CALLED_BACK = "Called back, because the video was deleted"


def rendition_settled(rendition: Rendition) -> None:
    """Call it in the transaction in which a rendition becomes ready or failed."""
    fresh = Rendition.get_by_id(rendition.id)
    for target in _waiting(PostTarget.post.in_(_posts_of(fresh.video_id))):
        if (
            fresh.profile
            in material.delivery_of(
                target.account.platform, material.draft_of(target).options
            ).profiles
        ):
            video_settled(target, fresh)


def video_settled(target: PostTarget, rendition: Rendition) -> None:
    later = not timing.is_due(target.post.publish_at, now())
    if rendition.state is RenditionState.READY:
        send(target)
    elif rendition.state is RenditionState.FAILED and not later:
        # One with a time still to come waits: somebody may retry the video until then.
        choice = material.choice_for(target)
        match choice.use:
            case Use.ORIGINAL:
                log.warning("post %s: %s", target.post.public_id, choice.why)
                posts.note_target(target, choice.why)
                send(target)
            case Use.RENDITION:
                send(target)
            case Use.WAIT if choice.profile != rendition.profile:
                if sending.want(target, choice, Priority.HIGH):  # another one will do
                    posts.note_target(target, material.waits_for(choice))
            case _:
                posts.fail_target(target, choice.why, code="no_rendition")


def _posts_of(video_id: int) -> Any:
    return Post.select(Post.id).where(Post.video == video_id, Post.state != PostState.DRAFT)


def _waiting(*also: Any) -> Iterable[PostTarget]:
    return _of_state((TargetState.WAITING,), *also)


def _of_state(states: Sequence[TargetState], *also: Any) -> Iterable[PostTarget]:
    """Targets that belong to a person's present wish, their rows loaded."""
    query = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(PostTarget.state.in_(list(states)), Post.state != PostState.DRAFT, *also)
        .order_by(PostTarget.id)
    )
    return list(query)


def video_refused(video: Video, reason: str, *, code: str) -> None:
    """It will never be fit to be posted: what waits for it, or for its time, hears of that now."""
    for target in _waiting(PostTarget.post.in_(_posts_of(video.id))):
        posts.drop_queued_jobs(target)
        posts.fail_target(target, reason, code=code)
        sending.link_settled(target)


def video_trashed(video: Video) -> None:
    """What hasn't gone out stops now; after a restore, Retry sends it. It never goes by itself:
    somebody who looks into the bin a week later doesn't expect a post. What is prepared on a
    platform is called back."""
    for target in _of_state(UNSEEN, PostTarget.post.in_(_posts_of(video.id))):
        posts.drop_queued_jobs(target)
        if target.state is TargetState.WAITING and not target.checkpoint:
            posts.fail_target(target, VIDEO_DELETED, code="no_video")
            sending.link_settled(target)
            continue
        posts.move_target(target, TargetState.CANCELLED, stage=CALLED_BACK)
        sending.link_settled(target)
        make_job(target)
    leftovers.let_go(_of_state((TargetState.FAILED,), PostTarget.post.in_(_posts_of(video.id))))


class TargetFailed(JobFailed):
    """A target failed for good; ``record`` says so in its row, in the transaction of the job."""

    def __init__(self, message: str, *, code: str, record: Callable[[], object], detail: str = ""):
        super().__init__(message, permanent=True, code=code, detail=detail)
        self.record = record


def job_failed(job: Job, failure: JobFailed) -> None:
    """A publish job failed for good; call it in that transaction.

    Where the machine didn't decide that itself (too many crashes, a mistake of ours) and
    something may be public already, a person has to look: never "failed", which would offer Retry.
    """
    if isinstance(failure, TargetFailed):
        failure.record()
        return
    target = job.target
    if target is None:
        return
    if target.state in UNSEEN and target.held_until is None:
        posts.fail_target(target, failure.message, code=failure.code, detail=failure.detail)
        sending.link_settled(target)
        return
    let_person_look(target, failure.message, failure.detail)


def let_person_look(target: PostTarget, why: str, detail: str = "") -> None:
    """It may be public, or will be without us, and can't be asked: a person decides."""
    if target.state in (TargetState.PUBLISHING, TargetState.STAGED):
        posts.move_target(target, TargetState.UNSURE, stage="")
    if target.state is TargetState.UNSURE:
        posts.move_target(
            target,
            TargetState.NEEDS_PERSON,
            stage="",
            error=f"{why} Look on the platform whether the video is there, then "
            "choose “It is there” or “Send again”.",
            error_code="needs_person",
            error_detail=detail,
        )


def under_way_at(account: Account) -> list[PostTarget]:
    """What may be public there, or is kept there until its time."""
    states = (TargetState.PUBLISHING, TargetState.UNSURE, TargetState.STAGED)
    found = _of_state(states, PostTarget.account == account)
    return [t for t in found if t.state is not TargetState.STAGED or t.held_until is not None]


def job_cancelled(job: Job) -> None:
    """A publish job was cancelled on the Jobs page; call it in that transaction.

    What hasn't gone out is called back with it. What is on its way goes on in a new job.
    """
    target = job.target
    if target is None or target.state not in OPEN:
        return
    if target.state in (TargetState.PUBLISHING, TargetState.UNSURE):
        make_job(target)
        return
    posts.move_target(target, TargetState.CANCELLED, stage="")
    if target.checkpoint:
        make_job(target)
