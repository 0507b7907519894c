"""The handler of ``publish`` jobs: does what tasks/publish/machine.py decides.

Each round: one transaction that looks, decides, and writes down what is about to be done (an
attempt without an outcome, the target's state; tasks/publish/rounds.py); one step of the
publisher, without a connection; one transaction that records what came of it. A worker that dies
in the middle leaves the open attempt, by which the next one knows that an answer was lost.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance import accounts, posts
from appliance.clock import now
from appliance.errors import ApplianceError
from appliance.jobs import LeaseLost
from appliance.models import Account, Attempt, PostTarget
from appliance.states import TargetState
from tasks.context import Cancelled, PutBack, Stopping
from tasks.publish import breaker, follow_up, leftovers, loading, material, rounds, sending
from tasks.publish.answers import after, kept_until
from tasks.publish.lease_guard import guarded
from tasks.publish.machine import CREATING, SHORTEST_WAIT, Act, Then, Verdict
from tasks.publish.publisher import NeedsReconnect, RetryAt, Unsure
from tasks.publish.rounds import Round, Stop
from tasks.publish.settling import TargetFailed
from tasks.publish.signing_in import sign_in, sign_in_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.models import Job
    from tasks.context import Context, Outcome
    from tasks.publish.publisher import Checkpoint, Step, Target

log = logging.getLogger(__name__)

# Shorter waits are sat out; for longer ones the worker is free for others.
SIT_OUT_S = 1.0


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
            return _end(begun, step, verdict, job.target_id, context)
        going_on = _record(begun, step, verdict, job.target_id, context)
        if going_on.then is Then.WAIT and going_on.when is not None:
            left_s = (going_on.when - now()).total_seconds()
            if left_s > SIT_OUT_S:
                return _put_back(begun, going_on, job.target_id, context)
            _sit_out(left_s, context)


def _put_back(begun: Round, verdict: Verdict, target_id: int, context: Context) -> PutBack:
    """Whoever changes a post that a platform holds doesn't wait until its old time: neither after
    this moment, nor while the file was on its way there."""
    if verdict.outcome != "held":
        return PutBack(verdict.when, verdict.stage)
    seen: list[Callable[[], bool]] = []
    changed: list[bool] = []

    def look() -> None:
        target = rounds.load(target_id)
        another_time = target.post.publish_at != begun.situation.publish_at
        changed.append(another_time or material.is_stale(target))
        seen.append(rounds.changed_since(target_id))

    context.record(look)
    # Not after it was asked what became of a DELETE: nothing else is to be tried then.
    again = changed[0] and begun.act in (Act.STAGE, Act.POLL, Act.GO_LIVE)
    when = now() + SHORTEST_WAIT if again else verdict.when
    return PutBack(when, verdict.stage, outdated=seen[0])


def _end(begun: Round, step: Step, verdict: Verdict, target_id: int, context: Context) -> Outcome:
    """Target and job end in one transaction, the runner's: Retry finds no job that still runs."""

    def write() -> None:
        _write(begun, step, verdict, target_id, context)

    if verdict.state is TargetState.FAILED is not begun.situation.state:
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
        context.record(lambda: states.append(PostTarget.get_by_id(target_id).state))
        if states[0] in sending.UNSEEN:
            raise
        if context.stopping:
            raise Stopping from None


def _begin(target_id: int, context: Context) -> Round | Stop:
    found: list[Round | Stop] = []
    context.record(lambda: found.append(rounds.decide(target_id, context)))
    return found[0]


