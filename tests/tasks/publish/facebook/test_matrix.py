"""Whatever Facebook answers and wherever the worker dies: never two posts, always an end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import allowances
from appliance.clock import now
from appliance.models import QuotaUse
from appliance.states import TargetState
from tests.tasks.publish.facebook.conftest import PAGE
from tests.tasks.publish.matrix import (
    ENDED,
    LONG,
    Case,
    Walk,
    kill_points,
    ledger,
    make_cases,
)
from tests.tasks.publish.standin import standing
from web.practice.ground import Fault
from web.practice.meta import people, videos
from web.practice.meta.video_state import as_of, is_public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.tasks.publish.standin import Stand

SEED = 20261121
CASES = 330
# In each run every so manyth.
EVERY = 1 if LONG else 24

_CALLS = (
    "reels.start", "reels.bytes", "reels.finish", "videos.start", "videos.transfer",
    "videos.finish", "video.get", "video.update", "video.delete",
)  # fmt: skip
_KINDS = ("lose", "lose_before", "break_before", "break_after", "throttle", "expire")
FAULTS = [
    *(Fault(call, kind, "3" if kind == "throttle" else "") for call in _CALLS for kind in _KINDS),
    Fault("reels.bytes", "lose", "20000"),
    Fault("videos.transfer", "lose", "20000"),
    Fault("reels.finish", "refuse", "368"),
    Fault("reels.finish", "refuse", "100"),
    Fault("videos.finish", "refuse", "6000"),
    Fault("videos.finish", "refuse", "190/460"),
    Fault("videos.transfer", "refuse", "6001"),
    Fault("video.get", "refuse", "4"),
    Fault("video.get", "blind"),
    Fault("processing", "slow", "45"),
    Fault("processing", "reject"),
]


@pytest.fixture
def stand(settings: Settings, layout: Layout) -> Iterator[Stand]:
    with ledger(settings), standing(settings) as stand:
        stand.meta.piece_bytes = 60_000
        yield stand


@pytest.mark.timeout(1800 if LONG else 300)
def test_never_two_posts_and_always_an_end(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = walk_on(stand, monkeypatch)
    kinds = [{"kind": "reel"}, {"kind": "video"}]
    ends: Counter[TargetState] = Counter()
    wrong: list[str] = []
    for case in make_cases(SEED, CASES, FAULTS, options=kinds, later=True):
        if case.number % EVERY:
            continue
        try:
            ends[check(walk, stand, case)] += 1
        except AssertionError as exc:
            wrong.append(str(exc).partition("\n")[0])
        empty(stand)
    assert wrong == []
    assert ends[TargetState.PUBLISHED] > sum(ends.values()) / 2, ends


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("kind", ["reel", "video"])
def test_it_goes_out_once_wherever_the_worker_dies(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Before and after each call and each commit, from the first job to the end of the last."""
    walk = walk_on(stand, monkeypatch)
    ways: list[dict[str, bool]] = [{}, {"hold_there": True}, {"stage_ahead": True}]
    for number, way in enumerate(ways):
        untouched = Case(1000 * number, options=(("kind", kind),), whole=True, **way)
        assert check(walk, stand, untouched) is TargetState.PUBLISHED
        empty(stand)
        for at in kill_points(walk.points, few=1, seed=SEED + number):
            assert (
                check(walk, stand, replace(untouched, number=1000 * number + at, kills=(at,)))
                is TargetState.PUBLISHED
            )
            empty(stand)


def test_a_page_video_does_not_wait_for_an_allowance_of_reels(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = walk_on(stand, monkeypatch)
    allowances.spend(walk.account, "reels", 30)
    began = now()
    video = walk.run(Case(1, options=(("kind", "video"),)), stand.meta.ground.set_faults)
    assert video.state is TargetState.PUBLISHED and now() - began < timedelta(hours=1)
    reel = walk.run(Case(2, options=(("kind", "reel"),)), stand.meta.ground.set_faults)
    assert reel.state is TargetState.PUBLISHED and now() - began > timedelta(hours=23)
    assert not stand.meta.ground.calls("reels.start")[1:]


def empty(stand: Stand) -> None:
    """Of thirty Reels a day: only those of a case."""
    QuotaUse.delete().execute()
    for video in stand.meta.ground.all("video"):
        videos.remove(stand.meta, video["id"])


def walk_on(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Walk:
    caller = people.Caller(people.PEOPLE[0]["id"], scopes=("pages_show_list",), long=True)
    token = people.page_token(stand.meta.ground, PAGE, caller)
    return Walk(stand, "facebook", PAGE, {"access_token": token}, monkeypatch)


def check(walk: Walk, stand: Stand, case: Case) -> TargetState:
    target = walk.run(case, stand.meta.ground.set_faults)
    public = videos.published(stand.meta)
    said = f"{case}: {target.state}, {target.error} {target.error_detail}, {len(public)} public"
    assert target.state in ENDED, said
    assert len(public) <= 1, said
    assert [video["sha256"] for video in public] == [walk.sha256] * len(public), said
    if target.state is TargetState.PUBLISHED:
        assert [video["id"] for video in public] == [target.remote_id], said
    if target.state is TargetState.FAILED:
        assert public == [] and target.error, said
    if target.state is TargetState.NEEDS_PERSON:
        assert any(fault.kind == "blind" for fault in case.faults), said
    planned = target.post.publish_at
    if public and planned is not None:
        early = [video for video in public if video["published_at"] < planned.isoformat()]
        assert early == [], said
    # Nothing that Facebook still holds comes out later.
    later = [as_of(video, now() + timedelta(days=60)) for video in stand.meta.ground.all("video")]
    come = sum(is_public(video) for video in later)
    # Where a person has to look it may still be at work on it.
    assert come == len(public) or (target.state is TargetState.NEEDS_PERSON and come == 1), said
    return target.state
