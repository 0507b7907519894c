"""Whatever Instagram answers and wherever the worker dies: never two Reels, always an end.

The stand-in is as bad as the platform might be: it publishes a container twice when it is asked
twice, and a call whose connection broke may take effect seconds later.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from appliance.models import Account
from appliance.states import TargetState
from tasks.publish.publishers.instagram import talk
from tasks.publish.publishers.instagram.pace import REAL
from tests.tasks.publish.instagram.studio import ACCOUNT, page_token
from tests.tasks.publish.matrix import (
    ENDED,
    LONG,
    Case,
    LinkWalk,
    Walk,
    full,
    ledger,
    make_cases,
)
from tests.tasks.publish.standin import standing
from web.practice.ground import Fault
from web.practice.meta.instagram_store import MOST_POSTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from web.practice.meta.meta import Meta

SEED = 20261121
CASES = 200  # for each of both ways
# In each run every so manyth.
EVERY = 1 if LONG else 25

CALLS = ("ig.limit", "ig.create", "ig.container", "ig.publish", "ig.media", "ig.list")
KINDS = ("lose", "lose_before", "break_before", "break_after", "throttle", "expire")
REFUSALS = ("-1/2207001", "1", "4", "4/2207051", "9/2207042", "24/2207008", "24/2207006", "100/33",
            "100/2207023", "368", "9007/2207027", "77/99")  # fmt: skip
# Nobody knows whether Instagram would publish a container twice.
TWICE = Fault("ig.publish", "twice", lasts=True)
FAULTS = [
    *(Fault(call, kind, "90" if kind == "throttle" else "") for call in CALLS for kind in KINDS),
    *(Fault("ig.publish", "refuse", error) for error in REFUSALS),
    *(Fault("ig.container", "refuse", error) for error in ("100/33", "24/2207008", "4", "1")),
    # Twice: a second Reel would come from here.
    *(Fault("ig.publish", kind) for kind in ("lose", "lose_before", "break_after")),
    *(Fault("ig.publish", "late", seconds) for seconds in ("0.2", "3", "20", "25")),
    Fault("ig.container", "blind", lasts=True),
    Fault("ig.fetch", "reject"),
]
OF_BYTES = [
    *(Fault("ig.bytes", kind) for kind in KINDS),
    Fault("ig.bytes", "lose", "40000"),
    Fault("ig.bytes", "break_before", "70000"),
    Fault("ig.bytes", "refuse", "OffsetInvalidError"),
    Fault("ig.bytes", "refuse", "PartialRequestError"),
    Fault("ig.bytes", "refuse", "ProcessingFailedError"),
]
OF_LINKS = [Fault("ig.fetch", "break_before"), Fault("ig.fetch", "slow", "400")]


class ReelWalk(LinkWalk):
    def __init__(self, stand: Any, *args: Any) -> None:
        super().__init__(stand, *args)
        self.unfetched = stand.app.state.meta.instagram.containers.unfetched
        Account.update(practice=True).where(Account.id == self.account.id).execute()


@pytest.fixture(params=["link", "bytes"])
def walk(
    request: pytest.FixtureRequest,
    settings: Settings,
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Walk, Meta, list[Fault]]]:
    """By link: as an account of the stand-in. By bytes: as one of Instagram, which has no way to
    this box; its addresses lead to the stand-in all the same."""
    # The pauses of the real platform: on the stand-in nothing is late unless it is told to.
    monkeypatch.setattr(talk, "PRACTICE", REAL)
    if request.param == "link":
        with full(settings) as box:
            token = {"access_token": page_token(box.app.state.meta)}
            found = ReelWalk(box, "instagram", ACCOUNT, token, monkeypatch)
            yield found, box.app.state.meta, FAULTS + OF_LINKS
    else:
        with ledger(settings), standing(settings) as stand:
            token = {"access_token": page_token(stand.meta)}
            yield (
                Walk(stand, "instagram", ACCOUNT, token, monkeypatch),
                stand.meta,
                FAULTS + OF_BYTES,
            )


@pytest.mark.timeout(1800 if LONG else 120)
def test_never_two_reels_and_always_an_end(walk: tuple[Walk, Meta, list[Fault]]) -> None:
    walking, meta, faults = walk
    ends: Counter[TargetState] = Counter()
    wrong: list[str] = []
    for case in make_cases(SEED, CASES, faults, later=True):
        if case.number % EVERY:
            continue
        try:
            ends[check(walking, meta, case)] += 1
        except AssertionError as exc:
            wrong.append(str(exc).partition("\n")[0])
        empty(meta)
    assert wrong == []
    assert ends[TargetState.PUBLISHED] > sum(ends.values()) / 2, ends


@pytest.mark.timeout(1800 if LONG else 120)
def test_a_worker_that_dies_at_any_point_posts_once(walk: tuple[Walk, Meta, list[Fault]]) -> None:
    walking, meta, _ = walk
    for kill_at in range(1, 60, 1 if LONG else 19):
        assert check(walking, meta, Case(kill_at, kills=(kill_at,))) is TargetState.PUBLISHED
        empty(meta)


def test_a_day_that_others_used_up_is_asked_about_again(
    settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has posted by hand: only Instagram knows when there is room again."""
    with ledger(settings), standing(settings) as stand:
        token = {"access_token": page_token(stand.meta)}
        walking = Walk(stand, "instagram", ACCOUNT, token, monkeypatch)
        began = now()
        at = (began - timedelta(hours=23.5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        by_hand = {"account": ACCOUNT, "created_at": at, "published_at": at, "video_url": ""}
        for number in range(MOST_POSTS):
            thing = {**by_hand, "id": str(number), "media": f"9{number}", "caption": "By hand"}
            stand.meta.ground.put(
                "ig_container", str(number), {**thing, "status_code": "PUBLISHED"}
            )
        target = walking.run(Case(1), stand.meta.ground.set_faults)
        assert target.state is TargetState.PUBLISHED
        assert timedelta(minutes=30) < now() - began < timedelta(hours=3)


def empty(meta: Meta) -> None:
    """Of fifty posts a day: only of this case."""
    for container in meta.instagram.containers.all():
        meta.instagram.containers.remove(container["id"])


def check(walk: Walk, meta: Meta, case: Case) -> TargetState:
    target = walk.run(case, lambda faults: meta.ground.set_faults([*faults, TWICE]))
    reels = meta.instagram.containers.published()
    said = f"{case}: {target.state}, {target.error} {target.error_detail}, {len(reels)} public"
    assert target.state in ENDED, said
    assert len(reels) <= 1, said
    assert [reel["sha256"] for reel in reels] == [walk.sha256] * len(reels), said
    if target.state is TargetState.PUBLISHED:
        (reel,) = reels
        assert target.remote_id in (reel["media"], f"container:{reel['id']}"), said
    if target.state is TargetState.FAILED:
        assert reels == [] and target.error, said
    if target.state is TargetState.NEEDS_PERSON:
        assert any(fault.kind == "blind" for fault in case.faults), said
    planned = target.post.publish_at
    if reels and planned is not None:
        assert all(reel["published_at"] >= planned.isoformat()[:19] for reel in reels), said
    # Nothing comes out later.
    assert all(c["late_at"] <= reels[0]["published_at"] for c in late(meta)), said
    return target.state


def late(meta: Meta) -> list[dict[str, Any]]:
    kept = meta.instagram.containers
    return [container for container in kept.all() if container.get("late_at")]
