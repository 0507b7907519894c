"""What follows what, as tables: the ledger's rules without any clock, database or platform."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.states import TARGET_MOVES, TargetState
from tasks.publish import machine
from tasks.publish.answers import after, kept_until
from tasks.publish.machine import Act, Past, Situation, Then, Verdict, count, next_act
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

T = TargetState
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
DAY = timedelta(days=1)
STEPS: list[Step] = [
    Done("1", "http://x/1"),
    Staged(),
    Held(SOON),
    WaitUntil(SOON),
    RetryAt(None, "No."),
    RetryAt(SOON, "Later.", counted=False),
    NeedsReconnect("Sign in."),
    MustEdit("Shorter."),
    Failed("Never."),
    Unsure("Lost."),
    NotThere(),
]
DURING = {
    Act.STAGE: [T.STAGING],
    Act.POLL: [T.STAGING, T.PUBLISHING, T.STAGED],
    Act.GO_LIVE: [T.PUBLISHING],
    Act.RECONCILE: [T.UNSURE],
    Act.DELETE: [T.CANCELLED, T.STAGED, T.WAITING],
}
ALL = [(act, state, step) for act in Act for state in DURING[act] for step in STEPS]


LONG_AGO = NOW - timedelta(hours=1)
SPLIT = timedelta(seconds=0.6)


def at(state: T, **more: object) -> Situation:
    return replace(Situation(state, NOW), **more)  # type: ignore[arg-type]


def during(act: Act, state: T, **more: object) -> Situation:
    """A target that is staged is asked only about what the platform holds."""
    held = LONG_AGO if (act, state) == (Act.POLL, T.STAGED) else None
    return at(state, held_until=held, **more)


@pytest.mark.parametrize(
    ("situation", "act"),
    [
        (at(T.WAITING), Act.STAGE),
        (at(T.STAGING), Act.POLL),
        (at(T.STAGING, lost=Act.STAGE), Act.RECONCILE),
        (at(T.STAGED), Act.GO_LIVE),
        (at(T.STAGED, staged_until=SOON), Act.GO_LIVE),
        (at(T.STAGED, staged_until=NOW), Act.STAGE),
        (at(T.STAGED, publish_at=SOON, hold=True), Act.GO_LIVE),
        (at(T.STAGED, held_until=SOON, publish_at=SOON + timedelta(seconds=1)), Act.DELETE),
        (at(T.STAGED, stale=True, prepared=True), Act.DELETE),
        (at(T.STAGED, stale=True, prepared=True, held_until=SOON), Act.DELETE),
        (at(T.STAGED, held_until=SOON), Act.GO_LIVE),  # Post now
        (at(T.STAGED, held_until=SOON, publish_at=SOON + DAY), Act.DELETE),
        (at(T.STAGED, held_until=NOW), Act.POLL),
        (at(T.STAGED, held_until=LONG_AGO), Act.POLL),
        (at(T.STAGED, held_until=LONG_AGO, stale=True), Act.POLL),  # it may be public
        (at(T.STAGED, held_until=LONG_AGO, told_at=NOW), Act.GO_LIVE),
        (at(T.STAGED, held_until=LONG_AGO, told_at=LONG_AGO), Act.POLL),
        (at(T.WAITING, stale=True, prepared=True), Act.DELETE),
        (at(T.WAITING, begin_at=SOON, stale=True, prepared=True), Act.DELETE),
        (at(T.PUBLISHING), Act.POLL),
        (at(T.PUBLISHING, lost=Act.GO_LIVE), Act.RECONCILE),
        (at(T.PUBLISHING, lost=Act.POLL), Act.POLL),
        (at(T.UNSURE), Act.RECONCILE),
        (at(T.CANCELLED, prepared=True), Act.DELETE),
        (at(T.CANCELLED), None),
        (at(T.PUBLISHED), None),
        (at(T.FAILED), None),
        (at(T.NEEDS_PERSON), None),
    ],
    ids=str,
)
def test_next_act(situation: Situation, act: Act | None) -> None:
    assert next_act(situation) is act


@pytest.mark.parametrize(
    ("situation", "until"),
    [
        (at(T.WAITING, begin_at=SOON, publish_at=SOON + DAY), SOON),
        (at(T.STAGED, publish_at=SOON), SOON),
        (at(T.STAGED, publish_at=SOON + DAY, staged_until=SOON), SOON),
        (at(T.STAGED, publish_at=SOON, held_until=SOON), SOON + machine.CONFIRM_AFTER),
        # Platforms know whole seconds: that is the time that this one was given.
        (at(T.STAGED, publish_at=SOON - SPLIT, held_until=SOON), SOON + machine.CONFIRM_AFTER),
    ],
    ids=str,
)
def test_until_then_nothing_is_done(situation: Situation, until: datetime) -> None:
    rest = next_act(situation)
    assert isinstance(rest, machine.Rest) and rest.until == until


@pytest.mark.parametrize(("act", "state", "step"), ALL, ids=str)
@pytest.mark.parametrize("tries", [0, 1, machine.MAX_TRIES, 50])
def test_every_answer_leads_along_the_table_of_moves(
    act: Act, state: T, step: Step, tries: int
) -> None:
    verdict = after(during(act, state, tries=tries, asks=tries), act, step)
    assert verdict.state is state or verdict.state in TARGET_MOVES.get(state, ())
    assert (verdict.when is not None) == (verdict.then is Then.WAIT)
    if verdict.when is not None:
        assert NOW < verdict.when <= NOW + machine.LONGEST_WAIT
    if verdict.state is T.FAILED:
        assert verdict.error and verdict.then is Then.END


@pytest.mark.parametrize(("act", "state", "step"), ALL, ids=str)
def test_after_a_lost_answer_nothing_creates_before_the_platform_was_asked(
    act: Act, state: T, step: Step
) -> None:
    if not isinstance(step, Unsure) or act is Act.DELETE:
        return
    verdict = after(during(act, state), act, step)
    assert verdict.state in (T.UNSURE, T.NEEDS_PERSON)
    assert next_act(at(verdict.state)) in (Act.RECONCILE, None)


@pytest.mark.parametrize("act", [Act.STAGE, Act.GO_LIVE, Act.POLL, Act.RECONCILE])
def test_done_is_published_wherever_it_is_learned(act: Act) -> None:
    verdict = after(at(DURING[act][-1]), act, Done("7", "http://x/7"))
    assert (verdict.state, verdict.remote_id, verdict.url) == (T.PUBLISHED, "7", "http://x/7")


RECONCILED: list[tuple[Step, Act, T]] = [
    (Staged(), Act.GO_LIVE, T.STAGED),
    (NotThere(), Act.GO_LIVE, T.WAITING),
    (WaitUntil(SOON), Act.STAGE, T.STAGING),
    (WaitUntil(SOON), Act.GO_LIVE, T.PUBLISHING),
    (Unsure("It can't tell."), Act.GO_LIVE, T.NEEDS_PERSON),
    (RetryAt(None, "Unreachable."), Act.GO_LIVE, T.UNSURE),
    (Failed("Removed."), Act.GO_LIVE, T.FAILED),
]


@pytest.mark.parametrize(("step", "about", "state"), RECONCILED, ids=str)
def test_reconcile(step: Step, about: Act, state: T) -> None:
    assert after(at(T.UNSURE, about=about, tries=1), Act.RECONCILE, step).state is state


def test_a_platform_that_never_answers_the_question_needs_a_person() -> None:
    asked = at(T.UNSURE, asks=machine.MAX_ASKS - 1)
    verdict = after(asked, Act.RECONCILE, RetryAt(None, "Unreachable."))
    assert (verdict.state, verdict.code) == (T.NEEDS_PERSON, "needs_person")


def test_errors_are_tried_a_few_times_and_never_end_as_unknown() -> None:
    tried = at(T.PUBLISHING, tries=machine.MAX_TRIES - 1)
    verdict = after(tried, Act.GO_LIVE, RetryAt(None, "Busy."))
    assert (verdict.state, verdict.code) == (T.FAILED, "gave_up")


def test_a_pause_that_the_platform_asks_for_uses_up_no_try() -> None:
    tried = at(T.PUBLISHING, tries=machine.MAX_TRIES - 1)
    verdict = after(tried, Act.GO_LIVE, RetryAt(SOON, "Later.", counted=False))
    assert (verdict.state, verdict.then, verdict.when) == (T.STAGED, Then.WAIT, SOON)


def test_what_was_accepted_and_then_goes_silent_is_unsure_not_failed() -> None:
    silent = at(T.PUBLISHING, asks=machine.MAX_ASKS - 1)
    assert after(silent, Act.POLL, RetryAt(None, "Silence.")).state is T.UNSURE


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (NOW - timedelta(days=2), NOW + machine.SHORTEST_WAIT),
        (NOW + timedelta(days=30), NOW + machine.LONGEST_WAIT),
        (SOON, SOON),
    ],
    ids=["past", "far", "near"],
)
def test_a_platforms_time_is_kept_within_reason(when: datetime, expected: datetime) -> None:
    assert after(at(T.STAGING), Act.STAGE, RetryAt(when, "Later.")).when == expected


def test_waits_grow_and_are_never_at_once() -> None:
    waits = [
        after(at(T.STAGING, tries=n, jitter=0.0), Act.STAGE, RetryAt(None, "No.")).when
        for n in range(machine.MAX_TRIES - 1)
    ]
    assert all(when is not None and when > NOW for when in waits)
    assert waits == sorted(waits)  # type: ignore[type-var]  # none of them is None


@pytest.mark.parametrize(
    ("record", "tries", "asks"),
    [
        ([], 0, 0),
        ([Past("stage", "retry"), Past("stage", "staged")], 1, 0),
        ([Past("go_live", "lost"), Past("reconcile", "again")], 0, 0),
        ([Past("go_live", "unsure"), Past("reconcile", "staged")], 1, 0),
        ([Past("go_live", "throttled")], 0, 0),
        ([Past("poll", "retry"), Past("poll", "retry")], 0, 2),
        ([Past("poll", "retry"), Past("poll", "waiting")], 0, 0),
        ([Past("poll", "gone")], 1, 0),
        ([Past("go_live", "retry"), Past("retry", "asked"), Past("stage", "retry")], 1, 0),
    ],
    ids=str,
)
def test_count(record: list[Past], tries: int, asks: int) -> None:
    assert count(record) == (tries, asks)


def test_a_platform_that_is_down_uses_up_no_try_until_it_was_too_often() -> None:
    down = at(T.PUBLISHING, tries=machine.MAX_TRIES - 1, down_until=SOON)
    verdict = after(down, Act.GO_LIVE, RetryAt(None, "Unreachable."))
    assert (verdict.outcome, verdict.state, verdict.when) == ("down", T.STAGED, SOON)
    too_often = replace(down, downs=machine.MAX_DOWNS)
    assert after(too_often, Act.GO_LIVE, RetryAt(None, "Unreachable.")).state is T.FAILED
    asked = at(T.UNSURE, asks=machine.MAX_ASKS - 1, down_until=SOON)
    assert after(asked, Act.RECONCILE, RetryAt(None, "Unreachable.")).state is T.UNSURE


@pytest.mark.parametrize(
    ("act", "step", "held"),
    [
        (Act.GO_LIVE, RetryAt(None, "Busy."), SOON),  # it is still held there
        (Act.DELETE, RetryAt(None, "Busy."), SOON),
        (Act.DELETE, NotThere(), None),
        (Act.GO_LIVE, Done("1"), None),
    ],
    ids=str,
)
def test_what_is_held_there_stays_known(act: Act, step: Step, held: datetime | None) -> None:
    state = T.PUBLISHING if act is Act.GO_LIVE else T.STAGED
    situation = at(state, held_until=SOON)
    assert kept_until(situation, after(situation, act, step))[1] == held


def test_what_is_held_and_cannot_be_taken_back_is_looked_up_before_anything_is_made() -> None:
    situation = at(T.STAGED, held_until=SOON, publish_at=SOON + DAY)
    assert after(situation, Act.DELETE, Failed("No.")).state is T.UNSURE
    unseen = at(T.STAGED)
    assert after(unseen, Act.DELETE, Failed("No.")).state is T.WAITING


def test_what_a_platform_holds_is_called_back_until_that_works() -> None:
    coming = at(T.CANCELLED, prepared=True, held_until=NOW + timedelta(days=1))
    asked_often = replace(coming, asks=machine.MAX_ASKS)
    again = after(asked_often, Act.DELETE, RetryAt(None, "Busy."))
    assert (again.then, again.forget) == (Then.WAIT, False)
    lost = after(coming, Act.DELETE, NeedsReconnect("No."))
    assert (lost.state, lost.forget, lost.account_lost) == (T.CANCELLED, False, True)
    # Of what would stay unseen, it is enough to have tried.
    unseen = replace(asked_often, held_until=None)
    assert after(unseen, Act.DELETE, RetryAt(None, "Busy.")).forget


def test_what_was_moved_past_a_time_that_the_platform_missed_does_not_go_early() -> None:
    held = NOW - timedelta(hours=1)
    missed = at(T.STAGED, held_until=held, told_at=NOW, publish_at=held)
    assert next_act(missed) is Act.GO_LIVE
    assert next_act(replace(missed, publish_at=NOW + timedelta(days=1))) is Act.POLL


def play(script: list[Step], *, lost: bool = False) -> list[Verdict]:
    """Run the machine on a list of answers, until it ends."""
    situation, verdicts, record = at(T.WAITING), list[Verdict](), list[Past]()
    for step in script:
        act = next_act(situation)
        assert isinstance(act, Act)
        during = machine.STATE_DURING.get(act, situation.state)
        verdict = after(replace(situation, state=during), act, step)
        verdicts.append(verdict)
        record.append(Past(act, verdict.outcome))
        tries, asks = count(record)
        about = act if act in machine.CREATING else situation.about
        situation = at(verdict.state, tries=tries, asks=asks, about=about)
    return verdicts


def test_a_platform_that_always_loses_the_answer_is_given_up_without_a_post() -> None:
    script: list[Step] = [Staged()] + [Unsure("Lost."), Staged()] * machine.MAX_TRIES
    assert play(script)[-1].state is T.FAILED


def test_a_container_that_always_vanishes_is_given_up() -> None:
    script: list[Step] = [Staged(), NotThere()] * machine.MAX_TRIES
    assert play(script)[-1].state is T.FAILED
