"""What is run in a sandbox, within which limits, and what comes of it (tasks/sandbox.py)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

from appliance.errors import ApplianceError, JobFailed

MIB = 1024**2

# Fills the standard input of a program; see ``sandbox.run``.
Feed = Callable[[IO[bytes], Callable[[], None]], None]


@dataclass(frozen=True)
class Limits:
    """What one program may use. ``file_bytes``: the largest file that it may write.

    ``processes``: it may start others; else ``memory_bytes`` holds for all that it does.
    """

    memory_bytes: int
    cpu_s: int
    file_bytes: int
    open_files: int = 64
    processes: bool = False

    def as_rlimits(self) -> dict[str, int]:
        return {
            "AS": self.memory_bytes,
            "CPU": self.cpu_s,
            "FSIZE": self.file_bytes,
            "NOFILE": self.open_files,
            "CORE": 0,
        }

    @property
    def filter(self) -> str:
        """As tasks/launch.py is told."""
        return "processes" if self.processes else "threads"


@dataclass(frozen=True)
class Command:
    """``folder`` is where it runs and all that it may write; ``reads`` is all else that it sees.

    ``devices``: nodes of /dev that it may use (a hardware encoder's); none but the usual else.
    Results are written as ``file:NAME``, in the folder.
    """

    argv: tuple[str, ...]
    folder: Path
    limits: Limits
    reads: tuple[Path, ...] = field(default=())
    devices: tuple[Path, ...] = field(default=())


@dataclass(frozen=True)
class Ended:
    """``code``: negative is a signal. ``output``: its standard output; ``words``: the end of its
    standard error, for the folded part of the screen."""

    code: int
    output: bytes
    words: str

    @property
    def was_killed(self) -> bool:
        """By a signal; bubblewrap says that as a shell does, 128 and its number.

        Codes above those are ffmpeg's own, since 6.0: the low byte of its error.
        """
        return self.code < 0 or 128 < self.code < 128 + signal.SIGRTMIN


@dataclass(frozen=True)
class Backend:
    """``reason``: why it is limits alone, as a sentence; empty if it isn't."""

    name: Literal["systemd", "bubblewrap", "limits"]
    reason: str = ""


class TookTooLong(ApplianceError):
    code = "took_too_long"


class Child(Protocol):
    """A program that runs. ``stdout`` and ``stderr`` are file descriptors to read from."""

    @property
    def stdout(self) -> int: ...

    @property
    def stderr(self) -> int: ...

    def poll(self) -> int | None:
        """Its code, once it has ended; negative is a signal."""

    def end(self) -> None:
        """End it, if it runs, with all that it started; nothing of it is left after this."""


def failed_to_start(words: str) -> JobFailed:
    return JobFailed(
        "The file could not be opened safely; that is a fault of this machine, not of the "
        "file. `appliance doctor` says more.",
        permanent=False,
        code="sandbox_failed",
        detail=words,
    )
