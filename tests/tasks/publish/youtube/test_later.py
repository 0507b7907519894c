"""Posts with a time: brought to YouTube ahead, or held there, while it misbehaves and workers die.

Whatever happens there is one video at most, nobody sees it early, and what failed never comes out
by itself. test_faults.py does the same with posts that go at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from appliance.models import QuotaUse
from appliance.states import TargetState
from tasks.publish.publisher import Staged, Step, WaitUntil
from tests.tasks.publish import matrix
from tests.tasks.publish.matrix import (
    ENDED,
    LONG,
    MOST_ROUNDS,
    Case,
    Walk,
    kill_points,
    ledger,
    make_cases,
)
from tests.tasks.publish.paper import WoundClock
from tests.tasks.publish.standin import standing
from tests.tasks.publish.youtube.channel import CHANNEL, CLIENT, STEP, Channel, digest, film
from web.practice.google import grants
from web.practice.google.resources import as_of_now
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.tasks.publish.standin import Stand

SEED = 20261122
CASES = 330
# In each run every so manyth.
EVERY = 1 if LONG else 47
PLAYLIST = f"PL{CHANNEL[2:]}"

_CALLS = (
    "oauth.token", "videos.insert", "upload.bytes", "upload.status", "videos.list",
    "videos.update", "videos.delete", "channels.list", "playlistItems.list",
    "playlistItems.insert",
)  # fmt: skip
_KINDS = ("lose", "lose_before", "break_before", "break_after", "throttle", "expire")
FAULTS = [
    *(Fault(call, kind, "3" if kind == "throttle" else "") for call in _CALLS for kind in _KINDS),
    Fault("upload.bytes", "lose_before", str(STEP + 7)),
    Fault("upload.bytes", "refuse"),
    Fault("upload.status", "blind"),
    Fault("videos.list", "blind"),
    Fault("videos.insert", "lock_private"),
    Fault("videos.insert", "refuse", "quotaExceeded"),
    Fault("videos.insert", "refuse", "invalidPublishAt"),
    Fault("videos.update", "refuse", "quotaExceeded"),
    Fault("videos.update", "refuse", "forbiddenPrivacySetting"),
    Fault("processing", "slow", "45"),
    Fault("processing", "slow", "20000"),  # longer than anybody has patience
    Fault("processing", "reject", "duplicate"),
    Fault("processing", "reject", "codec"),
]
WAYS = [{"hold_there": True}, {"stage_ahead": True}, {"hold_there": True, "stage_ahead": True}]


@pytest.fixture
def walk(
    settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Walk, Stand]]:
    """Its access token ends with the hour, as YouTube's do."""
    with ledger(settings), standing(settings) as stand:
        given = grants.grant(stand.google.ground)
        until = now() + timedelta(seconds=given["expires_in"])
        credentials = {
            "access_token": given["access_token"],
            "access_token_until": until.isoformat(),
            "refresh_token": given["refresh_token"],
            **CLIENT,
        }
        walk = Walk(stand, "youtube", CHANNEL, credentials, monkeypatch, file=film())
        yield walk, stand


@pytest.mark.timeout(3600 if LONG else 120)
def test_what_has_a_time_goes_out_once_and_never_early(walk: tuple[Walk, Stand]) -> None:
    walking, stand = walk
    ends: Counter[TargetState] = Counter()
    wrong: list[str] = []
    options: list[dict[str, Any]] = [{}, {}, {"playlist": PLAYLIST}]
    for case in make_cases(SEED, CASES, FAULTS, options=options, later=True, most_points=60):
        if case.number % EVERY:
            continue
        try:
            ends[check(walking, stand, case)] += 1
        except AssertionError as exc:
            wrong.append(str(exc).partition("\n")[0])
        empty(stand)
    assert wrong == []
    assert ends[TargetState.PUBLISHED] > sum(ends.values()) / 2, ends


