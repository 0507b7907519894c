"""Whatever the practice platform answers and wherever the worker dies: never two posts, always an
end. Posts that go at once, and posts that are brought there ahead of their time.

test_kill_points.py kills real processes; here a death is an exception, so hundreds fit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance import accounts
from appliance.models import Account
from appliance.states import TargetState
from tests.tasks.publish.matrix import (
    ENDED,
    LONG,
    Case,
    LinkWalk,
    full,
    kill_points,
    make_cases,
)
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.settings import Settings
    from storage.layout import Layout
    from web.practice.platform import Practice

SEED = 20261122
CASES = 400
# In each run every so manyth.
EVERY = 1 if LONG else 53
# Its faults go by name alone; "cannot_tell" lasts.
BLIND = Fault("practice", "cannot_tell", "1")
FAULTS = [
    *(Fault("practice", name, "1") for name in (
        "break_before_publish", "break_after_publish", "lose_publish", "lose_create",
        "fail_fetch", "expire_token", "reject_file", "refuse_publish",
    )),
    Fault("practice", "throttle", "3"),
    Fault("practice", "throttle", "90"),
    Fault("practice", "slow", "45"),
    Fault("practice", "slow", "400"),
    BLIND,
]  # fmt: skip


class PracticeWalk(LinkWalk):
    """The account that each box has, by its own token."""

    def __init__(self, box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(box, "practice", "", {}, monkeypatch)
        self.practice: Practice = box.app.state.practice
        self.unfetched = self.practice.store.unfetched

    def _open_account(self, platform: str, remote_id: str, credentials: dict[str, Any]) -> Account:
        accounts.ensure_builtin(self.settings, self.vault)
        found: Account = Account.get(Account.platform == platform)
        return found

    def set_faults(self, faults: Sequence[Fault]) -> None:
        self.practice.store.clear_fault()
        for fault in faults:
            self.practice.store.set_fault(fault.kind, float(fault.value))

    def _connect_again(self, account: Account) -> None:
        self.practice.store.clear_fault("expire_token")
        super()._connect_again(account)

    def empty(self) -> None:
        for media in self.practice.store.newest():
            self.practice.store.delete(media.id)


@pytest.fixture
def walk(
    settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PracticeWalk]:
    with full(settings) as box:
        yield PracticeWalk(box, monkeypatch)


@pytest.mark.timeout(3600 if LONG else 120)
def test_never_two_posts_and_always_an_end(walk: PracticeWalk) -> None:
    ends: Counter[TargetState] = Counter()
    wrong: list[str] = []
    for case in make_cases(SEED, CASES, FAULTS, later=True):
        if case.number % EVERY:
            continue
        try:
            ends[check(walk, case)] += 1
        except AssertionError as exc:
            wrong.append(str(exc).partition("\n")[0])
        walk.empty()
    assert wrong == []
    assert ends[TargetState.PUBLISHED] > sum(ends.values()) / 2, ends


@pytest.mark.timeout(3600 if LONG else 120)
def test_it_goes_out_once_wherever_the_worker_dies(walk: PracticeWalk) -> None:
    """Before and after each call and each commit, from the first job to the end of the last."""
    ways: list[dict[str, bool]] = [{}, {"stage_ahead": True}]
    for number, way in enumerate(ways):
        untouched = Case(1000 * number, whole=True, **way)
        assert check(walk, untouched) is TargetState.PUBLISHED
        walk.empty()
        for at in kill_points(walk.points, few=1, seed=SEED + number):
            case = replace(untouched, number=1000 * number + at, kills=(at,))
            assert check(walk, case) is TargetState.PUBLISHED
            walk.empty()


def check(walk: PracticeWalk, case: Case) -> TargetState:
    target = walk.run(case, walk.set_faults)
    public = walk.practice.store.published()
    said = f"{case}: {target.state}, {target.error} {target.error_detail}, {len(public)} public"
    assert target.state in ENDED, said
    assert len(public) <= 1, said
    assert [media.sha256 for media in public] == [walk.sha256] * len(public), said
    if target.state is TargetState.PUBLISHED:
        assert [media.post_id for media in public] == [target.remote_id], said
    if target.state is TargetState.FAILED:
        assert public == [] and target.error, said
    if target.state is TargetState.NEEDS_PERSON:
        assert BLIND in (replace(fault, skip=0) for fault in case.faults), said
    planned = target.post.publish_at
    if planned is not None:
        early = [m for m in public if (m.published_at or "") < planned.isoformat()[:19]]
        assert early == [], said
    return target.state
