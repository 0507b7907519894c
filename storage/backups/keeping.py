"""Which backups are kept: the newest of so many days, weeks and months. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, tzinfo


@dataclass(frozen=True)
class Keep:
    daily: int = 7
    weekly: int = 4
    monthly: int = 6


def superfluous(made: Mapping[str, datetime], keep: Keep, zone: tzinfo) -> list[str]:
    """The names that may go, the oldest first; ``made``: name → when. Names sort by the order in
    which backups were made: by the times, one that was made just now would be old, and go, where
    the clock was set back.

    Of each of the last ``daily`` days that have a backup the newest stays, and so for weeks (from
    Monday) and months, as people in ``zone`` count them. Days without a backup don't count: a box
    that was off for a month keeps what it has. The newest of all always stays.
    """
    newest_first = sorted(made, reverse=True)
    kept = set(newest_first[:1])
    for form, how_many in (
        ("%Y-%m-%d", keep.daily),
        ("%G-%V", keep.weekly),
        ("%Y-%m", keep.monthly),
    ):
        seen: set[str] = set()
        for name in newest_first:
            period = made[name].astimezone(zone).strftime(form)
            if period in seen:
                continue
            if len(seen) == how_many:
                break
            seen.add(period)
            kept.add(name)
    return [name for name in reversed(newest_first) if name not in kept]
