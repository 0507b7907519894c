"""What a platform's answer to an act means for its target, decided purely. See machine.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.states import TargetState
from tasks.publish.machine import (
    CONFIRM_AFTER,
    CONFIRM_EVERY,
    CREATING,
    DOWN,
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    LONGEST_WAIT,
    LOOK_AFTER,
    MAX_ASKS,
    MAX_DOWNS,
    MAX_TRIES,
    READY,
    SHORTEST_WAIT,
    STAGE_WORDS,
    STATE_DURING,
    Act,
    Situation,
    Then,
    Verdict,
)
from tasks.publish.publisher import (
    Done,
    Failed,
    Held,
    MustEdit,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Staged,
    Step,
    Unsure,
    WaitUntil,
)

if TYPE_CHECKING:
    from datetime import datetime

# After these it stays as it was for how long the platform keeps it, and until when it holds it.
_FRESH = ("staged", "again", "held")
_NOT_THERE = frozenset(
    {TargetState.WAITING, TargetState.PUBLISHED, TargetState.FAILED, TargetState.CANCELLED}
)


def after(situation: Situation, act: Act, step: Step) -> Verdict:
    """What the answer ``step`` to ``act`` means.

    ``situation.state`` is the state during the act (STAGING, PUBLISHING, UNSURE …), its counters
    those before it.
    """
    if act is Act.DELETE:
        return _after_delete(situation, step)
    held = situation.held_until
    if act is Act.POLL and held is not None and situation.state is TargetState.STAGED:
        return _after_confirming(situation, step)
    return _after(situation, act, step)


def _after(situation: Situation, act: Act, step: Step) -> Verdict:
    match step:
        case Done():
            return Verdict(
                "published",
                TargetState.PUBLISHED,
                Then.END,
                stage=step.note,
                remote_id=step.remote_id,
                url=step.url,
            )
        case NeedsReconnect():
            return Verdict(
                "reconnect",
                _before(situation, act),
                Then.END,
                stage="Waits until the account is connected again",
                error=step.reason,
                code="reconnect",
                detail=step.detail,
                account_lost=True,
            )
        case MustEdit():
            return _fail("must_edit", step.reason, step.code, step.detail)
        case Failed():
            return _fail("refused", step.reason, step.code, step.detail)
        case Held():
            return _held(situation, step.until)
    if act is Act.RECONCILE:
        return _after_reconcile(situation, step)
    match step:
        case Staged():
            # From go_live or a poll of it: it isn't public after all. Once more, but counted.
            again = situation.state is TargetState.PUBLISHING
            return _staged(situation, step, counted=again)
        case WaitUntil():
            return Verdict(
                "waiting",
                situation.state,
                Then.WAIT,
                when=_bounded(step.when, situation.now),
                stage=step.stage or STAGE_WORDS[Act.POLL],
            )
        case RetryAt():
            return _again(situation, act, step)
        case Unsure():
            return Verdict(
                "unsure",
                TargetState.UNSURE,
                Then.WAIT,
                when=situation.now + LOOK_AFTER,
                stage="The answer was lost; looking whether it is there",
                detail=_joined(step.reason, step.detail),
            )
        case NotThere():
            return _start_over(situation)
    raise AssertionError(step)  # pragma: no cover - mypy holds the match complete


def lost_answer(situation: Situation, why: str) -> Verdict:
    """A worker died during a creating step: what it did is not known."""
    return Verdict("lost", TargetState.UNSURE, Then.GO_ON, stage=STAGE_WORDS[Act.RECONCILE],
                   detail=why)  # fmt: skip


def _after_reconcile(situation: Situation, step: Step) -> Verdict:
    match step:
        case Staged():
            return _staged(situation, step, counted=True)
        case NotThere():
            return _start_over(situation)
        case WaitUntil():
            state = STATE_DURING[situation.about]
            return Verdict(
                "waiting",
                state,
                Then.WAIT,
                when=_bounded(step.when, situation.now),
                stage=step.stage or STAGE_WORDS[Act.POLL],
            )
        case RetryAt() if situation.down_until is not None and situation.downs < MAX_DOWNS:
            return _down(situation, TargetState.UNSURE, step)
        case RetryAt() if situation.asks + 1 < MAX_ASKS:
            return Verdict(
                "retry",
                TargetState.UNSURE,
                Then.WAIT,
                when=_retry_time(situation, step, situation.asks),
                stage="The platform doesn't answer; asking again whether it is there",
                detail=_joined(step.reason, step.detail),
            )
        case RetryAt() | Unsure():
            return Verdict(
                "needs_person",
                TargetState.NEEDS_PERSON,
                Then.END,
                stage="",
                error=f"{step.reason} Look on the platform whether the video is there, then "
                "choose “It is there” or “Send again”.",
                code="needs_person",
                detail=step.detail,
            )
    raise AssertionError(step)  # pragma: no cover - mypy holds the match complete


def _held(situation: Situation, until: datetime) -> Verdict:
    return Verdict(
        "held",
        TargetState.STAGED,
        Then.WAIT,
        when=max(until + CONFIRM_AFTER, situation.now + CONFIRM_AFTER),
        stage="The platform makes it public at its time",
        held_until=until,
    )


def _after_confirming(situation: Situation, step: Step) -> Verdict:
    """Its time there has come: is it public?"""
    match step:
        case Staged() | Held() | WaitUntil():
            return Verdict(
                "waiting",
                TargetState.STAGED,
                Then.WAIT,
                when=situation.now + CONFIRM_EVERY,
                stage="Waiting for the platform to make it public",
            )
        case NotThere():
            return _fail(
                "removed",
                "It isn't on the platform any more; somebody may have removed it there. Press "
                "Retry to send it again.",
                "removed_there",
                "",
            )
        case RetryAt() if step.counted and situation.asks + 1 >= MAX_ASKS:
            return Verdict(
                "unsure",
                TargetState.UNSURE,
                Then.GO_ON,
                stage=STAGE_WORDS[Act.RECONCILE],
                detail=_joined(step.reason, step.detail),
            )
    return _after(situation, Act.POLL, step)


def _after_delete(situation: Situation, step: Step) -> Verdict:
    if situation.state is TargetState.FAILED:
        return _after_tidying(situation, step)
    if situation.state is not TargetState.CANCELLED:
        return _after_taking_back(situation, step)
    if isinstance(step, NeedsReconnect):
        return Verdict(
            "reconnect",
            TargetState.CANCELLED,
            Then.END,
            stage="What was prepared there is removed when the account is connected again",
            detail=_joined(step.reason, step.detail),
            account_lost=True,
        )
    # What the platform would make public by itself is never left there.
    coming = situation.held_until is not None and situation.held_until > situation.now
    if isinstance(step, RetryAt) and (coming or situation.asks + 1 < MAX_ASKS):
        return Verdict(
            "retry",
            TargetState.CANCELLED,
            Then.WAIT,
            when=_retry_time(situation, step, situation.asks),
            stage=STAGE_WORDS[Act.DELETE],
            detail=_joined(step.reason, step.detail),
        )
    gone = isinstance(step, NotThere)
    return Verdict(
        "gone" if gone else "left",
        TargetState.CANCELLED,
        Then.END,
        stage="" if gone else "What was prepared on the platform could not be removed",
        detail="" if gone else str(getattr(step, "reason", "")),
        forget=True,
    )


def _after_tidying(situation: Situation, step: Step) -> Verdict:
    """What is left of one that failed. The target stays as it is, whatever comes of this."""
    failed = TargetState.FAILED
    if isinstance(step, NeedsReconnect):
        detail = _joined(step.reason, step.detail)
        return Verdict("reconnect", failed, Then.END, detail=detail, account_lost=True)
    if isinstance(step, RetryAt) and (not step.counted or situation.asks + 1 < MAX_ASKS):
        when = _retry_time(situation, step, situation.asks)
        outcome = "retry" if step.counted else "waiting"
        detail = _joined(step.reason, step.detail)
        return Verdict(outcome, failed, Then.WAIT, when=when, detail=detail)
    if isinstance(step, NotThere):
        said = "What was prepared there was removed; Retry sends it anew"
        return Verdict("removed", failed, Then.END, stage=said, forget=True)
    # Retry finds it there, and makes no second one.
    said = "It is on the platform, and was left there" if isinstance(step, Done) else ""
    detail = str(getattr(step, "reason", ""))
    return Verdict("left", failed, Then.END, stage=said, detail=detail)


def _after_taking_back(situation: Situation, step: Step) -> Verdict:
    """What was staged with other texts, or for another time, is to go, and then to be staged anew.

    What a platform only keeps may stay there unseen; what it would make public by itself may not.
    """
    held = situation.held_until
    if isinstance(step, NeedsReconnect):
        return _after(situation, Act.DELETE, step)
    if isinstance(step, RetryAt) and situation.asks + 1 < MAX_ASKS:
        return Verdict(
            "retry",
            situation.state,
            Then.WAIT,
            when=_retry_time(situation, step, situation.asks),
            stage="Taking back what was prepared before",
            detail=_joined(step.reason, step.detail),
        )
    if isinstance(step, Done):  # it went out meanwhile
        if situation.state is TargetState.STAGED:
            return _after(situation, Act.POLL, step)
        return _fail("refused", "It is public there already.", "already_public", "")
    if held is not None and not isinstance(step, NotThere):
        return Verdict(
            "left",
            TargetState.UNSURE,
            Then.GO_ON,
            stage="It could not be taken back; looking what became of it",
            detail=str(getattr(step, "reason", "")),
        )
    return Verdict(
        "removed" if isinstance(step, NotThere) else "left",
        TargetState.WAITING,
        Then.GO_ON,
        stage="Prepared anew",
        detail=str(getattr(step, "reason", "")),
        forget=True,
    )


def _staged(situation: Situation, step: Staged, *, counted: bool) -> Verdict:
    # A reconcile adds nothing: the lost answer that it follows was counted already.
    again = situation.state is TargetState.PUBLISHING
    tries = situation.tries + (1 if again else 0)
    if counted and tries >= MAX_TRIES:
        return _gave_up("")
    ready = Verdict(
        "again" if again else "staged",
        TargetState.STAGED,
        Then.GO_ON,
        stage=READY,
        staged_until=step.expires_at,
    )
    if not counted or tries == 0:
        return ready
    when = situation.now + backoff(tries - 1, situation.jitter)
    return replace(ready, then=Then.WAIT, when=when)


def _start_over(situation: Situation) -> Verdict:
    """What was staged is gone, or nothing was created: from the start, a few times at most."""
    reconciled = situation.state is TargetState.UNSURE
    tries = situation.tries + (0 if reconciled else 1)
    if tries >= MAX_TRIES:
        return _gave_up("")
    anew = Verdict("gone", TargetState.WAITING, Then.GO_ON, stage="Nothing was posted; once more")
    if tries == 0:
        return anew
    when = situation.now + backoff(tries - 1, situation.jitter)
    return replace(anew, then=Then.WAIT, when=when)


def _again(situation: Situation, act: Act, step: RetryAt) -> Verdict:
    creating = act in CREATING
    so_far = situation.tries if creating else situation.asks
    most = MAX_TRIES if creating else MAX_ASKS
    if step.counted and situation.down_until is not None and situation.downs < MAX_DOWNS:
        return _down(situation, _before(situation, act), step)
    if step.counted and so_far + 1 >= most:
        if act is Act.POLL and situation.state is TargetState.PUBLISHING:
            # It was accepted and may be public: not known, and the platform doesn't say.
            return Verdict(
                "unsure",
                TargetState.UNSURE,
                Then.GO_ON,
                stage=STAGE_WORDS[Act.RECONCILE],
                detail=_joined(step.reason, step.detail),
            )
        return _gave_up(step.reason, step.detail)
    when = _retry_time(situation, step, so_far)
    return Verdict(
        "retry" if step.counted else "throttled",
        _before(situation, act),
        Then.WAIT,
        when=when,
        stage=f"{step.reason} Trying again",
        detail=step.detail,
    )


def _down(situation: Situation, state: TargetState, step: RetryAt) -> Verdict:
    """It isn't about this post: the platform fails for all of the account."""
    assert situation.down_until is not None
    return Verdict(
        DOWN,
        state,
        Then.WAIT,
        when=_bounded(situation.down_until, situation.now),
        stage=f"{step.reason} The account pauses for a while",
        detail=step.detail,
    )


