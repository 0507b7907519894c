"""A child that does something and may kill itself on the way, and what is left of it."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def said_by_child(work: Callable[[], int]) -> int | None:
    """What ``work`` gives back, done in a process of its own; None: SIGKILL ended that.

    A connection of the database must not be open: it can't be in two processes.
    """
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writer, str(work()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    said = os.read(reader, 100)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert status == 0, "the child failed by itself"
    return int(said)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
