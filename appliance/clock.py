"""Two clocks: one that people read, one that leases run on."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now() -> datetime:
    """The time of day, aware, UTC."""
    return datetime.now(UTC)


def boottime_s() -> float:
    """Seconds since the machine started, the same in every process, counting sleep.

    Leases use this clock, so a step of the wall clock (NTP after a long night, an admin's typo)
    neither ends nor stretches one. It only means something together with ``boot_id``.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Names this start of the machine. Source: random(4), /proc/sys/kernel/random/boot_id.

    The units are told by systemd, because theirs is a /proc of its own: in a container that shows
    the start of the machine around it, and the commands beside them would know another one.
    """
    told = os.environ.get("APPLIANCE_BOOT_ID")
    return str(UUID(told)) if told else _BOOT_ID.read_text().strip()
