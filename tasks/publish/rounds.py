"""One round of a target, up to the call: look, decide, and write down what is about to be done.

All of it in one transaction: what may keep a target back is looked at together with the move that
lets it go, so two workers never both spend the last of an allowance.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from appliance import jobs, late_posts, posts, videos
from appliance.clock import now
from appliance.models import Account, Attempt, Job, Post, PostTarget, Rendition, Video
from appliance.states import AccountState, PostState, TargetState, VideoState
from tasks.context import PutBack
from tasks.publish import breaker, budgets, loading, material, sending, timing
from tasks.publish.answers import lost_answer
from tasks.publish.choice import Use
from tasks.publish.machine import (
    CREATING,
    RETRY_BY_PERSON,
    STAGE_WORDS,
    STATE_DURING,
    Act,
    Past,
    Rest,
    Situation,
    count,
    count_downs,
    next_act,
)
from tasks.publish.publisher import MustEdit, Target
from tasks.publish.registry import publisher_for
from tasks.publish.settling import TargetFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tasks.context import Context, Outcome
    from tasks.publish.publisher import Publisher

# For the video to be ready. `settling.rendition_settled` rings sooner; this is the safety net.
LOOK_AGAIN_AFTER = timedelta(seconds=15)
TOLD_NOT_YET = (Act.POLL.value, "waiting")
PROGRESS = {Act.STAGE: 0.1, Act.POLL: 0.4, Act.GO_LIVE: 0.8, Act.RECONCILE: 0.8, Act.DELETE: 0.5}


@dataclass(frozen=True)
class Round:
    """What is about to be done, written down already. ``target`` has no credentials and cover
    yet."""

    act: Act
    situation: Situation
    attempt_id: int
    target: Target
    publisher: Publisher
    account: Account
    video: Video


@dataclass(frozen=True)
class Stop:
    """Nothing to do in this job (any more), for now."""

    outcome: Outcome = None


def decide(target_id: int, context: Context) -> Round | Stop:
    """Inside the transaction. Raises TargetFailed when it can't go out as it is."""
    target = load(target_id)
    situation = _settle_lost(target, _situation(target, context))
    act = next_act(situation)
    if act is None:
        return Stop()
    if isinstance(act, Rest):
        posts.note_target(target, act.stage or target.stage)
        return Stop(PutBack(act.until, act.stage, outdated=changed_since(target_id)))
    if target.account.state is not AccountState.CONNECTED:
        if target.state is not TargetState.FAILED:
            posts.note_target(target, sending.WAITS_FOR_ACCOUNT)
        return Stop()
    publisher = publisher_for(target.account.platform, context.settings)
    if act in CREATING and (stop := _keep_back(target, situation, act, publisher, context)):
        return stop
    if until := breaker.may_begin(target.account, now()):
        why = target.account.pause_reason or "The account pauses."
        if target.state is not TargetState.FAILED:
            posts.note_target(target, f"{why} It goes on by itself.")
        return Stop(PutBack(until, why))
    return _write_down(target, situation, act, publisher, context)


def load(target_id: int) -> PostTarget:
    """With its post, video and account."""
    found: PostTarget = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(PostTarget.id == target_id)
        .get()
    )
    return found


def changed_since(target_id: int) -> Callable[[], bool]:
    """Whether somebody has changed the post or its target after this moment."""

    def look() -> tuple[datetime, datetime]:
        target = PostTarget.get_by_id(target_id)
        return target.updated_at, Post.get_by_id(target.post_id).updated_at

    seen = look()
    return lambda: look() != seen


