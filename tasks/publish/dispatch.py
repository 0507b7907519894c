"""From a post to its jobs, and from what happens elsewhere back to the posts that wait for it.

A target that can go has one live ``publish`` job; one that waits for its video has none, and gets
it in the very transaction in which the rendition becomes ready (`rendition_settled`). `sweep`
repairs what a crash between two transactions may have left.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance import jobs, posts, videos
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import ApplianceError, InvalidInput, JobFailed
from appliance.models import Account, Job, Post, PostTarget, Priority, Rendition, Video
from appliance.states import (
    AccountState,
    JobState,
    PostState,
    RenditionState,
    TargetState,
    VideoState,
)
from tasks import renditions
from tasks.acceptance import DELIVERIES, FOLDER, Delivery
from tasks.probe.facts import Probe
from tasks.profiles import PROFILES, SOCIAL
from tasks.publish.choice import Choice, Known, Use, choose
from tasks.publish.publisher import MediaFacts, PostDraft
from tasks.publish.registry import capabilities_of, publisher_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from appliance.models import User
    from appliance.settings import Settings

log = logging.getLogger(__name__)

WAITS_FOR_VIDEO = "Waiting for the video to be ready"
WAITS_FOR_ACCOUNT = "Waits until the account is connected again"

# What a job can still do something about.
OPEN = (
    TargetState.WAITING,
    TargetState.STAGING,
    TargetState.STAGED,
    TargetState.PUBLISHING,
    TargetState.UNSURE,
)


def create(
    settings: Settings,
    video: Video,
    accounts: Sequence[Account],
    *,
    author: User | None,
    title: str | None = None,
    description: str | None = None,
    publish_at: datetime | None = None,
    time_zone: str = "UTC",
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    draft: bool = False,
) -> Post:
    """`appliance.posts.create`, each platform's own rules for the texts, and off it goes.

    In one transaction: a post that is answered for has its jobs. Raises what ``posts.create``
    raises, and InvalidInput for a text that a platform would refuse.
    """
    with transaction():
        post = posts.create(
            video,
            accounts,
            author=author,
            title=title,
            description=description,
            publish_at=publish_at,
            time_zone=time_zone,
            overrides=overrides,
            draft=draft,
        )
        if not draft:
            for target in posts.latest_targets(post):
                _check_texts(target, settings)
            send_off(post)
    return post


def submit(settings: Settings, post: Post, *, actor: User | None) -> None:
    """Send a draft. Raises Conflict, and InvalidInput for a text that a platform would refuse."""
    with transaction():
        posts.submit(post, actor=actor)
        for target in posts.latest_targets(post):
            _check_texts(target, settings)
        send_off(post)


def _check_texts(target: PostTarget, settings: Settings) -> None:
    """What is wrong with the texts is said at once, not when the time has come."""
    publisher = publisher_for(target.account.platform, settings)
    for finding in publisher.validate(draft_of(target), MediaFacts(size_bytes=0)):
        if finding.must and finding.field != "media":
            raise InvalidInput(
                f"{target.account.name}: {finding.message}", field=finding.field, code="must_edit"
            )


def draft_of(target: PostTarget) -> PostDraft:
    """The texts for one account: its own where it has some, else the post's."""
    overrides = target.overrides
    return PostDraft(
        title=overrides.get("title") or target.post.title,
        description=overrides.get("description") or target.post.description,
        options=overrides.get("options", {}),
    )


def send_off(post: Post) -> None:
    """Make the jobs of all its targets that wait; those of a later time start then. Idempotent."""
    with transaction():
        fresh = Post.get_by_id(post.id)
        if fresh.state is PostState.DRAFT:
            return
        for target in posts.latest_targets(fresh):
            if target.state is TargetState.WAITING:
                _send(target)
        posts.refresh_state(post)


