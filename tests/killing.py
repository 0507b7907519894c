"""A child does some work and kills itself at the n-th call that changes something on disk.

The calls are only counted; which of them is the last is chosen from outside, by a seed. With
APPLIANCE_TEST_LONG=1 each of them is.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from tests.mortality import die, said_by_child

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGES = ("rename", "replace", "link", "unlink", "fsync", "mkdir", "rmdir", "symlink")
_SHORT = 7


def in_child(work: Callable[[], object], kill_at: int | None) -> int | None:
    """How many changes it made; None: it died at the one with this number."""
    seen = 0

    def counted(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == kill_at:
                die()
            return inner(*args, **kwargs)

        return call

    def counted_work() -> int:
        for name in _CHANGES:
            setattr(os, name, counted(getattr(os, name)))
        work()
        return seen

    return said_by_child(counted_work)


def points(count: int) -> list[int]:
    """Where to die: some, or all."""
    everywhere = range(1, count + 1)
    if os.environ.get("APPLIANCE_TEST_LONG"):
        return list(everywhere)
    return sorted(random.Random(20261122).sample(everywhere, min(_SHORT, count)))
