"""One at a time: who changes which releases there are, or which of them is in use."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from appliance.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

WAIT_FOR_OTHER_S = 120.0
_BETWEEN_S = 0.2


@contextmanager
def alone(lock: Path, say: Callable[[str], None]) -> Iterator[int]:
    """The handle of the lock, for children that must have ended, too, before others begin.

    ``say``: told when somebody else has to be waited for. Raises Conflict after two minutes.
    """
    with lock.open("w") as file:
        ends = time.monotonic() + WAIT_FOR_OTHER_S
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= ends:
                    raise Conflict("Another activation is under way; wait for it.") from exc
            if not told:
                say("Waiting for another activation …")
                told = True
            time.sleep(_BETWEEN_S)
        os.set_inheritable(file.fileno(), False)  # the children that hold it are named
        yield file.fileno()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM are answered with a word: for the way back, which is the answer to them.

    By a handler, as what is ignored would be ignored by our children, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            # Not by a stream: it may be in the middle of a line of its own.
            os.write(2, b"It is being taken back already: wait until the box runs again.\n")

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
