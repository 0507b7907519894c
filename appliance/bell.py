"""The bell of a queue: it wakes the workers, and that is all.

What there is to do stands in the rows (appliance/jobs.py): a bell that rings twice does no harm,
and for one that is not heard the sweep rings again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from appliance.db import database

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


def _ring_nobody(queue: str, priority: int) -> None:
    """Before tasks.queue is connected (a command that only writes rows): the sweep will ring."""


ring: Callable[[str, int], None] = _ring_nobody


def connect(ringer: Callable[[str, int], None]) -> None:
    """Called once by ``tasks.queue``: how to wake the workers of a queue."""
    global ring
    ring = ringer


def ring_after_commit(queue: str, priority: int) -> None:
    database.after_commit(lambda: _ring_safely(queue, priority))


def _ring_safely(queue: str, priority: int) -> None:
    """The row is committed: what is wrong with the bell must not look like a failure of it."""
    try:
        ring(queue, priority)
    except Exception:
        log.exception("The bell of the queue %s is broken; the sweep will ring.", queue)
