"""What comes next for a target, decided purely: no clock, no database, no network.

`next_act` says what to do in a situation, `after` what the answer means. tasks/publish/task.py
carries both out. The one invariant: GO_LIVE is only ever chosen when it is known that nothing is
public; after a lost answer the only choice is RECONCILE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.states import TargetState
from tasks.publish.publisher import (
    Done,
    Failed,
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
    from collections.abc import Sequence
    from datetime import datetime

# Errors in a row of the steps that create something, until the target fails.
MAX_TRIES = 5
# How often a platform that doesn't answer is asked how far it is, or what happened.
MAX_ASKS = 12
# Retry-After is honoured up to here. Source: robustness R13.
LONGEST_WAIT = timedelta(hours=24)
SHORTEST_WAIT = timedelta(seconds=0.2)
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 600.0
# A request whose answer was lost may still be at work on the other side: look a moment later.
LOOK_AFTER = timedelta(seconds=1)


class Act(StrEnum):
    STAGE = "stage"
    POLL = "poll"
    GO_LIVE = "go_live"
    RECONCILE = "reconcile"
    DELETE = "delete"


# A crash in one of these may have left something behind; the others only look.
CREATING = frozenset({Act.STAGE, Act.GO_LIVE})


# Not an act: the row by which appliance.posts.retry_failed says that counting starts anew.
RETRY_BY_PERSON = "retry"


class Then(StrEnum):
    GO_ON = "go_on"  # the next act, at once
    WAIT = "wait"  # until `Verdict.when`
    END = "end"


@dataclass(frozen=True)
class Situation:
    """All that a decision needs. Counters run since a person last pressed Retry."""

    state: TargetState
    now: datetime
    lost: Act | None = None  # a step that began and whose end was never recorded
    about: Act = Act.STAGE  # the last creating step: what UNSURE is unsure about
    staged_until: datetime | None = None
    prepared: bool = False  # there is a checkpoint, so the platform may hold something
    tries: int = 0  # creating steps that ended in an error, a lost answer, or nothing
    asks: int = 0  # polls or reconciles in a row that got no answer
    jitter: float = 1.0  # a random number, 0 to 1


@dataclass(frozen=True)
class Verdict:
    """``outcome`` goes on the attempt; ``state`` is where the target goes (maybe where it is)."""

    outcome: str
    state: TargetState
    then: Then
    when: datetime | None = None
    stage: str = ""
    error: str | None = None
    code: str | None = None
    detail: str = ""
    account_lost: bool = False
    forget: bool = False  # nothing is left on the platform: drop the checkpoint
    remote_id: str | None = None
    url: str | None = None
    staged_until: datetime | None = None


@dataclass(frozen=True)
class Past:
    """One attempt of the record."""

    step: str
    outcome: str | None


def count(record: Sequence[Past]) -> tuple[int, int]:
    """``tries`` and ``asks`` of a `Situation` from the attempts, oldest first.

    A crash of ours ("lost") isn't counted: jobs that crash too often fail by themselves.
    """
    tries = asks = 0
    for past in record:
        if past.step == RETRY_BY_PERSON:
            tries = asks = 0
            continue
        creating = past.step in CREATING
        if past.outcome in ("unsure", "again", "gone") or (creating and past.outcome == "retry"):
            tries += past.step not in (Act.RECONCILE, Act.DELETE)
        asks = asks + 1 if not creating and past.outcome == "retry" else 0
    return tries, asks


STATE_DURING = {
    Act.STAGE: TargetState.STAGING,
    Act.GO_LIVE: TargetState.PUBLISHING,
}

STAGE_WORDS = {
    Act.STAGE: "Handing over the video",
    Act.POLL: "The platform works on the video",
    Act.GO_LIVE: "Posting",
    Act.RECONCILE: "Asking the platform whether it is there",
    Act.DELETE: "Tidying up on the platform",
}


def next_act(situation: Situation) -> Act | None:
    """What to do now; None: nothing (any more)."""
    match situation.state:
        case TargetState.WAITING:
            return Act.STAGE
        case TargetState.STAGING | TargetState.PUBLISHING:
            return Act.RECONCILE if situation.lost in CREATING else Act.POLL
        case TargetState.STAGED:
            until = situation.staged_until
            return Act.STAGE if until is not None and until <= situation.now else Act.GO_LIVE
        case TargetState.UNSURE:
            return Act.RECONCILE
        case TargetState.CANCELLED:
            return Act.DELETE if situation.prepared else None
        case _:
            return None


def after(situation: Situation, act: Act, step: Step) -> Verdict:
    """What the answer ``step`` to ``act`` means.

    ``situation.state`` is the state during the act (STAGING, PUBLISHING, UNSURE …), its counters
    those before it.
    """
    if act is Act.DELETE:
        return _after_delete(situation, step)
    match step:
        case Done():
            return Verdict(
                "published",
                TargetState.PUBLISHED,
                Then.END,
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


def _after_delete(situation: Situation, step: Step) -> Verdict:
    if isinstance(step, RetryAt) and situation.asks + 1 < MAX_ASKS:
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
        stage="Ready to go",
        staged_until=step.expires_at,
    )
    if not counted or tries == 0:
        return ready
    when = situation.now + _backoff(tries - 1, situation.jitter)
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
    when = situation.now + _backoff(tries - 1, situation.jitter)
    return replace(anew, then=Then.WAIT, when=when)


def _again(situation: Situation, act: Act, step: RetryAt) -> Verdict:
    creating = act in CREATING
    so_far = situation.tries if creating else situation.asks
    most = MAX_TRIES if creating else MAX_ASKS
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
    return situation.now + _backoff(so_far, situation.jitter)


def _backoff(so_far: int, jitter: float) -> timedelta:
    """Exponential, with jitter over the upper half, so that the first is never at once."""
    ceiling_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**so_far)
    return timedelta(seconds=ceiling_s * (0.5 + 0.5 * jitter))


def _bounded(when: datetime, now: datetime) -> datetime:
    return min(max(when, now + SHORTEST_WAIT), now + LONGEST_WAIT)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
