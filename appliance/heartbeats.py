"""Which processes of the box are alive: each one beats its row every few seconds."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.clock import boot_id, boottime_s
from appliance.models import Heartbeat

# Six beats missed. A worker that stops cleanly removes its row.
SILENT_AFTER_S = 30.0

WORKERS = ("media", "quick", "delivery")


@dataclass(frozen=True)
class Pulse:
    """``silent_s``: seconds since it was last heard; None: never, or before the machine started."""

    name: str
    silent_s: float | None

    @property
    def is_alive(self) -> bool:
        return self.silent_s is not None and self.silent_s <= SILENT_AFTER_S


def workers() -> list[Pulse]:
    """One for each worker that a box has."""
    return [pulse for pulse in pulses() if pulse.name in WORKERS]


def pulses() -> list[Pulse]:
    """One for the web process and for each worker. Wants a connection."""
    rows = {row.process: row for row in Heartbeat.select()}
    web = _pulse("web", rows.get("web"))
    return [web, *(_pulse(name, rows.get(f"worker-{name}")) for name in WORKERS)]


def _pulse(name: str, row: Heartbeat | None) -> Pulse:
    if row is None or row.boot_id != boot_id():
        return Pulse(name, None)
    return Pulse(name, max(0.0, boottime_s() - row.beat_boottime_s))