def _before(situation: Situation, act: Act) -> TargetState:
    """Where a target goes back to when the platform said no for now."""
    return {Act.STAGE: TargetState.WAITING, Act.GO_LIVE: TargetState.STAGED}.get(
        act, situation.state
    )


def _fail(outcome: str, reason: str, code: str, detail: str) -> Verdict:
    return Verdict(outcome, TargetState.FAILED, Then.END, error=reason, code=code, detail=detail)


def _gave_up(reason: str, detail: str = "") -> Verdict:
    return _fail(
        "gave_up",
        _joined(reason, f"It was tried {MAX_TRIES} times; nothing was posted. Press Retry later."),
        "gave_up",
        detail,
    )


def _retry_time(situation: Situation, step: RetryAt, so_far: int) -> datetime:
    if step.when is not None:
        return _bounded(step.when, situation.now)
    return situation.now + backoff(so_far, situation.jitter)


def backoff(so_far: int, jitter: float) -> timedelta:
    """Exponential, with jitter over the upper half, so that the first is never at once."""
    ceiling_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(so_far, 30))
    return timedelta(seconds=ceiling_s * (0.5 + 0.5 * jitter))


def _bounded(when: datetime, now: datetime) -> datetime:
    return min(max(when, now + SHORTEST_WAIT), now + LONGEST_WAIT)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def kept_until(situation: Situation, verdict: Verdict) -> tuple[datetime | None, datetime | None]:
    """``staged_until`` and ``held_until`` of the target after the verdict."""
    if verdict.outcome in _FRESH:
        return verdict.staged_until, verdict.held_until
    if verdict.state in _NOT_THERE:
        return None, None
    return situation.staged_until, situation.held_until