@pytest.mark.timeout(3600 if LONG else 120)
def test_it_goes_out_once_wherever_the_worker_dies(walk: tuple[Walk, Stand]) -> None:
    walking, stand = walk
    options = (("playlist", PLAYLIST),)
    for number, way in enumerate(WAYS):
        untouched = Case(1000 * number, options=options, whole=True, **way)
        assert check(walking, stand, untouched) is TargetState.PUBLISHED
        empty(stand)
        for at in kill_points(walking.points, few=1, seed=SEED + number):
            case = replace(untouched, number=1000 * number + at, kills=(at,))
            assert check(walking, stand, case) is TargetState.PUBLISHED
            empty(stand)


def test_a_walk_lasts_longer_than_the_patience_with_youtube(
    walk: tuple[Walk, Stand], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look of a walk is two rounds: the clock is wound, then it looks."""
    monkeypatch.setattr(grants, "ACCESS_S", 86_400)  # without a ledger nobody renews it
    channel = Channel(walk[1])
    channel.fault("processing", "slow", "20000")
    looks, target = 0, channel.target()
    step: Step = channel.publisher.stage(target, channel.save)
    while isinstance(step, WaitUntil):
        WoundClock.ahead += step.when - now()
        step, looks = channel.publisher.poll(channel.go_on(target)), looks + 1
    assert step == Staged()
    assert 100 < looks < MOST_ROUNDS / 4


def test_a_walk_without_an_end_says_so_and_leaves_the_next_alone(
    walk: tuple[Walk, Stand], monkeypatch: pytest.MonkeyPatch
) -> None:
    walking, stand = walk
    endless = Case(1, faults=(Fault("processing", "slow", "20000"),))
    with monkeypatch.context() as impatient:
        impatient.setattr(matrix, "MOST_ROUNDS", 5)
        with pytest.raises(AssertionError, match="no end, staging, YouTube processes the video"):
            check(walking, stand, endless)
    empty(stand)
    assert check(walking, stand, Case(2)) is TargetState.PUBLISHED
    WoundClock.ahead += timedelta(days=1)
    assert not walking._one_job([])


def check(walk: Walk, stand: Stand, case: Case) -> TargetState:
    target = walk.run(case, stand.google.ground.set_faults)
    kept = stand.google.ground.all("video")
    there = [as_of_now(video) for video in kept]
    public = [video for video in there if video["status"]["privacyStatus"] == "public"]
    said = f"{case}: {target.state}, {target.error} {target.error_detail}, {len(there)} there"
    assert target.state in ENDED, said
    assert len(there) <= 1, said
    assert [video["sha256"] for video in there] == [digest()] * len(there), said
    if target.state is TargetState.PUBLISHED:
        assert [video["id"] for video in public] == [target.remote_id], said
    else:
        assert target.error, said
        # Neither now nor later.
        assert not any(comes_out(video) for video in kept), said
    planned = target.post.publish_at
    if planned is not None:
        assert not any(is_early(video, planned) for video in kept if comes_out(video)), said
    items = [item["video"] for item in stand.google.ground.all("item")]
    assert len(items) == len(set(items)), said
    if target.state is TargetState.NEEDS_PERSON:
        assert any(fault.kind == "blind" for fault in case.faults), said
    if not case.faults:
        assert target.state is TargetState.PUBLISHED, said
    return target.state


def comes_out(video: dict[str, Any]) -> bool:
    """``video``: as the stand-in keeps it."""
    status = video["status"]
    public = status["privacyStatus"] == "public" or status.get("publishAt") is not None
    return public and not video["locked"]


def is_early(video: dict[str, Any], planned: datetime) -> bool:
    if (made_public := video.get("published_at")) is not None:  # stamped by whole seconds
        return datetime.fromisoformat(made_public) < planned.replace(microsecond=0)
    return datetime.fromisoformat(video["status"]["publishAt"]) < planned


def empty(stand: Stand) -> None:
    """Of a day's calls, and of the channel's videos: only those of a case."""
    QuotaUse.delete().execute()
    with stand.google.ground.connection() as db:
        db.execute("DELETE FROM call")
        db.execute("DELETE FROM thing WHERE kind IN ('video', 'session', 'item')")
