"""Run a program on a file of a user: the one executor for ffmpeg and for the probe.

Always: limits on memory, processor time, files and output, a filter of system calls (no network,
no other programs), no new privileges, death with the worker, nice 10, an empty environment.
Where bubblewrap works: besides, a file system that holds nothing but the system's programs, the
files that were named and the job's folder. Installed: a systemd unit per job, which has a user of
its own besides (tasks/sandbox_unit.py). ``sandbox_backend`` says which (for `appliance doctor`).
Source: docs/decisions/0016-sandbox-unit-per-job.md; robustness.md R11, R16 to R18; bwrap(1).
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import IO, TYPE_CHECKING

from appliance.errors import JobFailed
from tasks import sandbox_unit
from tasks.sandbox_local import LocalChild, try_bubblewrap
from tasks.sandbox_types import (
    MIB,
    Backend,
    Child,
    Command,
    Ended,
    Feed,
    TookTooLong,
    failed_to_start,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings

# A cancel has to reach the program within a second.
_LOOK_EVERY_S = 0.2
_WORDS_BYTES = 16 * 1024
_OUTPUT_BYTES = 4 * 1024**2
# What one program may leave in its folder: so many files, and so often its largest file.
_MOST_FILES, _MOST_LARGEST = 1024, 4


def run(
    command: Command,
    settings: Settings,
    *,
    check: Callable[[], None],
    timeout_s: float | None = None,
    on_line: Callable[[str], None] | None = None,
    feed: Feed | None = None,
) -> Ended:
    """Run a program to its end.

    ``check`` is called five times a second and ends the program by raising; so does ``on_line``,
    which gets the lines of standard output one by one (they are not collected then).
    ``feed`` fills its standard input, in a thread: it is given the pipe, which it closes when that
    was all, and a check that raises when the program has ended. What ``feed`` itself raises ends
    the program before its input ends, and is raised here.
    Raises TookTooLong after ``timeout_s``; JobFailed when the sandbox that was asked for by the
    settings doesn't work here, or when the program left something that it couldn't have made.
    """
    backend = sandbox_backend(settings)
    if settings.sandbox not in ("auto", backend.name):
        raise JobFailed(
            f"Files can't be opened safely. {backend.reason} "
            "An admin can mend that, or set `sandbox` to `auto`.",
            permanent=False,
            code="sandbox_missing",
        )
    before = _look_around(command.folder)

    def check_all() -> None:
        check()
        _check_room(command, before)

    if backend.name == "systemd":
        with sandbox_unit.lent(command):
            ended = _run(
                lambda stdin: sandbox_unit.start(command, settings.sandbox_socket, stdin),
                *(check_all, timeout_s, on_line, feed),
            )
    else:
        ended = _run(
            lambda stdin: LocalChild(command, backend, stdin), check_all, timeout_s, on_line, feed
        )
    _inspect(command.folder, before)
    if ended.code != 0 and ended.words.startswith("bwrap: "):
        raise failed_to_start(ended.words)
    return ended


def _run(
    start: Callable[[int | None], Child],
    check: Callable[[], None],
    timeout_s: float | None,
    on_line: Callable[[str], None] | None,
    feed: Feed | None,
) -> Ended:
    reader, writer = (None, None) if feed is None else os.pipe()
    try:
        child = start(reader)
    except BaseException:
        if writer is not None:
            os.close(writer)
        raise
    finally:
        if reader is not None:
            os.close(reader)
    feeder = None
    try:
        if feed is not None and writer is not None:
            feeder = _Feeder(os.fdopen(writer, "wb"), feed)
        ended = _follow(child, feeder.watched(check) if feeder else check, timeout_s, on_line)
        if feeder is not None:
            feeder.finish()
        return ended
    finally:
        child.end()
        if feeder is not None:
            feeder.give_up()


class _Ended(Exception):
    """The program that was fed has ended; for its feeder."""


class _Feeder:
    """Fills the standard input of a program, beside whoever follows what it says."""

    def __init__(self, pipe: IO[bytes], feed: Feed) -> None:
        self._pipe, self._feed = pipe, feed
        self._over = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"feed-{pipe.fileno()}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._feed(self._pipe, self._check)
        except _Ended:
            pass
        except BaseException as exc:
            self._fault = exc  # the program is killed for it, in the other thread

    def _check(self) -> None:
        if self._over.is_set():
            raise _Ended

    def watched(self, check: Callable[[], None]) -> Callable[[], None]:
        """``check``, which also raises what has gone wrong here."""

        def both() -> None:
            check()
            if self._fault is not None:
                raise self._fault

        return both

    def finish(self) -> None:
        """The program has ended by itself. Raises what has gone wrong here."""
        self._over.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def give_up(self) -> None:
        """Only after the program is dead: its input must not seem to have ended."""
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._pipe.close()


def _follow(
    child: Child,
    check: Callable[[], None],
    timeout_s: float | None,
    on_line: Callable[[str], None] | None,
) -> Ended:
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    output, words = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        selector.register(child.stderr, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(_LOOK_EVERY_S)
            try:
                check()
            except JobFailed as exc:
                exc.detail = exc.detail or words.decode("utf-8", errors="replace")
                raise
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TookTooLong(f"It took longer than {timeout_s:.0f} s.")
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fd == child.stderr:
                    words += data
                    del words[:-_WORDS_BYTES]
                elif on_line is not None:
                    output += data
                    _hand_on_lines(output, on_line)
                elif len(output) + len(data) > _OUTPUT_BYTES:
                    raise TookTooLong("It said more than there is room for.")
                else:
                    output += data
    while (code := child.poll()) is None:  # it closed its outputs and goes on: as patient as above
        check()
        if deadline_s is not None and time.monotonic() > deadline_s:
            raise TookTooLong(f"It took longer than {timeout_s:.0f} s.")
        time.sleep(0.01)
    return Ended(code, bytes(output), words.decode("utf-8", errors="replace"))


def _hand_on_lines(buffer: bytearray, on_line: Callable[[str], None]) -> None:
    *lines, rest = bytes(buffer[-65536:]).split(b"\n")
    buffer[:] = rest
    for line in lines:
        on_line(line.decode("utf-8", errors="replace"))


# What is in a folder: the size on disk of each file, and where each link leads.
_Around = dict[str, int | str]


def _look_around(folder: Path) -> _Around:
    """Names that are neither files nor links have the size -1."""
    found: _Around = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
                if S_ISLNK(about.st_mode):
                    found[entry.name] = os.readlink(entry.path)
                else:
                    found[entry.name] = about.st_blocks * 512 if S_ISREG(about.st_mode) else -1
            except FileNotFoundError:
                continue  # renamed meanwhile
    return found


def _check_room(command: Command, before: _Around) -> None:
    """One file is limited by the kernel, all together here. Raises TookTooLong."""
    now = _look_around(command.folder)
    grown = sum(v for v in now.values() if isinstance(v, int)) - sum(
        v for v in before.values() if isinstance(v, int)
    )
    # A file system may set a little aside for each file.
    room = _MOST_LARGEST * command.limits.file_bytes + MIB
    if grown > room or len(now) - len(before) > _MOST_FILES:
        raise TookTooLong("It wrote more than there is room for.")


def _inspect(folder: Path, before: _Around) -> None:
    """We go on to read and move what is there, and would follow a link to anywhere.

    Raises JobFailed when there is more than files: only a decoder that was taken over does that.
    """
    for name, what in _look_around(folder).items():
        planted = isinstance(what, str) or what == -1
        if planted and before.get(name) != what:
            raise JobFailed(
                "The file made the program that opened it misbehave, so nothing of it was used. "
                "Don't open this file elsewhere; an admin should know where it came from.",
                permanent=True,
                code="sandbox_broken",
                detail=f"{name} in the folder of the job is neither a file nor was it there before",
            )


def sandbox_backend(settings: Settings) -> Backend:
    """What programs that open users' files are held in, on this machine."""
    if settings.sandbox == "limits":
        return Backend("limits", "The setting `sandbox` asks for limits alone.")
    if settings.sandbox in ("auto", "systemd"):
        if settings.sandbox_socket.is_socket():
            return Backend("systemd")
        if settings.sandbox == "systemd":
            return Backend("limits", f"There is no socket at {settings.sandbox_socket}.")
    return try_bubblewrap()


def python_reads() -> tuple[Path, ...]:
    """What a child that runs this Python has to see."""
    return tuple(sorted({Path(sys.prefix), Path(sys.base_prefix)}))