def _send(target: PostTarget) -> None:
    post, account = target.post, target.account
    if account.state is not AccountState.CONNECTED:
        posts.note_target(target, WAITS_FOR_ACCOUNT)
        return
    when = post.publish_at
    later = when is not None and when > now()
    choice = choice_of(post.video, account.platform)
    if choice.use is Use.NOTHING:
        posts.drop_queued_jobs(target)
        fail_target(target, choice.why, code="no_rendition")
        return
    if later:
        _make_job(target, run_after=when)
        if choice.use in (Use.WAIT, Use.FAILED):
            _want(target, choice, Priority.NORMAL)
        return
    if choice.use in (Use.RENDITION, Use.ORIGINAL):
        log.info(
            "post %s to %s takes the fast path: the %s is ready%s",
            post.public_id,
            account.platform,
            choice.use,
            f". {choice.why}" if choice.why else "",
        )
        _make_job(target)
        return
    log.info(
        "post %s to %s waits for the rendition %s (fallback)",
        post.public_id,
        account.platform,
        choice.profile,
    )
    if _want(target, choice, Priority.HIGH):
        posts.note_target(target, waits_for(choice))


def _make_job(target: PostTarget, *, run_after: datetime | None = None) -> None:
    """The live job of the target, or a new one; one that is queued for later is due now."""
    job = jobs.create(
        "publish",
        f"publish:{target.public_id}",
        video=target.post.video,
        post=target.post,
        target=target,
        run_after=run_after,
    )
    if run_after is None and job.run_after is not None:
        Job.update(run_after=None).where(Job.id == job.id, Job.state == JobState.QUEUED).execute()
        jobs.lift(job, Priority.HIGH)  # rings


def _want(target: PostTarget, choice: Choice, priority: Priority) -> bool:
    """Have the rendition made, sooner for ``priority``; False: the target failed for that."""
    try:
        renditions.want_rendition(target.post.video, profile=choice.profile, priority=priority)
    except ApplianceError as exc:
        fail_target(target, f"The video can't be made ready: {exc.message}", code="no_rendition")
        return False
    return True


def waits_for(choice: Choice) -> str:
    """What a target waits for, in words."""
    if choice.profile == SOCIAL.name:
        return WAITS_FOR_VIDEO
    return f"Waiting for “{PROFILES[choice.profile].label}” to be ready"


# The original is what goes out: when no rendition can be made, and the platform takes it as it is.
ORIGINAL = "original"
VIDEO_DELETED = (
    "The video was deleted before it could be posted. Restore it from the bin, then press Retry."
)


def delivery_of(platform: str) -> Delivery:
    return DELIVERIES.get(platform, Delivery(FOLDER))


def choice_of(video: Video, platform: str) -> Choice:
    """Which file goes out there, or is waited for. Wants a connection."""
    if not videos.is_as_sent(video):
        return Choice(Use.WAIT, SOCIAL.name)
    delivery = delivery_of(platform)
    rows = Rendition.select().where(
        Rendition.video == video, Rendition.profile.in_(delivery.profiles)
    )
    capabilities = capabilities_of(platform)
    return choose(
        delivery,
        Probe.from_dict(video.facts) if video.facts else None,
        {row.profile: _known(row) for row in rows},
        original_here=(
            video.state in (VideoState.READY, VideoState.FAILED)
            and video.facts is not None
            and video.original_removed_at is None
        ),
        takes_any=capabilities is not None and capabilities.takes_any_media,
    )


def _known(row: Rendition) -> Known:
    probe = (row.facts or {}).get("probe")
    return Known(row.state, Probe.from_dict(probe) if probe else None, row.error or "")


def media_of(video: Video, platform: str) -> Rendition | str | None:
    """What would go out now: the rendition (a stale one, too), ORIGINAL, or None (nothing yet)."""
    choice = choice_of(video, platform)
    if choice.use is Use.ORIGINAL:
        return ORIGINAL
    if choice.use is not Use.RENDITION:
        return None
    found: Rendition = Rendition.get(Rendition.video == video, Rendition.profile == choice.profile)
    return found


