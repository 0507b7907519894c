"""When things happen, and how much of them: pure rules as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance import allowances, late_posts, post_numbers
from appliance.allowances import Spent, Window
from appliance.late_posts import Policy, WhenLate
from tasks.publish import breaker, link_variables, timing
from tasks.publish.breaker import LIMIT, Health, after_step
from tasks.publish.publisher import (
    Capabilities,
    Done,
    Failed,
    NeedsReconnect,
    PostDraft,
    RetryAt,
    Step,
    Unsure,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLAIN = Capabilities("Plain", can_stage=True)
FORGETS = Capabilities("Forgets", can_stage=True, staged_lifetime_s=86400.0)
HOLDS = Capabilities(
    "Holds", can_stage=True, native_scheduling=True, holds_from_s=600.0, holds_to_s=29 * 86400.0
)


@pytest.mark.parametrize(
    ("due", "there", "ahead", "hold", "begins"),
    [
        (None, PLAIN, True, False, None),
        (NOW - HOUR, PLAIN, False, False, None),
        (NOW + HOUR, PLAIN, False, False, NOW + HOUR),
        (NOW + 40 * DAY, PLAIN, True, False, None),
        (NOW + HOUR, FORGETS, True, False, None),
        (NOW + 2 * DAY, FORGETS, True, False, NOW + 2 * DAY - 0.9 * DAY),
        (NOW + HOUR, HOLDS, False, True, None),
        (NOW + HOUR, PLAIN, False, True, NOW + HOUR),
        (NOW + HOUR / 10, HOLDS, False, True, NOW + HOUR / 10),
        (NOW + 30 * DAY, HOLDS, False, True, NOW + DAY),
    ],
    ids=str,
)
def test_when_a_target_begins(
    due: datetime | None, there: Capabilities, ahead: bool, hold: bool, begins: datetime | None
) -> None:
    assert timing.begin_at(due, NOW, there, stage_ahead=ahead, hold=hold) == begins


@pytest.mark.parametrize(
    ("due", "there", "hold", "held"),
    [
        (NOW + HOUR, HOLDS, True, True),
        (NOW + HOUR, HOLDS, False, False),
        (NOW + HOUR, PLAIN, True, False),
        (NOW + timedelta(seconds=599), HOLDS, True, False),
        (NOW + 30 * DAY, HOLDS, True, False),
        (NOW - HOUR, HOLDS, True, False),
        (None, HOLDS, True, False),
    ],
    ids=str,
)
def test_what_a_platform_holds(
    due: datetime | None, there: Capabilities, hold: bool, held: bool
) -> None:
    assert timing.held_until(due, NOW, there, hold=hold) == (due if held else None)


ASK = Policy(WhenLate.ASK, after_s=3600.0)


@pytest.mark.parametrize(
    ("policy", "due", "ready", "late"),
    [
        (ASK, NOW - 2 * HOUR, None, True),
        (ASK, NOW - HOUR, None, False),
        (ASK, NOW - 9 * HOUR, NOW - HOUR, False),
        (ASK, NOW - 2 * HOUR, NOW - 9 * HOUR, True),
        (ASK, None, None, False),
        (Policy(WhenLate.POST), NOW - DAY, None, False),
    ],
    ids=str,
)
def test_who_is_late(
    policy: Policy, due: datetime | None, ready: datetime | None, late: bool
) -> None:
    assert late_posts.is_late(policy, publish_at=due, ready_at=ready, at=NOW) is late


SLIDING, PACIFIC = Window(86400.0), Window(86400.0, "America/Los_Angeles")


@pytest.mark.parametrize(
    ("window", "spent", "need", "free"),
    [
        (SLIDING, [], 1, None),
        (SLIDING, [Spent(NOW - HOUR, 9)], 1, None),
        (SLIDING, [Spent(NOW - HOUR, 10)], 1, NOW + 23 * HOUR),
        (SLIDING, [Spent(NOW - 25 * HOUR, 10)], 1, None),
        (SLIDING, [Spent(NOW - 3 * HOUR, 4), Spent(NOW - HOUR, 6)], 4, NOW + 21 * HOUR),
        (SLIDING, [Spent(NOW - 3 * HOUR, 4), Spent(NOW - HOUR, 6)], 5, NOW + 23 * HOUR),
        (SLIDING, [Spent(NOW - HOUR, 1)], 99, NOW + 23 * HOUR),
        # Noon UTC is four in the morning there: midnight is twenty hours away.
        (PACIFIC, [Spent(NOW - HOUR, 10)], 1, NOW + 20 * HOUR),
        (PACIFIC, [Spent(NOW - 5 * HOUR, 10)], 1, None),
    ],
    ids=str,
)
def test_when_an_allowance_has_room(
    window: Window, spent: list[Spent], need: int, free: datetime | None
) -> None:
    assert allowances.free_at(spent, window, limit=10, need=need, at=NOW) == free


def test_the_day_of_a_zone_may_have_23_hours() -> None:
    before = datetime(2026, 3, 8, 8, 30, tzinfo=UTC)  # 00:30 there, on the day of the change
    assert allowances.next_midnight("America/Los_Angeles", before) == datetime(
        2026, 3, 9, 7, tzinfo=UTC
    )


BUSY, BEFORE = RetryAt(None, "Busy."), Health(LIMIT - 1)


@pytest.mark.parametrize(
    ("health", "step", "failures", "paused_s"),
    [
        (Health(), BUSY, 1, None),
        (BEFORE, BUSY, LIMIT, 60),
        (BEFORE, Unsure("Lost."), LIMIT, 60),
        (Health(LIMIT), BUSY, LIMIT + 1, 120),
        (Health(50), BUSY, 51, 600),
        (Health(LIMIT, NOW), Done("1"), 0, None),
        (Health(LIMIT, NOW), Failed("No."), 0, None),
        (Health(2), NeedsReconnect("Sign in."), 2, None),
        (Health(2), RetryAt(NOW + HOUR, "Slow down.", counted=False), 2, 3600),
        (Health(2), RetryAt(NOW + HOUR / 3600, "Slow down.", counted=False), 2, None),
    ],
    ids=str,
)
def test_what_an_answer_says_of_the_account(
    health: Health, step: Step, failures: int, paused_s: int | None
) -> None:
    after = after_step(health, step, NOW, 60.0)
    paused = None if paused_s is None else NOW + timedelta(seconds=paused_s)
    assert (after.failures, after.paused_until) == (failures, paused)


def test_pauses_grow_up_to_ten_minutes() -> None:
    pauses = [breaker.pause_after(LIMIT + n, 60.0) for n in range(2000)]
    assert pauses == sorted(pauses) and pauses[-1] == timedelta(minutes=10)


@pytest.mark.parametrize(
    ("needs", "wrong"),
    [
        ({"a": set()}, False),
        ({"a": {"b"}, "b": set()}, False),
        ({"a": {"b"}, "b": {"c"}, "c": set()}, False),
        ({"a": {"a"}}, True),
        ({"a": {"b"}}, True),
        ({"a": {"b"}, "b": {"a"}}, True),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, True),
    ],
    ids=str,
)
def test_which_links_can_come(needs: dict[str, set[str]], wrong: bool) -> None:
    assert (link_variables.fault(needs, "abc") is not None) is wrong


def test_links_are_put_where_their_names_stand() -> None:
    draft = PostDraft("{a_url}", "{b_url} {A_url} {a_url}", {"first_comment": "See {a_url}"})
    assert link_variables.platforms_in(draft) == {"a", "b"}
    filled = link_variables.fill(draft, {"a": "http://x/{b_url}"})
    assert filled.title == "http://x/{b_url}"
    assert filled.description == "{b_url} {A_url} http://x/{b_url}"
    assert filled.options == {"first_comment": "See http://x/{b_url}"}


@pytest.mark.parametrize(
    ("age", "asked_ago", "due"),
    [
        (HOUR, None, True),
        (HOUR * 3, HOUR / 2, False),
        (HOUR * 3, HOUR, True),
        (DAY * 3, HOUR, False),
        (DAY * 20, DAY, True),
        (DAY * 200, None, False),
    ],
    ids=str,
)
def test_when_numbers_are_asked_for(age: timedelta, asked_ago: timedelta | None, due: bool) -> None:
    asked = None if asked_ago is None else NOW - asked_ago
    assert post_numbers.is_due(NOW - age, asked, NOW) is due
