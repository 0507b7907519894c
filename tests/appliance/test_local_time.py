"""What a time on somebody's wall means: gaps, folds, leap days, odd zones."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from appliance import local_time
from appliance.errors import InvalidInput
from appliance.local_time import first_moment, moment_of, read_clock


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shown", "moments"),
    [
        pytest.param("Europe/Berlin", "2026-01-10 18:00", ["2026-01-10 17:00"], id="winter"),
        pytest.param("Europe/Berlin", "2026-07-10 18:00", ["2026-07-10 16:00"], id="summer"),
        pytest.param("Europe/Berlin", "2026-03-29 01:59", ["2026-03-29 00:59"], id="before a gap"),
        pytest.param("Europe/Berlin", "2026-03-29 02:00", [], id="gap begins"),
        pytest.param("Europe/Berlin", "2026-03-29 02:59", [], id="gap ends"),
        pytest.param("Europe/Berlin", "2026-03-29 03:00", ["2026-03-29 01:00"], id="after a gap"),
        pytest.param("Europe/Berlin", "2026-10-25 01:59", ["2026-10-24 23:59"], id="before a fold"),
        pytest.param(
            "Europe/Berlin",
            "2026-10-25 02:00",
            ["2026-10-25 00:00", "2026-10-25 01:00"],
            id="fold begins",
        ),
        pytest.param("Europe/Berlin", "2026-10-25 03:00", ["2026-10-25 02:00"], id="after a fold"),
        pytest.param("America/New_York", "2026-03-08 02:30", [], id="gap in New York"),
        pytest.param(
            "America/New_York",
            "2026-11-01 01:30",
            ["2026-11-01 05:30", "2026-11-01 06:30"],
            id="fold in New York",
        ),
        pytest.param("Europe/Berlin", "2028-02-29 12:00", ["2028-02-29 11:00"], id="leap day"),
        pytest.param("Asia/Kathmandu", "2026-06-01 12:00", ["2026-06-01 06:15"], id="quarters"),
        pytest.param("Australia/Lord_Howe", "2026-10-04 02:15", [], id="gap of half an hour"),
        pytest.param(
            "Australia/Lord_Howe",
            "2026-04-05 01:45",
            ["2026-04-04 14:45", "2026-04-04 15:15"],
            id="fold of half an hour",
        ),
        pytest.param("Pacific/Apia", "2011-12-30 12:00", [], id="a day that never was"),
        pytest.param("UTC", "2026-03-29 02:30", ["2026-03-29 02:30"], id="UTC has no gaps"),
    ],
)
def test_what_a_local_time_means(zone: str, shown: str, moments: list[str]) -> None:
    reading = read_clock(local(shown), zone)
    assert reading.moments == tuple(utc(moment) for moment in moments)
    assert reading.is_skipped is (not moments)
    assert reading.is_twice is (len(moments) == 2)


@pytest.mark.parametrize(
    ("zone", "shown", "nearest"),
    [
        ("Europe/Berlin", "2026-03-29 02:05", "2026-03-29 03:00"),
        ("Europe/Berlin", "2026-03-29 02:55", "2026-03-29 03:00"),
        ("America/Havana", "2026-03-08 00:30", "2026-03-08 01:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-04 02:30"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-31 00:00"),
    ],
)
def test_of_a_skipped_time_the_nearest_is_named(zone: str, shown: str, nearest: str) -> None:
    reading = read_clock(local(shown), zone)
    assert reading.nearest == local(nearest)
    assert not read_clock(reading.nearest, zone).is_skipped
    with pytest.raises(InvalidInput) as refused:
        moment_of(local(shown), zone)
    assert refused.value.code == "time_skipped"
    assert zone in refused.value.message
    assert f"{reading.nearest:%H:%M}" in refused.value.message
    assert first_moment(local(shown), zone) == read_clock(reading.nearest, zone).moments[0]


def test_of_a_time_that_comes_twice_the_first_is_taken_and_told() -> None:
    night = local("2026-10-25 02:30")
    assert moment_of(night, "Europe/Berlin") == utc("2026-10-25 00:30")
    assert moment_of(night, "Europe/Berlin", second=True) == utc("2026-10-25 01:30")
    told = local_time.twice_sentence(read_clock(night, "Europe/Berlin"))
    assert "twice" in told
    assert "first" in told
    assert "UTC+02:00" in told
    later = local_time.twice_sentence(read_clock(night, "Europe/Berlin"), second=True)
    assert "second" in later
    assert "UTC+01:00" in later
    assert local_time.twice_sentence(read_clock(local("2026-10-26 02:30"), "Europe/Berlin")) == ""


@pytest.mark.parametrize("year", ["0001-01-01 00:00", "9999-12-31 23:59"])
def test_no_calendar_goes_that_far(year: str) -> None:
    with pytest.raises(InvalidInput, match="calendar"):
        for zone in ("Asia/Tokyo", "Etc/GMT+12"):
            moment_of(local(year), zone)


def test_zones_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        read_clock(local("2026-01-01 12:00"), "Europe/Atlantis")


def test_every_moment_of_two_years_is_found_again_by_what_the_clocks_show() -> None:
    pick = random.Random(5)
    zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
    for zone in zones:
        place = ZoneInfo(zone)
        for _ in range(300):
            moment = utc("2026-01-01") + timedelta(minutes=pick.randrange(2 * 366 * 24 * 60))
            shown = moment.astimezone(place).replace(tzinfo=None)
            assert moment in read_clock(shown, zone).moments


@pytest.mark.parametrize(
    ("moment", "days", "hours", "becomes"),
    [
        pytest.param("2026-03-28 17:00", 1, 0, "2026-03-29 16:00", id="18:00 stays 18:00"),
        pytest.param("2026-10-24 16:00", 1, 0, "2026-10-25 17:00", id="and back"),
        pytest.param("2026-03-29 00:30", 0, 1, "2026-03-29 01:30", id="an hour over the gap"),
        pytest.param("2026-10-25 00:30", 0, 1, "2026-10-25 01:30", id="02:30 to 02:30"),
        pytest.param("2028-02-28 11:00", 1, 0, "2028-02-29 11:00", id="to the leap day"),
        pytest.param("2027-02-28 11:00", 1, 0, "2027-03-01 11:00", id="no leap day"),
    ],
)
def test_moving_by_days_keeps_the_clock_and_by_hours_the_hours(
    moment: str, days: int, hours: int, becomes: str
) -> None:
    moved = local_time.shifted(utc(moment), "Europe/Berlin", days=days, hours=hours)
    assert moved == utc(becomes)


def test_a_move_into_a_skipped_time_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nearest time is 03:00"):
        local_time.shifted(utc("2026-03-28 01:30"), "Europe/Berlin", days=1)


def test_a_move_to_a_day_is_to_that_day_of_the_zone() -> None:
    late = utc("2026-11-20 23:30")  # the 21st in Berlin
    moved = local_time.on_day(late, "Europe/Berlin", local("2026-11-24").date())
    assert moved == utc("2026-11-23 23:30")