def _situation(target: PostTarget, context: Context) -> Situation:
    attempts = list(Attempt.select().where(Attempt.target == target).order_by(Attempt.id))
    creating = [a for a in attempts if a.step in CREATING]
    open_ones = [a for a in creating if a.ended_at is None]
    record = [Past(a.step, a.outcome) for a in attempts]
    tries, asks = count(record)
    post, account, at = target.post, target.account, now()
    there = sending.capabilities_for(target)
    held = timing.held_until(post.publish_at, at, there, hold=post.hold_there)
    next_failure = account.failures + 1
    pause = breaker.pause_after(next_failure, context.settings.account_pause_s)
    return Situation(
        state=target.state,
        now=at,
        lost=Act(open_ones[-1].step) if open_ones else None,
        about=Act(creating[-1].step) if creating else Act.STAGE,
        staged_until=target.staged_until,
        prepared=bool(target.checkpoint),
        tries=tries,
        asks=asks,
        jitter=random.random(),  # spreads retries; nothing secret
        publish_at=post.publish_at,
        begin_at=sending.begins_at(target),
        hold=held is not None,
        held_until=target.held_until,
        told_at=next(
            (a.ended_at for a in reversed(attempts) if (a.step, a.outcome) == TOLD_NOT_YET), None
        ),
        stale=material.is_stale(target),
        abandoned=bool(context.job.payload.get(sending.REMOVES)),
        downs=count_downs(record),
        down_until=at + pause if next_failure >= breaker.LIMIT else None,
    )


def _settle_lost(target: PostTarget, situation: Situation) -> Situation:
    """Close the attempts of a worker that died; what it was about to create is now unsure."""
    Attempt.update(outcome="lost", ended_at=now()).where(
        Attempt.target == target, Attempt.ended_at.is_null()
    ).execute()
    during = situation.state in (TargetState.STAGING, TargetState.PUBLISHING)
    if situation.lost is None or not during:
        return situation
    verdict = lost_answer(situation, "The worker ended before the answer came.")
    posts.move_target(target, verdict.state, stage=verdict.stage)
    return replace(situation, state=verdict.state, lost=None)


# What may keep it back


def _keep_back(
    target: PostTarget, situation: Situation, act: Act, publisher: Publisher, context: Context
) -> Stop | None:
    """Before each creating step."""
    post, video = target.post, target.post.video
    if post.state is PostState.DRAFT:
        return Stop()
    if name := sending.lost_link(target):
        fail(target, sending.no_link(name), "no_link")
    if why := sending.held_back(target):
        posts.note_target(target, why)
        return Stop()
    if video.state is VideoState.TRASHED:
        fail(target, sending.VIDEO_DELETED, "no_video")
    if situation.due and (stop := _check_late(target, context)):
        return stop
    if target.state is TargetState.WAITING and material.media_for(target) is None:
        if not sending.wait_for_video(target):
            return Stop()
        return Stop(PutBack(now() + LOOK_AGAIN_AFTER))
    if stop := _check_media(target, act, publisher):
        return stop
    if room := budgets.room_at(target):
        when, why = room
        posts.note_target(target, f"{why}. It goes on by itself.")
        return Stop(PutBack(when, why, outdated=changed_since(target.id)))
    return None


def _check_late(target: PostTarget, context: Context) -> Stop | None:
    """The first look after its time: was that in time? Later looks wait for other things."""
    post = target.post
    if post.publish_at is None or target.held_until is not None:
        return None
    if context.job.payload.get("in_time") == post.publish_at.isoformat():
        return None
    if _was_asked_for_since(target, post.publish_at):
        return None
    media = material.media_for(target)
    ready_at = media.ready_at if isinstance(media, Rendition) else None
    linked_at = _links_known_at(target)
    if linked_at is not None:
        ready_at = max(linked_at, ready_at or linked_at)
    if material.choice_for(target).use is Use.WAIT or not late_posts.is_late(
        late_posts.policy(), publish_at=post.publish_at, ready_at=ready_at, at=now()
    ):
        seen = {**context.job.payload, "in_time": post.publish_at.isoformat()}
        Job.update(payload=seen).where(Job.id == context.job.id).execute()
        context.job.payload = seen
        return None
    Post.update(late_since=post.publish_at, updated_at=now()).where(
        Post.id == post.id, Post.late_since.is_null()
    ).execute()
    posts.tell(post, "post.late")
    for other in posts.latest_targets(post):
        if other.state in sending.UNSEEN and other.held_until is None:
            posts.note_target(other, sending.LATE)
    return Stop()


