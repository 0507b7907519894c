"""Blocking work off the event loop, in threads that keep a database connection.

Their own, few: uploads that wait for a slow disk must not take those that serve the pages. And
kept open, because opening the database takes longer than most of what is asked of it; what one
piece of work leaves open is closed, so that none finds the transaction of another.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from appliance.db import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


T = TypeVar("T")

_THREADS = 8
# A thread that has nothing to do for so long ends, and closes its connection.
_IDLE_S = 5.0


async def in_thread(work: Callable[[], T]) -> T:
    """``work()`` in a thread with an open database connection.

    A cancelled caller waits for it: half a step is no step.
    """
    return await to_its_end(asyncio.wrap_future(_threads.submit(work, with_database=True)))


async def disk_work(work: Callable[[], T]) -> T:
    """As ``in_thread``, for work that needs no database."""
    return await to_its_end(begin_disk_work(work))


def begin_disk_work(work: Callable[[], T]) -> asyncio.Future[T]:
    """As ``disk_work``, for callers that do something else meanwhile, and never cancel it."""
    return asyncio.wrap_future(_threads.submit(work, with_database=False))


async def to_its_end(future: asyncio.Future[T]) -> T:
    """Its result; a cancelled caller is cancelled when that is there."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise


@dataclass(frozen=True)
class _Task:
    work: Callable[[], Any]
    with_database: bool
    future: Future[Any]


class _Threads:
    """At most ``_THREADS``, made when there is more to do than they have hands for."""

    def __init__(self) -> None:
        self.begin()
        # A fork has this object, and none of the threads.
        os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._count = self._idle = 0

    def submit(self, work: Callable[[], T], *, with_database: bool) -> Future[T]:
        task = _Task(work, with_database, Future())
        with self._changed:
            self._tasks.append(task)
            if len(self._tasks) <= self._idle or self._count >= _THREADS:
                self._changed.notify()
                return task.future
            self._count += 1
        # Not waited for when the process ends: it may be killed at any moment anyway.
        threading.Thread(target=self._serve, name="storage", daemon=True).start()
        return task.future

    def _serve(self) -> None:
        connection = _Connection()
        while (task := self._next()) is not None:
            try:
                with connection.for_work() if task.with_database else nullcontext():
                    result = task.work()
            except BaseException as exc:
                task.future.set_exception(exc)
            else:
                task.future.set_result(result)
                del result
            del task  # or what it holds would live on while this thread waits
        connection.close()

    def _next(self) -> _Task | None:
        """None: there was nothing for so long that the thread may end."""
        with self._changed:
            if not self._tasks:
                self._idle += 1
                self._changed.wait_for(lambda: self._tasks, _IDLE_S)
                self._idle -= 1
            if self._tasks:
                return self._tasks.popleft()
            self._count -= 1
            return None


_threads = _Threads()


class _Connection:
    """The database connection of one thread."""

    def __init__(self) -> None:
        self._of: Any = None

    @contextmanager
    def for_work(self) -> Iterator[None]:
        bound = database.obj
        if bound is not self._of:
            self.close()  # the process has turned to another database
            self._of = bound
        if bound.is_closed():
            bound.connect()
        try:
            yield
        finally:
            # No work ends within a transaction, unless even going back has failed.
            if not bound.is_closed() and bound.connection().in_transaction:
                bound.close()

    def close(self) -> None:
        if self._of is not None and not self._of.is_closed():
            self._of.close()
