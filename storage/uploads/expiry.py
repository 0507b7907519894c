"""How much longer an upload waits for bytes: by the clock that nobody sets, where that is known.

A step of the wall clock (an admin's typo, NTP after a start without a battery) must neither
remove what people are sending nor keep for ever what nobody sends. So idle time is counted on the
clock of the machine's start, in which the row was last touched. Only after another start the wall
clock has to do; then an upload gets a grace from that moment on, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from appliance.clock import boot_id, boottime_s, now

# After a start of the machine nothing expires before its sender had the time to come back.
GRACE_S = 3600.0
# The time that senders are told may be so far off before it is put right.
_TOLD_S = 60.0


@dataclass(frozen=True)
class Moment:
    """One moment on both clocks; ``boot``: the start of the machine that ``boot_s`` counts from."""

    at: datetime
    boot: str
    boot_s: float


@dataclass(frozen=True)
class Life:
    """When bytes came last, and until when the next are waited for.

    ``expires_at - touched_at`` is how long, whatever the wall clock did since.
    """

    touched: Moment
    expires_at: datetime


def this_moment() -> Moment:
    return Moment(now(), boot_id(), boottime_s())


def seconds_left(life: Life, this: Moment) -> float:
    """Below zero: it is over. Pure."""
    wait_s = (life.expires_at - life.touched.at).total_seconds()
    if _same_boot(life, this):
        return wait_s - (this.boot_s - life.touched.boot_s)
    idle_s = max(0.0, (this.at - life.touched.at).total_seconds())
    return max(wait_s - idle_s, min(wait_s, GRACE_S))


def moved_to(life: Life, this: Moment) -> Life | None:
    """The same life on the clocks of ``this`` moment; None when it needs no change. Pure."""
    left_s = seconds_left(life, this)
    expires_at = this.at + timedelta(seconds=left_s)
    off_s = abs((expires_at - life.expires_at).total_seconds())
    if _same_boot(life, this) and off_s < _TOLD_S:
        return None
    wait_s = (life.expires_at - life.touched.at).total_seconds()
    idle_s = wait_s - left_s
    touched = replace(this, at=expires_at - timedelta(seconds=wait_s), boot_s=this.boot_s - idle_s)
    return Life(touched, expires_at)


def _same_boot(life: Life, this: Moment) -> bool:
    # 0: the row is from before this was noted.
    return life.touched.boot == this.boot and life.touched.boot_s != 0