def what_went_out(target: PostTarget) -> str:
    """For the target of a post that is out: which file it was, unless it was the usual one."""
    if target.rendition is None:
        return "The original went out: no rendition could be made of it"
    if target.rendition.profile == SOCIAL.name:
        return ""
    return f"“{PROFILES[target.rendition.profile].label}” went out"


def wait_for_video(target: PostTarget) -> None:
    """The time has come, but the video isn't ready: hurry it; `rendition_settled` goes on.

    The target may have failed afterwards: when no rendition can be made at all.
    """
    choice = choice_of(target.post.video, target.account.platform)
    if choice.use is Use.NOTHING:
        fail_target(target, choice.why, code="no_rendition")
    elif _want(target, choice, Priority.HIGH):
        posts.note_target(target, waits_for(choice))


def rendition_settled(rendition: Rendition) -> None:
    """Call it in the transaction in which a rendition becomes ready or failed."""
    fresh = Rendition.get_by_id(rendition.id)
    for target in _waiting(PostTarget.post.in_(_posts_of(fresh.video_id))):
        if fresh.profile in delivery_of(target.account.platform).profiles:
            video_settled(target, fresh)


def video_settled(target: PostTarget, rendition: Rendition) -> None:
    later = target.post.publish_at is not None and target.post.publish_at > now()
    if rendition.state is RenditionState.READY:
        _send(target)
    elif rendition.state is RenditionState.FAILED and not later:
        # One with a time still to come waits: somebody may retry the video until then.
        choice = choice_of(target.post.video, target.account.platform)
        match choice.use:
            case Use.ORIGINAL:
                log.warning("post %s: %s", target.post.public_id, choice.why)
                posts.note_target(target, choice.why)
                _send(target)
            case Use.RENDITION:
                _send(target)
            case Use.WAIT if choice.profile != rendition.profile:
                if _want(target, choice, Priority.HIGH):  # another one will do
                    posts.note_target(target, waits_for(choice))
            case _:
                why = choice.why or (
                    f"The video could not be made ready: {rendition.error or 'no reason is known'}"
                )
                fail_target(target, why, code="no_rendition")


def _posts_of(video_id: int) -> Any:
    return Post.select(Post.id).where(Post.video == video_id, Post.state != PostState.DRAFT)


def _waiting(*also: Any) -> Iterable[PostTarget]:
    """Waiting targets that belong to a person's present wish, their rows loaded."""
    query = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(PostTarget.state == TargetState.WAITING, Post.state != PostState.DRAFT, *also)
        .order_by(PostTarget.id)
    )
    return list(query)


def fail_target(target: PostTarget, reason: str, *, code: str, detail: str = "") -> None:
    """Nothing of it is public, and it won't go by itself. Any state in which that is known."""
    posts.move_target(
        target, TargetState.FAILED, stage="", error=reason, error_code=code, error_detail=detail
    )


def retry_failed(post: Post, *, actor: User | None) -> list[PostTarget]:
    """Send the failed targets again, and only them. Raises Conflict."""
    with transaction():
        again = posts.retry_failed(post, actor=actor)
        for target in again:
            _send(target)
    return again


def cancel(post: Post, *, actor: User | None) -> None:
    """Call back what hasn't gone out, and tidy up what platforms hold of it. Raises Conflict."""
    with transaction():
        for target in posts.cancel(post, actor=actor):
            _make_job(target)


def settle(target: PostTarget, *, there: bool, actor: User | None) -> PostTarget:
    """ "It is there", or "send again", about a target that needs a person. Raises Conflict."""
    with transaction():
        shown = posts.settle_by_person(target, there=there, actor=actor)
        if shown.state is TargetState.WAITING:
            _send(shown)
    return shown


