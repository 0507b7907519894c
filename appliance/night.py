"""The hours of the night: when work that can wait is done.

``night_hours`` ("22:00-06:00") is meant in the team's time zone, by its clocks: a night in which
they are changed is an hour shorter or longer. Whether background encodes wait for it is a wish
of the admins, kept in the row "night" of the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from appliance import kept
from appliance.setting_types import night_times

if TYPE_CHECKING:
    from appliance.settings import Settings

NAME = "night"


@dataclass(frozen=True)
class Window:
    """One night, in UTC; ``end`` is no longer in it."""

    start: datetime
    end: datetime


def next_window(settings: Settings, at: datetime) -> Window | None:
    """The night that ``at`` is in, or else the next one; None: there is no window, or it is
    always open."""
    hours = night_times(settings.night_hours)
    if hours is None:
        return None
    begin, end = hours
    zone = ZoneInfo(settings.team_time_zone)
    today = at.astimezone(zone).date()
    for days in (-1, 0, 1):
        day = today + timedelta(days=days)
        last = day if begin < end else day + timedelta(days=1)
        # Of a time that the clocks show twice the first begins a night and the second ends it;
        # one that they skip is taken for the moment an hour later.
        ends = (datetime.combine(last, end.replace(fold=n), zone).astimezone(UTC) for n in (0, 1))
        window = Window(datetime.combine(day, begin, zone).astimezone(UTC), max(ends))
        if at < window.end:
            return window
    raise AssertionError("a night that begins tomorrow has not ended")


def is_open(settings: Settings, at: datetime) -> bool:
    """Whether work that waits for the night may begin."""
    window = next_window(settings, at)
    return window is None or window.start <= at


def describe_start(settings: Settings) -> str:
    """When the night begins, as people write it: "22:00"; "" when there is no window."""
    hours = night_times(settings.night_hours)
    return f"{hours[0]:%H:%M}" if hours else ""


# The wish of the admins


def is_only() -> bool:
    """Background encodes wait for the night. Wants a connection."""
    return bool(kept.read(NAME).get("only"))


def keep_only(wish: bool) -> None:
    """Record the wish. Inside a transaction; see tasks/night_work.py for what follows of it."""
    kept.write(NAME, {"only": wish})
