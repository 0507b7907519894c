"""How much room there was on each day, and what that says about the days to come."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from appliance import kept
from appliance.clock import now
from storage.media import free_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.settings import Settings

NAME = "disk_history"
KEEP_DAYS = 60
# Fewer days say nothing about the next.
LEAST_DAYS = 5


def note(settings: Settings) -> None:
    """Once a day. Wants a connection."""
    today = now().date()
    found = kept.read(NAME)
    if today.isoformat() in found:
        return
    oldest = (today - timedelta(days=KEEP_DAYS)).isoformat()
    rest = {day: free for day, free in found.items() if day >= oldest}
    kept.write(NAME, {**rest, today.isoformat(): free_bytes(settings.data)})


def history() -> dict[date, int]:
    """Day → bytes that were free. Wants a connection."""
    return {date.fromisoformat(day): int(free) for day, free in kept.read(NAME).items()}


def days_until(free_by_day: Mapping[date, int], reserve_bytes: int) -> float | None:
    """In how many days only the reserve is left, if it goes on as in the last month; pure.

    None: it doesn't shrink, or too few days are known. By the method of least squares.
    """
    newest = max(free_by_day, default=None)
    if newest is None:
        return None
    points = [
        ((day - newest).days, free) for day, free in free_by_day.items() if (newest - day).days < 30
    ]
    if len(points) < LEAST_DAYS:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
        (x - mean_x) ** 2 for x, _ in points
    )
    if slope >= 0:
        return None
    return max(0.0, (free_by_day[newest] - reserve_bytes) / -slope)
