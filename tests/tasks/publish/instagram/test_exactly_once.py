"""Scripts of faults × the death of the worker: never a second Reel, always an end.

Each case is drawn from a seed that its name says. The short form runs a sample; the long form
(APPLIANCE_TEST_LONG=1) hundreds, and each point of a faultless run.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from appliance.states import TargetState
from tasks.publish.publishers.instagram import talk
from tasks.publish.publishers.instagram.pace import REAL
from tests.tasks.publish.instagram.ledger import Ledger, Points
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.publish.instagram.studio import Studio

SEED = 20261121
LONG = bool(os.environ.get("APPLIANCE_TEST_LONG"))
CASES = 360 if LONG else 32
CALLS = ("ig.limit", "ig.create", "ig.container", "ig.publish", "ig.media", "ig.list")
KINDS = ("throttle", "break_before", "break_after", "lose", "lose_before", "expire", "refuse")
# What refusals name: code/subcode. Those that end a post are among them.
REFUSALS = ("-1/2207001", "1", "2", "4", "4/2207051", "9/2207042", "24/2207008", "24/2207006",
            "100/33", "100/2207023", "368", "9007/2207027", "77/99")  # fmt: skip
# Seconds until a call takes effect whose connection broke at once.
LATE = ("0.2", "3", "20")
# Nobody knows whether Instagram would publish a container twice: here it does.
TWICE = Fault("ig.publish", "twice", lasts=True)
OF_BYTES = (
    Fault("ig.bytes", "lose"),
    Fault("ig.bytes", "lose", "40000"),
    Fault("ig.bytes", "lose_before"),
    Fault("ig.bytes", "break_before", "70000"),
    Fault("ig.bytes", "refuse", "OffsetInvalidError"),
    Fault("ig.bytes", "refuse", "ProcessingFailedError"),
)
OF_WORK = (
    Fault("ig.fetch", "break_before"),
    Fault("ig.fetch", "reject"),
    Fault("ig.fetch", "slow", "400"),
)
ENDS = {TargetState.PUBLISHED, TargetState.FAILED, TargetState.NEEDS_PERSON}


@dataclass(frozen=True)
class Case:
    number: int
    by_bytes: bool
    faults: tuple[Fault, ...]
    deaths: tuple[int, ...]

    def __str__(self) -> str:
        said = ", ".join(f"{f.endpoint} {f.kind} {f.value} +{f.skip}" for f in self.faults)
        way = "bytes" if self.by_bytes else "link"
        return f"{self.number} by {way}; {said or 'no fault'}; dies at {self.deaths}"


def draw(number: int) -> Case:
    """One case; the same each time."""
    seeded = random.Random(f"{SEED}-{number}")
    by_bytes = seeded.random() < 0.5
    faults = [_draw_fault(seeded, by_bytes) for _ in range(seeded.choice((1, 1, 2, 3)))]
    if seeded.random() < 0.1:
        faults.append(Fault("ig.container", "blind", lasts=True))
    deaths = sorted(seeded.sample(range(1, 40), seeded.choice((0, 1, 1, 2))))
    return Case(number, by_bytes, tuple(faults), tuple(deaths))


def _draw_fault(seeded: random.Random, by_bytes: bool) -> Fault:
    if seeded.random() < 0.25:
        return seeded.choice(OF_BYTES if by_bytes else OF_WORK)
    # The publishing call is where a second Reel would come from.
    call = "ig.publish" if seeded.random() < 0.4 else seeded.choice(CALLS)
    kind = seeded.choice((*KINDS, "late") if call == "ig.publish" else KINDS)
    values = {"throttle": "90", "refuse": seeded.choice(REFUSALS), "late": seeded.choice(LATE)}
    value = values.get(kind, "")
    return Fault(call, kind, value, skip=seeded.choice((0, 0, 0, 1, 2)))


class Deaths(Points):
    """Dies at several points, each time counted on."""

    def __init__(self, at: tuple[int, ...]) -> None:
        super().__init__()
        self._left = list(at)
        self.kill_at = self._left.pop(0) if self._left else None

    def __call__(self) -> None:
        try:
            super().__call__()
        except BaseException:
            self.kill_at = self._left.pop(0) if self._left else None
            raise


@pytest.fixture
def stage(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with monkeypatch.context() as patches:
        yield Stage(studio, patches)


class Stage:
    def __init__(self, studio: Studio, patches: pytest.MonkeyPatch) -> None:
        self.studio = studio
        self._patches = patches

    def run(self, case: Case) -> tuple[Ledger, Points]:
        studio = self.studio
        studio.empty()
        studio.faults(*case.faults, TWICE)
        caption = f"Case {case.number}"
        points = Deaths(case.deaths)
        with self._patches.context() as patches:
            # The pauses of the real platform: on the stand-in nothing is ever late by itself.
            patches.setattr(talk, "PRACTICE", REAL)
            points.around_calls(patches)
            ledger = Ledger(
                studio.publisher,
                studio.target(caption, by_bytes=case.by_bytes),
                studio.clock.now,
                self._wait,
                point=points,
            )
            ledger.run()
        self._check(case, ledger, caption)
        return ledger, points

    def _wait(self, when: object) -> None:
        self.studio.fetched()
        self.studio.clock.skip_to(when)  # type: ignore[arg-type]  # a datetime, as the ledger says

    def _check(self, case: Case, ledger: Ledger, caption: str) -> None:
        self.studio.clock.skip(minutes=1)  # whatever is late is there by then
        said = f"case {case}: {ledger.state}, {ledger.error}, {ledger.record}"
        reels = self.studio.reels()
        assert ledger.state in ENDS, said
        assert len(reels) <= 1, said
        assert all(reel["caption"] == caption for reel in reels), said
        if ledger.state is TargetState.PUBLISHED:
            (reel,) = reels
            assert reel["sha256"] == self.studio.sha256, said
            assert ledger.remote_id in (reel["media"], f"container:{reel['id']}"), said
        elif ledger.state is TargetState.FAILED:
            assert reels == [], said
            assert ledger.error, said
        else:
            blind = any(fault.kind == "blind" for fault in case.faults)
            assert blind, said


@pytest.mark.parametrize("by_bytes", [False, True], ids=["link", "bytes"])
def test_a_run_without_faults_is_posted_with_the_file_as_it_is(
    stage: Stage, by_bytes: bool
) -> None:
    ledger, points = stage.run(Case(0, by_bytes, (), ()))
    assert ledger.state is TargetState.PUBLISHED
    assert ledger.url
    assert points.seen > 15


@pytest.mark.timeout(900 if LONG else 120)
def test_faults_and_deaths_never_make_a_second_reel(stage: Stage) -> None:
    ends = [stage.run(draw(number))[0].state for number in range(1, CASES + 1)]
    # The scripts aren't so cruel that nothing gets through, nor so kind that all does.
    assert ends.count(TargetState.PUBLISHED) > CASES / 3
    assert ends.count(TargetState.FAILED) > 0


@pytest.mark.skipif(not LONG, reason="APPLIANCE_TEST_LONG=1 runs it")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("by_bytes", [False, True], ids=["link", "bytes"])
def test_a_worker_that_dies_at_any_point_posts_once(stage: Stage, by_bytes: bool) -> None:
    _, untouched = stage.run(Case(0, by_bytes, (), ()))
    for kill_at in range(1, untouched.seen + 1):
        ledger, _ = stage.run(Case(kill_at, by_bytes, (), (kill_at,)))
        assert (ledger.state, ledger.deaths) == (TargetState.PUBLISHED, 1), kill_at
