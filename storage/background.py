"""Blocking work off the event loop, with a database connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

from appliance.db import database

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Own threads, few: uploads that wait for a slow disk must not take those that serve the pages.
_THREADS = 8
_limiter: RunVar[CapacityLimiter] = RunVar("storage_threads")


async def in_thread(work: Callable[[], T]) -> T:
    """``work()`` in a worker thread. A cancelled caller waits for it: half a step is no step."""

    def with_database() -> T:
        with database.connection_context():
            return work()

    return await disk_work(with_database)


async def disk_work(work: Callable[[], T]) -> T:
    """As ``in_thread``, for work that needs no database."""
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(work, limiter=limiter)