def video_refused(video: Video, reason: str, *, code: str) -> None:
    """It will never be fit to be posted: what waits for it, or for its time, hears of that now."""
    for target in _waiting(PostTarget.post.in_(_posts_of(video.id))):
        posts.drop_queued_jobs(target)
        fail_target(target, reason, code=code)


def video_trashed(video: Video) -> None:
    """What hasn't gone out stops now; after a restore, Retry sends it. It never goes by itself:
    somebody who looks into the bin a week later doesn't expect a post."""
    for target in _waiting(PostTarget.post.in_(_posts_of(video.id))):
        posts.drop_queued_jobs(target)
        fail_target(target, VIDEO_DELETED, code="no_video")


def account_settled(account: Account) -> None:
    """The account is connected again: what waited for it goes on."""
    with transaction():
        if account.state is AccountState.CONNECTED:
            for target in _without_job(PostTarget.account == account):
                _go_on(target)


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
    if target.state in (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED):
        fail_target(target, failure.message, code=failure.code, detail=failure.detail)
        return
    if target.state is TargetState.PUBLISHING:
        posts.move_target(target, TargetState.UNSURE, stage="")
    if target.state is TargetState.UNSURE:
        posts.move_target(
            target,
            TargetState.NEEDS_PERSON,
            stage="",
            error=f"{failure.message} Look on the platform whether the video is there, then "
            "choose “It is there” or “Send again”.",
            error_code="needs_person",
            error_detail=failure.detail,
        )


def job_cancelled(job: Job) -> None:
    """A publish job was cancelled on the Jobs page; call it in that transaction.

    What hasn't gone out is called back with it. What is on its way goes on in a new job.
    """
    target = job.target
    if target is None or target.state not in OPEN:
        return
    if target.state in (TargetState.PUBLISHING, TargetState.UNSURE):
        _make_job(target)
        return
    posts.move_target(target, TargetState.CANCELLED, stage="")
    if target.checkpoint:
        _make_job(target)


def sweep() -> int:
    """Targets that nobody works on and nothing will wake: set going again, or ended; how many."""
    mended = 0
    with transaction():
        for target in _without_job():
            mended += _go_on(target)
        left = (PostTarget.checkpoint != {}) & (Account.state == AccountState.CONNECTED)
        for target in _without_job(left, states=(TargetState.CANCELLED,)):
            _make_job(target)  # a platform still holds what was prepared
            mended += 1
    return mended


def _without_job(*also: Any, states: Sequence[TargetState] = OPEN) -> list[PostTarget]:
    live = Job.select(Job.target).where(
        Job.target.is_null(False), Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    )
    query = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(
            PostTarget.state.in_(states),
            Post.state != PostState.DRAFT,
            PostTarget.id.not_in(live),
            *also,
        )
    )
    return list(query)


def _go_on(target: PostTarget) -> bool:
    if target.account.state is not AccountState.CONNECTED:
        return False
    if target.state is not TargetState.WAITING:
        _make_job(target)
        return True
    video = target.post.video
    if video.state is VideoState.TRASHED:
        fail_target(target, VIDEO_DELETED, code="no_video")
        return True
    later = target.post.publish_at is not None and target.post.publish_at > now()
    choice = choice_of(video, target.account.platform)
    if later or choice.use in (Use.RENDITION, Use.ORIGINAL, Use.NOTHING):
        _send(target)
        return True
    if choice.use is Use.FAILED and video.state is VideoState.FAILED:
        reason = video.error or "no reason is known"
        fail_target(target, f"The video could not be made ready: {reason}", code="no_rendition")
        return True
    # Without a wish of ours nobody may be making it: it is made on demand, or a person has
    # cancelled it while the account was away.
    waits_for_it = target.stage == waits_for(choice)
    if _want(target, choice, Priority.HIGH):
        posts.note_target(target, waits_for(choice))
        return choice.use is Use.FAILED or not waits_for_it
    return True
