"""A worker that was frozen and has lost its job sends nothing when it wakes up.

Before each request to a platform the lease is renewed, in the row: only the worker to whom the job
still belongs gets that far, and nobody can take the job over for the length of a lease. What
remains is the moment between the renewal and the first byte.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

_require: ContextVar[Callable[[], None] | None] = ContextVar("lease_guard", default=None)


@contextmanager
def guarded(require: Callable[[], None]) -> Iterator[None]:
    """Requests of this thread call ``require`` first, which raises LeaseLost."""
    token = _require.set(require)
    try:
        yield
    finally:
        _require.reset(token)


def before_request(request: httpx.Request) -> None:
    """A hook for clients."""
    if (require := _require.get()) is not None:
        require()
