"""The next free slot, and what two plans do to each other; times are handed in."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice

import pytest

from appliance.schedule import (
    Allowance,
    Planned,
    WeekTime,
    clashes,
    next_free,
    occurrences,
    upcoming,
)

MONDAY, WEDNESDAY, FRIDAY, SATURDAY, SUNDAY = 0, 2, 4, 5, 6


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slot(weekday: int, clock: str, zone: str = "Europe/Berlin") -> WeekTime:
    return WeekTime(weekday, time.fromisoformat(clock), zone)


@pytest.mark.parametrize(
    ("chosen", "after", "moments"),
    [
        pytest.param(
            slot(FRIDAY, "18:00"),
            "2026-11-20 16:00",
            ["2026-11-20 17:00", "2026-11-27 17:00"],
            id="today, still to come",
        ),
        pytest.param(
            slot(FRIDAY, "18:00"),
            "2026-11-20 17:00",
            ["2026-11-27 17:00", "2026-12-04 17:00"],
            id="not the very minute",
        ),
        pytest.param(
            slot(SUNDAY, "02:30"),
            "2026-03-20 00:00",
            ["2026-03-22 01:30", "2026-03-29 01:00", "2026-04-05 00:30"],
            id="skipped on 29 March: 03:00",
        ),
        pytest.param(
            slot(SUNDAY, "02:30"),
            "2026-10-20 00:00",
            ["2026-10-25 00:30", "2026-11-01 01:30"],
            id="twice on 25 October: the first, once",
        ),
        pytest.param(
            slot(SUNDAY, "18:00"),
            "2026-03-22 12:00",
            ["2026-03-22 17:00", "2026-03-29 16:00"],
            id="18:00 stays 18:00 over the change",
        ),
        pytest.param(
            slot(MONDAY, "00:30", "Pacific/Kiritimati"),
            "2026-11-22 09:00",
            ["2026-11-22 10:30", "2026-11-29 10:30"],
            id="Monday there is Sunday in UTC",
        ),
        pytest.param(
            slot(SATURDAY, "23:30", "Etc/GMT+12"),
            "2026-11-22 11:00",
            ["2026-11-22 11:30", "2026-11-29 11:30"],
            id="Saturday there is Sunday in UTC",
        ),
        pytest.param(
            WeekTime(1, time(9), "UTC"),
            "2028-02-28 12:00",
            ["2028-02-29 09:00", "2028-03-07 09:00"],
            id="leap day",
        ),
    ],
)
def test_the_moments_of_a_slot(chosen: WeekTime, after: str, moments: list[str]) -> None:
    found = list(islice(occurrences(chosen, utc(after)), len(moments)))
    assert found == [utc(moment) for moment in moments]


def test_a_slot_comes_every_week_once_over_ten_years() -> None:
    chosen = slot(SUNDAY, "02:30")
    found = list(islice(occurrences(chosen, utc("2026-01-01 00:00")), 520))
    gaps = {late - early for early, late in zip(found, found[1:], strict=False)}
    week = timedelta(days=7)
    assert found == sorted(set(found))
    assert {week - timedelta(hours=1), week, week + timedelta(hours=1)} >= gaps - {
        week - timedelta(minutes=30),
        week + timedelta(minutes=30),
        week - timedelta(minutes=90),
    }


def test_slots_of_several_zones_come_in_order_and_the_same_moment_once() -> None:
    slots = [slot(FRIDAY, "18:00"), slot(FRIDAY, "17:00", "UTC"), slot(WEDNESDAY, "09:00")]
    found = list(islice(upcoming(slots, utc("2026-11-20 00:00")), 3))
    assert found == [utc("2026-11-20 17:00"), utc("2026-11-25 08:00"), utc("2026-11-27 17:00")]


def test_the_next_free_slot_is_the_first_at_whose_minute_nothing_is_planned() -> None:
    slots = [slot(FRIDAY, "18:00"), slot(MONDAY, "09:00")]
    taken = [utc("2026-11-20 17:00:30"), utc("2026-11-23 08:00")]
    assert next_free(slots, taken, utc("2026-11-20 12:00")) == utc("2026-11-27 17:00")
    assert next_free(slots, [], utc("2026-11-20 12:00")) == utc("2026-11-20 17:00")
    assert next_free([], [], utc("2026-11-20 12:00")) is None


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_that_steps_by_two_days_gives_no_slot_of_the_past(days: int) -> None:
    now = utc("2026-03-28 22:00") + timedelta(days=days)
    slots = [WeekTime(day, time(2, 30), "Europe/Berlin") for day in range(7)]
    free = next_free(slots, [], now)
    assert free is not None
    assert now < free <= now + timedelta(days=1, hours=1)


def test_when_a_year_is_full_there_is_no_free_slot() -> None:
    chosen = [slot(FRIDAY, "18:00")]
    now = utc("2026-11-20 12:00")
    taken = list(islice(occurrences(chosen[0], now), 60))
    assert next_free(chosen, taken, now) is None


def plan(post: str, at: str, *, account: int = 1) -> Planned:
    return Planned(post, f"Film {post}", account, "Channel", "youtube", utc(at))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        pytest.param(plan("b", "2026-11-20 18:10"), "10 min later", id="later"),
        pytest.param(plan("b", "2026-11-20 17:46"), "14 min earlier", id="earlier"),
        pytest.param(plan("b", "2026-11-20 18:00"), "at the same time", id="same time"),
        pytest.param(plan("b", "2026-11-20 18:15"), None, id="far enough"),
        pytest.param(plan("b", "2026-11-20 18:00", account=2), None, id="another account"),
        pytest.param(plan("a", "2026-11-20 18:00"), None, id="itself"),
    ],
)
def test_two_posts_to_one_account_keep_apart(other: Planned, said: str | None) -> None:
    found = clashes(plan("a", "2026-11-20 18:00"), [other], apart=timedelta(minutes=15))
    assert [clash.kind for clash in found] == (["close"] if said else [])
    if said:
        assert said in found[0].sentence


def test_no_distance_means_no_clash() -> None:
    one = plan("a", "2026-11-20 18:00")
    assert clashes(one, [plan("b", "2026-11-20 18:00")], apart=timedelta()) == []


def test_a_window_that_slides_is_full_wherever_the_plan_lies_in_it() -> None:
    reels = Allowance("Reels", 3, timedelta(hours=24), 1)
    others = [plan("b", "2026-11-20 01:00"), plan("c", "2026-11-20 20:00")]
    one = plan("a", "2026-11-20 12:00")
    assert clashes(one, others, apart=timedelta(), allowances=[reels]) == []
    full = [*others, plan("d", "2026-11-20 22:00")]
    (found,) = clashes(one, full, apart=timedelta(), allowances=[reels])
    assert found.kind == "allowance"
    assert "3 posts within 24 h" in found.sentence
    assert "4 are planned" in found.sentence
    # 30 hours from the first to the last: never more than three within 24.
    spread = [
        plan("b", "2026-11-20 01:00"),
        plan("c", "2026-11-21 02:00"),
        plan("d", "2026-11-21 03:00"),
    ]
    assert clashes(one, spread, apart=timedelta(), allowances=[reels]) == []


def test_a_day_that_ends_at_midnight_in_california() -> None:
    units = Allowance("upload units", 10_000, timedelta(days=1), 5_000, "America/Los_Angeles")
    # 07:30 and 08:30 UTC are 23:30 and 00:30 there.
    others = [plan("b", "2026-11-20 06:00"), plan("c", "2026-11-20 07:30")]
    late = clashes(plan("a", "2026-11-20 07:45"), others, apart=timedelta(), allowances=[units])
    assert [clash.kind for clash in late] == ["allowance"]
    assert "2 posts a day" in late[0].sentence
    next_day = clashes(plan("a", "2026-11-20 08:30"), others, apart=timedelta(), allowances=[units])
    assert next_day == []


def test_an_allowance_that_is_shared_counts_the_other_accounts_too() -> None:
    units = Allowance("uploads", 2, timedelta(days=1), 1, "UTC", shared=True)
    one = plan("a", "2026-11-20 12:00")
    others = [plan("b", "2026-11-20 13:00", account=2), plan("a", "2026-11-20 12:00", account=3)]
    (found,) = clashes(one, others, apart=timedelta(), allowances=[units])
    assert "3 are planned" in found.sentence
    alone = Allowance("uploads", 2, timedelta(days=1), 1, "UTC")
    assert clashes(one, others, apart=timedelta(), allowances=[alone]) == []
