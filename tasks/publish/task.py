"""The handler of ``publish`` jobs: does what tasks/publish/machine.py decides.

Each round: one transaction that looks, decides, and writes down what is about to be done (an
attempt without an outcome, the target's state); one step of the publisher, without a connection;
one transaction that records what came of it. A worker that dies in the middle leaves the open
attempt, by which the next one knows that an answer was lost.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from appliance import accounts, jobs, posts, videos
from appliance.clock import now
from appliance.errors import ApplianceError
from appliance.jobs import LeaseLost
from appliance.models import Account, Attempt, Post, PostTarget, Rendition, Video
from appliance.states import AccountState, PostState, TargetState, VideoState
from storage.media_types import RENDITION_FILES, original_type
from storage.public_links import PublicLinks
from tasks.context import Cancelled, PutBack, Stopping
from tasks.probe.facts import Probe
from tasks.publish import dispatch
from tasks.publish.choice import Use
from tasks.publish.dispatch import TargetFailed
from tasks.publish.machine import (
    CREATING,
    STAGE_WORDS,
    STATE_DURING,
    Act,
    Past,
    Situation,
    Then,
    Verdict,
    after,
    count,
    lost_answer,
    next_act,
)
from tasks.publish.publisher import MediaFacts, MustEdit, RetryAt, Target, Unsure
from tasks.publish.registry import publisher_for

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome
    from tasks.publish.publisher import Publisher, Step

log = logging.getLogger(__name__)

# Shorter waits are sat out; for longer ones the worker is free for others.
SIT_OUT_S = 1.0
# For the video to be ready. `dispatch.rendition_settled` rings sooner; this is the safety net.
LOOK_AGAIN_AFTER = timedelta(seconds=15)
PROGRESS = {Act.STAGE: 0.1, Act.POLL: 0.4, Act.GO_LIVE: 0.8, Act.RECONCILE: 0.8, Act.DELETE: 0.5}
CALLABLE_BACK = (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED)


@dataclass(frozen=True)
class Round:
    """What is about to be done, written down already."""

    act: Act
    situation: Situation
    attempt_id: int
    target: Target
    publisher: Publisher


@dataclass(frozen=True)
class Stop:
    """Nothing to do in this job (any more), for now."""

    outcome: Outcome = None


def publish(job: Job, context: Context) -> Outcome:
    """Take one target as far as it goes now. See tasks/runner.py for the form."""
    assert job.target_id is not None
    while True:
        _check(job.target_id, context)
        begun = _begin(job.target_id, context)
        if isinstance(begun, Stop):
            return begun.outcome
        step = _do(begun, job.target_id, context)
        verdict = after(replace(begun.situation, now=now()), begun.act, step)
        log.info(
            "target %s: %s → %s, %s",
            begun.target.marker,
            begun.act,
            verdict.outcome,
            verdict.state,
        )
        if verdict.then is Then.END and not _was_cancelled(begun, job.target_id, context):
            return _end(begun, verdict, job.target_id, context)
        going_on = _record(begun, verdict, job.target_id, context)
        if going_on.then is Then.WAIT and going_on.when is not None:
            left_s = (going_on.when - now()).total_seconds()
            if left_s > SIT_OUT_S:
                return PutBack(going_on.when)
            _sit_out(left_s, context)


def _end(begun: Round, verdict: Verdict, target_id: int, context: Context) -> Outcome:
    """Target and job end in one transaction, the runner's: Retry finds no job that still runs."""

    def write() -> None:
        _write(begun, verdict, target_id, context)

    if verdict.state is TargetState.FAILED:
        raise TargetFailed(
            verdict.error or "It failed.",
            code=verdict.code or "failed",
            detail=verdict.detail,
            record=write,
        )
    return write


def _sit_out(seconds: float, context: Context) -> None:
    try:
        context.wait(max(0.0, seconds))
    except Cancelled:
        return  # `_check` decides, by the state


def _check(target_id: int, context: Context) -> None:
    """Like `context.check`, but what is on its way to the public can't be called back any more."""
    try:
        context.check()
    except Cancelled:
        states: list[TargetState] = []

        def look() -> None:
            states.append(PostTarget.get_by_id(target_id).state)

        context.record(look)
        if states[0] in CALLABLE_BACK:
            raise
        if context.stopping:
            raise Stopping from None


def _begin(target_id: int, context: Context) -> Round | Stop:
    found: list[Round | Stop] = []
    context.record(lambda: found.append(_decide(target_id, context)))
    return found[0]


def _decide(target_id: int, context: Context) -> Round | Stop:
    """Look, decide, write down; all in one transaction."""
    target = (
        PostTarget.select(PostTarget, Post, Video, Account)
        .join(Post)
        .join(Video)
        .switch(PostTarget)
        .join(Account)
        .where(PostTarget.id == target_id)
        .get()
    )
    situation = _settle_lost(target, _situation(target))
    act = next_act(situation)
    if act is None:
        return Stop()
    if target.account.state is not AccountState.CONNECTED:
        posts.note_target(target, dispatch.WAITS_FOR_ACCOUNT)
        return Stop()
    if target.state is TargetState.WAITING and (stop := _not_yet(target)):
        return stop
    publisher = publisher_for(target.account.platform, context.settings)
    if act in CREATING and (stop := _check_media(target, act, publisher)):
        return stop
    return _write_down(target, situation, act, publisher, context)


