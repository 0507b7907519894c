"""Run a program on a file of a user: the one executor for ffmpeg and for the probe.

Two layers. Always: limits on memory, processor time, files and output, no new privileges, death
with the worker, a process group of its own, nice 10, an empty environment. Where bubblewrap works:
besides, no network, and a file system that holds nothing but the system's programs, the files
that were named and the job's folder. ``sandbox_backend`` says which (for `appliance doctor`).

An installed appliance gets a third backend, a systemd unit per job; it takes the same ``Command``.
Source: robustness.md R11, R16 to R18; bwrap(1); setrlimit(2).
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from appliance.errors import ApplianceError, JobFailed

if TYPE_CHECKING:
    from appliance.settings import Settings

LAUNCHER = Path(__file__).with_name("launch.py")
# A cancel has to reach the program within a second.
_LOOK_EVERY_S = 0.2
_WORDS_BYTES = 16 * 1024
_OUTPUT_BYTES = 4 * 1024**2

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

MIB = 1024**2

Feed = Callable[[IO[bytes], Callable[[], None]], None]


@dataclass(frozen=True)
class Limits:
    """What one program may use. ``file_bytes``: the largest file that it may write."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int
    open_files: int = 64

    def as_rlimits(self) -> dict[str, int]:
        return {
            "AS": self.memory_bytes,
            "CPU": self.cpu_s,
            "FSIZE": self.file_bytes,
            "NOFILE": self.open_files,
            "CORE": 0,
        }


@dataclass(frozen=True)
class Command:
    """``folder`` is where it runs and all that it may write; ``reads`` is all else that it sees.

    ``devices``: nodes of /dev that it may use (a hardware encoder's); none but the usual else.
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


@dataclass(frozen=True)
class Backend:
    """``reason``: why it is not bubblewrap, as a sentence; empty if it is."""

    name: Literal["bubblewrap", "limits"]
    reason: str = ""


class TookTooLong(ApplianceError):
    code = "took_too_long"


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
    settings doesn't work here.
    """
    argv = _wrapped(command, sandbox_backend(settings), settings)
    process = subprocess.Popen(
        [
            sys.executable,
            *("-I", "-S", str(LAUNCHER), str(os.getpid())),
            json.dumps(command.limits.as_rlimits()),
            *argv,
        ],
        cwd=command.folder,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C is for the worker; and all of it can be killed together
    )
    feeder = None if feed is None else _Feeder(process, feed)
    try:
        ended = _follow(process, feeder.watched(check) if feeder else check, timeout_s, on_line)
        if feeder is not None:
            feeder.finish()
    finally:
        _end(process)
        if feeder is not None:
            feeder.give_up()
    if ended.code != 0 and ended.words.startswith("bwrap: "):
        raise JobFailed(
            "The file could not be opened safely; that is a fault of this machine, not of the "
            "file. `appliance doctor` says more.",
            permanent=False,
            code="sandbox_failed",
            detail=ended.words,
        )
    return ended


class _Ended(Exception):
    """The program that was fed has ended; for its feeder."""


class _Feeder:
    """Fills the standard input of a program, beside whoever follows what it says."""

    def __init__(self, process: subprocess.Popen[bytes], feed: Feed) -> None:
        self._process, self._feed = process, feed
        self._over = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"feed-{process.pid}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self._process.stdin is not None
        try:
            self._feed(self._process.stdin, self._check)
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
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()


def _follow(
    process: subprocess.Popen[bytes],
    check: Callable[[], None],
    timeout_s: float | None,
    on_line: Callable[[str], None] | None,
) -> Ended:
    assert process.stdout and process.stderr
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    output, words = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
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
                elif key.fileobj is process.stderr:
                    words += data
                    del words[:-_WORDS_BYTES]
                elif on_line is not None:
                    output += data
                    _hand_on_lines(output, on_line)
                elif len(output) + len(data) > _OUTPUT_BYTES:
                    raise TookTooLong("It said more than there is room for.")
                else:
                    output += data
    while process.poll() is None:  # it closed its outputs and goes on: as patient as above
        check()
        if deadline_s is not None and time.monotonic() > deadline_s:
            raise TookTooLong(f"It took longer than {timeout_s:.0f} s.")
        time.sleep(0.01)
    return Ended(process.returncode, bytes(output), words.decode("utf-8", errors="replace"))


def _hand_on_lines(buffer: bytearray, on_line: Callable[[str], None]) -> None:
    *lines, rest = bytes(buffer[-65536:]).split(b"\n")
    buffer[:] = rest
    for line in lines:
        on_line(line.decode("utf-8", errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()  # not yet the leader of a group of its own
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def sandbox_backend(settings: Settings) -> Backend:
    """What programs that open users' files are held in, on this machine."""
    if settings.sandbox == "limits":
        return Backend("limits", "The setting `sandbox` asks for limits alone.")
    return _try_bubblewrap()


@cache
def _try_bubblewrap() -> Backend:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Backend("limits", "bubblewrap is not installed (`apt install bubblewrap`).")
    try:
        done = subprocess.run(
            [bwrap, *_system(), "/usr/bin/env", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Backend("limits", f"bubblewrap does not work here: {exc}.")
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return Backend("limits", f"bubblewrap does not work here: {words[-1] if words else ''}")
    return Backend("bubblewrap")


def _system() -> list[str]:
    """bwrap's options for a bare system: programs and libraries, and no network."""
    options = [
        *("--unshare-all", "--die-with-parent", "--cap-drop", "ALL"),
        *("--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--ro-bind-try", "/etc/alternatives", "/etc/alternatives"),  # libblas of Debian's ffmpeg
    ]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    return options


def _wrapped(command: Command, backend: Backend, settings: Settings) -> list[str]:
    if backend.name == "limits":
        if settings.sandbox == "bubblewrap":
            raise JobFailed(
                f"Files can't be opened safely. {backend.reason} "
                "An admin can mend that, or set `sandbox` to `auto`.",
                permanent=False,
                code="sandbox_missing",
            )
        return list(command.argv)
    options = _system()
    for path in command.reads:
        if not path.is_relative_to("/usr"):
            options += ["--ro-bind", str(path), str(path)]
    folder = str(command.folder)
    options += ["--bind", folder, folder, "--chdir", folder]
    for device in command.devices:
        options += ["--dev-bind-try", str(device), str(device)]
    return [shutil.which("bwrap") or "bwrap", *options, "--", *command.argv]


def python_reads() -> tuple[Path, ...]:
    """What a child that runs this Python has to see."""
    return tuple(sorted({Path(sys.prefix), Path(sys.base_prefix)}))
