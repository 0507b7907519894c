"""Housekeeping in turns: work that nobody waits for, and that may take hours.

One such job runs at a time (``HOUSEKEEPING`` of appliance/scheduling.py), and after a minute it
goes to the end of the line, so that posts and other housekeeping come first.
"""

from __future__ import annotations

import time
from datetime import timedelta

from appliance.clock import now
from tasks.context import PutBack

TURN_S = 60.0
# Not due for a moment: whatever waits goes first, of the same priority, too.
PAUSE = timedelta(seconds=1)


class Turn:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._ends_s = time.monotonic() + TURN_S

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._ends_s


def make_room() -> PutBack:
    """What a handler gives back when its turn is over and something is left to do."""
    return PutBack(now() + PAUSE)
