"""How long to wait for what, as functions of the time that has passed; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Source: …/instagram-graph-api/reference/ig-user/media, read 2026-11: "containers expire after 24
# hours". A little less, so that none expires between our look and the call.
CONTAINER_LIFETIME = timedelta(hours=24)
LIFETIME_MARGIN = timedelta(minutes=10)


@dataclass(frozen=True)
class Pace:
    """``first_s``: until the first look; then a quarter of the time that it has taken so far, at
    most ``slowest_s`` (Meta's advice: once a minute).

    ``settles_s``: a publishing call whose answer was lost may still be at work there; a container
    that looks unpublished until then isn't called so. ``agrees_s``: what the container and the
    account's list say of each other may differ for so long. ``link_s``: nobody waits longer for
    what is only nice to have, the link. ``works_s``: a container that takes longer is given up for
    another one; most are ready within minutes, and nobody wants a post that hangs for a day.
    """

    first_s: float = 2.0
    slowest_s: float = 60.0
    settles_s: float = 30.0
    agrees_s: float = 120.0
    link_s: float = 600.0
    works_s: float = 3600.0

    def next_look(self, began_at: datetime, at: datetime) -> datetime:
        waited_s = max(0.0, (at - began_at).total_seconds())
        return at + timedelta(seconds=min(max(waited_s / 4, self.first_s), self.slowest_s))


def within(since: datetime | None, seconds: float, at: datetime) -> bool:
    """Was ``since`` less than ``seconds`` ago? Of a clock that was put back nobody can tell: no."""
    return since is not None and 0 <= (at - since).total_seconds() < seconds


REAL = Pace()
# The stand-in is here, and what it was asked is done when the connection breaks.
PRACTICE = Pace(first_s=0.25, slowest_s=30.0, settles_s=0.5, agrees_s=2.0, link_s=2.0)


def expires_at(began_at: datetime) -> datetime:
    """When a container should no longer be counted on."""
    return began_at + CONTAINER_LIFETIME - LIFETIME_MARGIN