def _situation(target: PostTarget) -> Situation:
    attempts = list(Attempt.select().where(Attempt.target == target).order_by(Attempt.id))
    creating = [a for a in attempts if a.step in CREATING]
    open_ones = [a for a in creating if a.ended_at is None]
    tries, asks = count([Past(a.step, a.outcome) for a in attempts])
    return Situation(
        state=target.state,
        now=now(),
        lost=Act(open_ones[-1].step) if open_ones else None,
        about=Act(creating[-1].step) if creating else Act.STAGE,
        staged_until=target.staged_until,
        prepared=bool(target.checkpoint),
        tries=tries,
        asks=asks,
        jitter=random.random(),  # spreads retries; nothing secret
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


def _not_yet(target: PostTarget) -> Stop | None:
    """Reasons why a waiting target doesn't start now."""
    post, video = target.post, target.post.video
    if post.state is PostState.DRAFT:
        return Stop()
    if post.publish_at is not None and post.publish_at > now():
        return Stop(PutBack(post.publish_at))
    if video.state is VideoState.TRASHED:
        _fail(target, dispatch.VIDEO_DELETED, "no_video")
    if dispatch.media_of(video, target.account.platform) is None:
        dispatch.wait_for_video(target)
        if target.state is TargetState.FAILED:
            return Stop()
        return Stop(PutBack(now() + LOOK_AGAIN_AFTER))
    return None


def _check_media(target: PostTarget, act: Act, publisher: Publisher) -> Stop | None:
    """Before each creating step: is the video still there, and would the platform take it?"""
    video = target.post.video
    if video.state is VideoState.TRASHED:
        _fail(target, dispatch.VIDEO_DELETED, "no_video")
    if not videos.is_as_sent(video):
        _fail(target, videos.NOT_AS_SENT, "not_as_sent")
    if act is not Act.STAGE:
        return None
    choice = dispatch.choice_of(video, target.account.platform)
    if choice.use in (Use.FAILED, Use.NOTHING):
        _fail(target, choice.why, "no_rendition")
    media = dispatch.media_of(video, target.account.platform)
    if media is None:  # staged once, forgotten by the platform, and just being made anew
        return Stop(PutBack(now() + LOOK_AGAIN_AFTER))
    rendition = media if isinstance(media, Rendition) else None
    findings = publisher.validate(dispatch.draft_of(target), _facts(video, rendition))
    if must := [finding.message for finding in findings if finding.must]:
        _fail(target, " ".join(must), MustEdit.code)
    return None


def _fail(target: PostTarget, reason: str, code: str) -> NoReturn:
    """Before any call: target and job fail in one transaction, the runner's."""

    def record() -> None:
        dispatch.fail_target(PostTarget.get_by_id(target.id), reason, code=code)

    raise TargetFailed(reason, code=code, record=record)


def _write_down(
    target: PostTarget,
    situation: Situation,
    act: Act,
    publisher: Publisher,
    context: Context,
) -> Round:
    video, account = target.post.video, target.account
    media = dispatch.media_of(video, account.platform)
    rendition = media if isinstance(media, Rendition) else None
    jobs.report(context.job, stage=STAGE_WORDS[act], progress=PROGRESS[act])
    url, words, why = None, STAGE_WORDS[act], ""
    if act is Act.STAGE:
        link, url = _new_link(target, rendition, publisher, context)
        columns: dict[str, Any] = {"rendition": rendition, "public_link": link}
        if why := dispatch.choice_of(video, account.platform).why:
            words = f"{words}. {why}"
            log.info("target %s: %s", target.public_id, why)
    else:
        columns = {}
    during = STATE_DURING.get(act, target.state)
    if during is target.state:
        posts.note_target(target, words, **columns)
    else:
        posts.move_target(target, during, stage=words, **columns)
    attempt = _open_attempt(target, act, why)
    name = RENDITION_FILES[rendition.profile].name if rendition is not None else video.filename
    loaded = Target(
        marker=target.public_id,
        draft=dispatch.draft_of(target),
        media=_facts(video, rendition),
        file=_file(video, rendition, context),
        media_url=url,
        remote_account=account.remote_id,
        credentials=accounts.credentials(context.vault, account),
        options=account.options,
        checkpoint=dict(target.checkpoint),
        filename=name,
    )
    return Round(act, replace(situation, state=during), attempt.id, loaded, publisher)


def _open_attempt(target: PostTarget, act: Act, why: str) -> Attempt:
    """A row for the record; polls that only found "not yet" share one. ``why``: this very file."""
    last = Attempt.select().where(Attempt.target == target).order_by(Attempt.id.desc()).first()
    if act is Act.POLL and last is not None and (last.step, last.outcome) == (act, "waiting"):
        return last  # type: ignore[no-any-return]  # peewee's stub of first()
    return Attempt.create(target=target, step=act.value, detail=why or None)


def _file(video: Video, rendition: Rendition | None, context: Context) -> Path:
    if rendition is None:
        return context.layout.original(video.public_id)
    return context.layout.rendition(video.public_id, rendition.profile)


def _facts(video: Video, rendition: Rendition | None) -> MediaFacts:
    if rendition is None:
        return MediaFacts(
            size_bytes=video.size_bytes,
            content_type=original_type(video)[0],
            sha256=video.sha256,
            duration_s=video.duration_s,
            width=video.width,
            height=video.height,
        )
    # A cut or a shape of its own makes it unlike the video.
    probe = Probe.from_dict((rendition.facts or {}).get("probe") or {})
    return MediaFacts(
        size_bytes=rendition.size_bytes,
        content_type=RENDITION_FILES[rendition.profile].media_type,
        sha256=rendition.sha256,
        duration_s=probe.duration_s or video.duration_s,
        width=probe.video.shown_width if probe.video else video.width,
        height=probe.video.shown_height if probe.video else video.height,
    )


def _new_link(
    target: PostTarget, rendition: Rendition | None, publisher: Publisher, context: Context
) -> tuple[Any, str | None]:
    """A public link for the platform's fetcher. Its token is kept nowhere, so each staging gets
    a new one, and the one before dies."""
    links = PublicLinks(context.settings, context.vault)
    if target.public_link is not None:
        links.revoke(target.public_link)
    if not publisher.capabilities.needs_public_url:
        return None, None
    return links.issue(
        target.post.video,
        rendition,
        purpose="post",
        by=target.post.author,
        lifetime_s=context.settings.public_link_hours * 3600,
    )


def _do(begun: Round, target_id: int, context: Context) -> Step:
    """One step of the publisher. What it raises counts as a lost answer where it may have sent."""

    def save(checkpoint: dict[str, Any]) -> None:
        context.record(
            lambda: (
                PostTarget.update(checkpoint=checkpoint).where(PostTarget.id == target_id).execute()
            )
        )

    publisher, target = begun.publisher, begun.target
    try:
        match begun.act:
            case Act.STAGE:
                return publisher.stage(target, save)
            case Act.POLL:
                return publisher.poll(target)
            case Act.GO_LIVE:
                return publisher.go_live(target, save)
            case Act.RECONCILE:
                return publisher.reconcile(target)
            case Act.DELETE:
                return publisher.delete(target)
    except LeaseLost:
        raise
    except Exception as exc:
        log.exception("%s of target %s broke off", begun.act, target.marker)
        said = exc.message if isinstance(exc, ApplianceError) else type(exc).__name__
        if begun.act in CREATING:
            return Unsure(f"The step broke off ({said}).", repr(exc))
        return RetryAt(None, f"The platform could not be asked ({said}).", repr(exc))


def _was_cancelled(begun: Round, target_id: int, context: Context) -> bool:
    """By a person, while the step was under way: there may be something to tidy up."""
    states: list[TargetState] = []
    context.record(lambda: states.append(PostTarget.get_by_id(target_id).state))
    return states[0] is not begun.situation.state


def _record(begun: Round, verdict: Verdict, target_id: int, context: Context) -> Verdict:
    """Write the verdict down; the one that counts, which says to go on after a cancel."""
    final: list[Verdict] = []
    context.record(lambda: final.append(_write(begun, verdict, target_id, context)))
    return final[0]


def _write(begun: Round, verdict: Verdict, target_id: int, context: Context) -> Verdict:
    Attempt.update(
        outcome=verdict.outcome,
        error=verdict.error,
        # What was said of the file when the step began stays, unless there is more to say.
        detail=verdict.detail or Attempt.detail,
        needs_person=verdict.state is TargetState.NEEDS_PERSON,
        ended_at=now(),
    ).where(Attempt.id == begun.attempt_id).execute()
    target = PostTarget.get_by_id(target_id)
    if target.state is not begun.situation.state:
        return replace(verdict, then=Then.GO_ON, state=target.state)
    _apply(target, verdict, context)
    return verdict


def _apply(target: PostTarget, verdict: Verdict, context: Context) -> None:
    columns: dict[str, Any] = {
        "error": verdict.error,
        "error_code": verdict.code,
        "error_detail": verdict.detail or None,
        "staged_until": verdict.staged_until,
    }
    if verdict.forget:
        columns["checkpoint"] = {}
    stage = verdict.stage
    if verdict.state is TargetState.PUBLISHED:
        stage = stage or dispatch.what_went_out(target)
        columns |= {
            "remote_id": verdict.remote_id,
            "url": verdict.url,
            "published_at": now(),
        }
        Account.update(last_used_at=now()).where(Account.id == target.account_id).execute()
    if verdict.state is target.state:
        posts.note_target(target, stage, **columns)
    else:
        posts.move_target(target, verdict.state, stage=stage, **columns)
    ended = verdict.state in (TargetState.PUBLISHED, TargetState.FAILED, TargetState.CANCELLED)
    if ended and target.public_link is not None:
        # The platform has finished with the file.
        PublicLinks(context.settings, context.vault).revoke(target.public_link)
    if verdict.account_lost:
        accounts.mark_lost(target.account, verdict.error or "")