def _do(begun: Round, target_id: int, context: Context) -> Step:
    """One step of the publisher. What it raises counts as a lost answer where it may have sent."""

    kept = begun.target.checkpoint

    def save(checkpoint: dict[str, Any]) -> None:
        nonlocal kept
        context.record(
            lambda: (
                PostTarget.update(checkpoint=checkpoint).where(PostTarget.id == target_id).execute()
            )
        )
        kept = checkpoint

    signed_in = sign_in(begun.account, context)
    if not isinstance(signed_in, dict):
        return signed_in  # nothing was sent
    try:
        target = begun.target
        if begun.act in CREATING:
            target = loading.with_cover(target, begun.video, context)
        with guarded(context.renew):
            step = _call(begun, replace(target, credentials=signed_in), save)
        if not isinstance(step, NeedsReconnect):
            return step
        again = sign_in_again(begun.account, context, signed_in)
        if again is None:
            return step
        # Nothing was created by what was refused, so the same step once more is safe.
        with guarded(context.renew):
            return _call(begun, replace(target, credentials=again, checkpoint=kept), save)
    except LeaseLost:
        raise
    except Exception as exc:
        log.exception("%s of target %s broke off", begun.act, begun.target.marker)
        said = exc.message if isinstance(exc, ApplianceError) else type(exc).__name__
        if begun.act in CREATING:
            return Unsure(f"The step broke off ({said}).", repr(exc))
        return RetryAt(None, f"The platform could not be asked ({said}).", repr(exc))


def _call(begun: Round, target: Target, save: Checkpoint) -> Step:
    publisher = begun.publisher
    match begun.act:
        case Act.STAGE:
            return publisher.stage(target, save)
        case Act.POLL:
            return publisher.poll(target)
        case Act.GO_LIVE:
            return publisher.go_live(target, save)
        case Act.RECONCILE:
            return publisher.reconcile(target)
        case Act.DELETE if begun.situation.state is TargetState.FAILED:
            return leftovers.remove_unseen(publisher, target)
        case Act.DELETE:
            return publisher.delete(target)


def _was_cancelled(begun: Round, target_id: int, context: Context) -> bool:
    """By a person, while the step was under way: there may be something to tidy up."""
    states: list[TargetState] = []
    context.record(lambda: states.append(PostTarget.get_by_id(target_id).state))
    return states[0] is not begun.situation.state


def _record(
    begun: Round, step: Step, verdict: Verdict, target_id: int, context: Context
) -> Verdict:
    """Write the verdict down; the one that counts, which says to go on after a cancel."""
    final: list[Verdict] = []
    context.record(lambda: final.append(_write(begun, step, verdict, target_id, context)))
    return final[0]


def _write(begun: Round, step: Step, verdict: Verdict, target_id: int, context: Context) -> Verdict:
    Attempt.update(
        outcome=verdict.outcome,
        error=verdict.error,
        # What was said of the file when the step began stays, unless there is more to say.
        detail=verdict.detail or Attempt.detail,
        needs_person=verdict.state is TargetState.NEEDS_PERSON,
        ended_at=now(),
    ).where(Attempt.id == begun.attempt_id).execute()
    if breaker.keep(begun.account.id, step, now(), context.settings.account_pause_s):
        sending.wake(begun.account.id)
    target = rounds.load(target_id)
    if target.state is not begun.situation.state:
        return replace(verdict, then=Then.GO_ON, state=target.state)
    if target.state is TargetState.FAILED:
        _tidied(target, verdict)
    else:
        _apply(target, begun, verdict)
    return verdict


def _tidied(target: PostTarget, verdict: Verdict) -> None:
    """Of one that failed before: why it failed stays."""
    columns: dict[str, Any] = {}
    if verdict.then is Then.END and not verdict.account_lost:
        # Nothing is left of it that would have to go.
        columns = {"staged_as": None, "staged_until": None, "held_until": None}
    if verdict.forget:
        columns["checkpoint"] = {}
    posts.note_target(target, verdict.stage, **columns)
    if verdict.account_lost:
        accounts.mark_lost(target.account, verdict.detail)


def _apply(target: PostTarget, begun: Round, verdict: Verdict) -> None:
    staged_until, held_until = kept_until(begun.situation, verdict)
    columns: dict[str, Any] = {
        "error": verdict.error,
        "error_code": verdict.code,
        "error_detail": verdict.detail or None,
        "staged_until": staged_until,
        "held_until": held_until,
    }
    if verdict.forget:
        columns |= {"checkpoint": {}, "staged_as": None}
    stage = verdict.stage
    public = verdict.state is TargetState.PUBLISHED
    if public:
        stage = stage or material.what_went_out(target)
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
    if verdict.account_lost:
        accounts.mark_lost(target.account, verdict.error or "")
    sending.link_settled(target)
    if public:
        follow_up.begin_after(target)