def _was_asked_for_since(target: PostTarget, when: datetime) -> bool:
    """Somebody has pressed Retry after its time: they want it now."""
    pressed = Attempt.select().where(
        Attempt.target == target, Attempt.step == RETRY_BY_PERSON, Attempt.started_at >= when
    )
    return bool(pressed.exists())


def _links_known_at(target: PostTarget) -> datetime | None:
    """When the last of the links in its texts was there; None: there are none."""
    wanted = material.links_in(material.draft_of(target))
    if not wanted:
        return None
    known = [s.published_at for s in material.siblings(target) if s.account.platform in wanted]
    return max((when for when in known if when is not None), default=None)


def _check_media(target: PostTarget, act: Act, publisher: Publisher) -> Stop | None:
    """Is the video still there, and would the platform take it?"""
    video = target.post.video
    if not videos.is_as_sent(video):
        fail(target, videos.NOT_AS_SENT, "not_as_sent")
    if act is not Act.STAGE:
        return None
    choice = material.choice_for(target)
    if choice.use in (Use.FAILED, Use.NOTHING):
        fail(target, choice.why, "no_rendition")
    media = material.media_for(target)
    if media is None:  # staged once, forgotten by the platform, and just being made anew
        return Stop(PutBack(now() + LOOK_AGAIN_AFTER))
    rendition = media if isinstance(media, Rendition) else None
    facts = material.facts_of(video, rendition)
    findings = publisher.validate(material.final_draft(target), facts)
    if must := [finding.message for finding in findings if finding.must]:
        fail(target, " ".join(must), MustEdit.code)
    return None


def fail(target: PostTarget, reason: str, code: str) -> NoReturn:
    """Before any call: target and job fail in one transaction, the runner's."""

    def record() -> None:
        fresh = load(target.id)
        posts.fail_target(fresh, reason, code=code)
        sending.link_settled(fresh)

    raise TargetFailed(reason, code=code, record=record)


# Writing down


def _write_down(
    target: PostTarget,
    situation: Situation,
    act: Act,
    publisher: Publisher,
    context: Context,
) -> Round:
    media = material.media_for(target)
    rendition = media if isinstance(media, Rendition) else None
    jobs.report(context.job, stage=STAGE_WORDS[act], progress=PROGRESS[act])
    url, words, why = None, STAGE_WORDS[act], ""
    columns: dict[str, Any] = {}
    if act is Act.STAGE:
        link, url = loading.new_link(target, rendition, publisher, context)
        facts = material.facts_of(target.post.video, rendition)
        columns = {
            "rendition": rendition,
            "public_link": link,
            "staged_as": material.fingerprint(
                material.final_draft(target), facts, target.post.video
            ),
        }
        if why := material.choice_for(target).why:
            words = f"{words}. {why}"
    during = STATE_DURING.get(act, target.state)
    if during is target.state:
        posts.note_target(target, words, **columns)
    else:
        posts.move_target(target, during, stage=words, **columns)
    loaded = loading.load_target(
        target,
        rendition,
        context,
        media_url=url,
        publish_at=situation.publish_at if situation.hold else None,
    )
    attempt = _open_attempt(target, act, why)
    return Round(
        act,
        replace(situation, state=during),
        attempt.id,
        loaded,
        publisher,
        target.account,
        target.post.video,
    )


def _open_attempt(target: PostTarget, act: Act, why: str) -> Attempt:
    """A row for the record; polls that only found "not yet" share one. ``why``: this very file."""
    last = Attempt.select().where(Attempt.target == target).order_by(Attempt.id.desc()).first()
    if act is Act.POLL and last is not None and (last.step, last.outcome) == (act, "waiting"):
        return last  # type: ignore[no-any-return]  # peewee's stub of first()
    return Attempt.create(target=target, step=act.value, detail=why or None)
