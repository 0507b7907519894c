"""Whether the box can do its work now, and if not, why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import peewee

from appliance import heartbeats, queue_lag
from appliance.db import database
from storage.media import free_bytes

if TYPE_CHECKING:
    from appliance.settings import Settings


def reasons_against(settings: Settings) -> list[str]:
    """One sentence for each thing that is missing; [] when all is well. Opens its connection."""
    try:
        with database.connection_context():
            silent = [pulse.name for pulse in heartbeats.workers() if not pulse.is_alive]
            stuck = [lag for lag in queue_lag.measure() if lag.is_stuck]
    except peewee.DatabaseError as exc:
        return [f"The database can't be read: {exc}."]
    reasons = [f"The {name} worker does not report." for name in silent]
    reasons += [
        f"The {lag.queue} queue stands still: its oldest job has waited for "
        f"{lag.lag_s / 60:.0f} minutes."
        for lag in stuck
    ]
    try:
        free, reserve = free_bytes(settings.data), settings.reserve_bytes()
    except OSError as exc:
        return [*reasons, f"The data folder can't be read: {exc.strerror}."]
    if free < reserve:
        reasons.append(
            f"The disk has {free // 1_000_000:,} MB left; uploads stop below "
            f"{reserve // 1_000_000:,} MB."
        )
    return reasons
