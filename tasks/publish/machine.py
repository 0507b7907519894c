"""What comes next for a target, decided purely: no clock, no database, no network.

`next_act` says what to do in a situation, `answers.after` what the answer means;
tasks/publish/task.py carries both out. The one invariant: GO_LIVE is only ever chosen when it is
known that nothing is public; after a lost answer the only choice is RECONCILE.

What a platform holds until its time (`Held`) it makes public itself: at that time it is asked, and
only when it says that nothing happened, minutes later, GO_LIVE follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.states import TargetState
from tasks.publish import timing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# Errors in a row of the steps that create something, until the target fails.
MAX_TRIES = 5
# How often a platform that doesn't answer is asked how far it is, or what happened.
MAX_ASKS = 12
# Of an account whose platform is down as a whole: pauses of the breaker, about three hours.
MAX_DOWNS = 20
# After the time at which the platform itself should have made it public.
CONFIRM_AFTER = timedelta(seconds=5)
CONFIRM_EVERY = timedelta(seconds=30)
CONFIRM_FOR = timedelta(minutes=10)
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


DOWN = "down"
COUNTED = frozenset({Act.STAGE, Act.POLL, Act.GO_LIVE})

# A crash in one of these may have left something behind; the others only look.
CREATING = frozenset({Act.STAGE, Act.GO_LIVE})


# Not an act: the row by which appliance.posts.retry_failed says that counting starts anew.
RETRY_BY_PERSON = "retry"


class Then(StrEnum):
    GO_ON = "go_on"  # the next act, at once
    WAIT = "wait"  # until `Verdict.when`
    END = "end"


@dataclass(frozen=True)
class Rest:
    """Nothing to do before ``until``."""

    until: datetime
    stage: str = ""


@dataclass(frozen=True)
class Situation:
    """All that a decision needs. Counters run since a person last pressed Retry.

    ``publish_at``: the time that a person chose; None: as soon as it can. ``begin_at``: when it is
    brought to the platform (tasks/publish/timing.py); None: at once. ``hold``: that time is given
    to the platform. ``stale``: what is staged isn't what shall go out any more.
    """

    state: TargetState
    now: datetime
    lost: Act | None = None  # a step that began and whose end was never recorded
    about: Act = Act.STAGE  # the last creating step: what UNSURE is unsure about
    staged_until: datetime | None = None
    prepared: bool = False  # there is a checkpoint, so the platform may hold something
    tries: int = 0  # creating steps that ended in an error, a lost answer, or nothing
    asks: int = 0  # polls or reconciles in a row that got no answer
    jitter: float = 1.0  # a random number, 0 to 1
    publish_at: datetime | None = None
    begin_at: datetime | None = None
    hold: bool = False
    held_until: datetime | None = None  # the platform has it, and its time
    told_at: datetime | None = None  # when it said last that it isn't public yet
    stale: bool = False
    abandoned: bool = False  # it failed, and nobody will press Retry: what is left there is to go
    downs: int = 0  # steps that met a platform that was down
    down_until: datetime | None = None  # if this step fails, too: the account's pause

    @property
    def due(self) -> bool:
        return self.publish_at is None or self.publish_at <= self.now


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
    held_until: datetime | None = None


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
            tries += past.step in COUNTED
        if past.outcome != DOWN:
            asks = asks + 1 if not creating and past.outcome == "retry" else 0
    return tries, asks


def count_downs(record: Sequence[Past]) -> int:
    """``downs`` of a `Situation`."""
    downs = 0
    for past in record:
        downs = 0 if past.step == RETRY_BY_PERSON else downs + (past.outcome == DOWN)
    return downs


STATE_DURING = {
    Act.STAGE: TargetState.STAGING,
    Act.GO_LIVE: TargetState.PUBLISHING,
}

READY = "Ready to go"
STAGE_WORDS = {
    Act.STAGE: "Handing over the video",
    Act.POLL: "The platform works on the video",
    Act.GO_LIVE: "Posting",
    Act.RECONCILE: "Asking the platform whether it is there",
    Act.DELETE: "Tidying up on the platform",
}


def next_act(situation: Situation) -> Act | Rest | None:
    """What to do now; None: nothing (any more)."""
    match situation.state:
        case TargetState.WAITING:
            if situation.stale and situation.prepared:
                return Act.DELETE
            if situation.begin_at is not None and situation.begin_at > situation.now:
                return Rest(situation.begin_at)
            return Act.STAGE
        case TargetState.STAGING | TargetState.PUBLISHING:
            return Act.RECONCILE if situation.lost in CREATING else Act.POLL
        case TargetState.STAGED:
            return _of_staged(situation)
        case TargetState.UNSURE:
            return Act.RECONCILE
        case TargetState.CANCELLED:
            return Act.DELETE if situation.prepared else None
        case TargetState.FAILED:
            return Act.DELETE if situation.prepared and situation.abandoned else None
        case _:
            return None


def _of_staged(situation: Situation) -> Act | Rest:
    now, held = situation.now, situation.held_until
    if held is not None and now >= held:
        # The platform's turn; ours only when it has told, minutes later, that nothing happened.
        told = situation.told_at
        if told is None or told <= held + CONFIRM_FOR:
            return Act.POLL
        return Act.GO_LIVE if situation.due else Act.POLL  # it has another time by now
    if situation.stale:
        return Act.DELETE
    if held is not None:
        if situation.due:
            return Act.GO_LIVE  # "Post now"
        as_given = timing.is_same(held, situation.publish_at)
        return Rest(held + CONFIRM_AFTER) if as_given else Act.DELETE
    until = situation.staged_until
    if until is not None and until <= now:
        return Act.STAGE
    if situation.due or situation.hold:
        return Act.GO_LIVE
    assert situation.publish_at is not None
    return Rest(min(situation.publish_at, until or situation.publish_at), READY)
