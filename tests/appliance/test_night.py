"""The window of the night: over midnight, in the team's time zone, and when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance import night
from appliance.errors import SettingsError
from appliance.settings import Settings, load_settings


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def settings(hours: str, zone: str = "Europe/Berlin") -> Settings:
    return Settings(night_hours=hours, team_time_zone=zone)


# All times in UTC; Berlin is an hour ahead in winter, two in summer.
@pytest.mark.parametrize(
    ("hours", "now", "start", "end"),
    [
        pytest.param("22:00-06:00", "2026-01-10 12:00", "10 21:00", "11 05:00", id="by day"),
        pytest.param("22:00-06:00", "2026-01-10 21:00", "10 21:00", "11 05:00", id="it begins"),
        pytest.param("22:00-06:00", "2026-01-11 04:59", "10 21:00", "11 05:00", id="it runs"),
        pytest.param("22:00-06:00", "2026-01-11 05:00", "11 21:00", "12 05:00", id="it is over"),
        pytest.param("01:00-05:30", "2026-01-10 12:00", "11 00:00", "11 04:30", id="within a day"),
        pytest.param("22:00-06:00", "2026-07-10 12:00", "10 20:00", "11 04:00", id="in summer"),
        # In 2026 the clocks go forward on 29 March at 02:00, and back on 25 October at 03:00.
        pytest.param("22:00-06:00", "2026-03-28 23:00", "28 21:00", "29 04:00", id="7 hours"),
        pytest.param("22:00-06:00", "2026-10-24 23:00", "24 20:00", "25 05:00", id="9 hours"),
        pytest.param("22:00-02:30", "2026-03-28 23:00", "28 21:00", "29 01:30", id="end skipped"),
        pytest.param("02:15-05:00", "2026-03-28 23:00", "29 01:15", "29 03:00", id="start skipped"),
        pytest.param("22:00-02:30", "2026-10-24 23:00", "24 20:00", "25 01:30", id="end twice"),
        pytest.param("02:30-05:00", "2026-10-24 23:00", "25 00:30", "25 04:00", id="start twice"),
    ],
)
def test_the_night_that_is_or_comes_next(hours: str, now: str, start: str, end: str) -> None:
    window = night.next_window(settings(hours), at(now))
    assert window is not None
    assert [f"{time:%d %H:%M}" for time in (window.start, window.end)] == [start, end]
    assert night.is_open(settings(hours), at(now)) is (window.start <= at(now))


def test_every_minute_around_a_change_of_the_clocks_has_one_night() -> None:
    chosen = settings("22:00-02:30")
    minutes = [at("2026-03-28 12:00").timestamp() + 60 * n for n in range(0, 48 * 60, 7)]
    starts = set()
    for minute in minutes:
        moment = datetime.fromtimestamp(minute, UTC)
        window = night.next_window(chosen, moment)
        assert window is not None
        assert moment < window.end
        starts.add(window.start)
    assert len(starts) == 3


def test_without_hours_it_is_always_night() -> None:
    assert night.next_window(settings(""), at("2026-01-10 12:00")) is None
    assert night.is_open(settings(""), at("2026-01-10 12:00"))
    assert night.describe_start(settings("")) == ""
    assert night.describe_start(settings("01:05-05:00")) == "01:05"


@pytest.mark.parametrize("text", ["22-06", "25:00-06:00", "22:00-22:00", "22:00", "22:00-06:60"])
def test_other_texts_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match=r"APPLIANCE_NIGHT_HOURS: must be two times"):
        load_settings({"APPLIANCE_NIGHT_HOURS": text})


def test_the_wish_of_the_admins_is_kept(db: None) -> None:
    assert not night.is_only()
    night.keep_only(True)
    assert night.is_only()
    night.keep_only(False)
    assert not night.is_only()
