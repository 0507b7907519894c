"""A small supervisor in the foreground: starts programs, shows their output, restarts them.

One thread and one ``select``, for two reasons: the children's death signal (below) is tied to the
thread that started them, and ``preexec_fn`` is only safe without other threads. Each child

- has a process group of its own, so that Ctrl-C reaches this process alone and it decides the
  order in which things stop;
- is killed by the kernel when this process dies, however it dies (PR_SET_PDEATHSIG), so that
  nothing is left that holds the port or the jobs. Source: prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
# A process that lived for so long before it died is not in a loop of dying.
SETTLED_AFTER_S = 3.0
# How long those that others need while they stop are kept.
KEEP_LAST_S = 10.0
LONGEST_LINE_BYTES = 64 * 1024

_PR_SET_PDEATHSIG = 1
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m")


@dataclass(frozen=True)
class Program:
    """What to run.

    ``stop_within_s``: what still runs so long after SIGTERM is killed. ``stops_last``: the others
    need it to stop well. ``tells_ready``: by sd_notify.
    """

    name: str
    command: Sequence[str]
    pass_fds: tuple[int, ...] = ()
    stop_within_s: float = 10.0
    stops_last: bool = False
    tells_ready: bool = False


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    rest: bytes = b""  # a line that has no end yet
    started_s: float = 0.0
    delay_s: float = 0.0
    start_at_s: float | None = 0.0  # None: it runs, or it is not to be started any more
    kill_at_s: float | None = None
    told_to_stop: bool = False


def next_delay(last_delay_s: float, lived_s: float) -> float:
    """How long to wait before a program that died is started again, in seconds."""
    if lived_s >= SETTLED_AFTER_S or last_delay_s == 0:
        return FIRST_DELAY_S
    return min(LONGEST_DELAY_S, last_delay_s * 2)


class Printer:
    """Writes lines with the name of their process before them; in colour on a terminal."""

    def __init__(self, names: Sequence[str], out: IO[str] | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self._width = max(map(len, names), default=0)
        self._colour = dict(zip(names, _COLOURS * len(names), strict=False))
        self._coloured = self._out.isatty() and "NO_COLOR" not in os.environ

    def line(self, name: str, text: str) -> None:
        prefix = f"{name:<{self._width}} | "
        if self._coloured:
            prefix = f"{self._colour.get(name, '')}{prefix}\x1b[0m"
        try:
            self._out.write(f"{prefix}{text}\n")
            self._out.flush()
        except (BrokenPipeError, ValueError):
            pass  # whoever read the log is gone; the work goes on


@dataclass
class Supervisor:
    """``run`` returns when everything has stopped. ``on_ready`` is called once, when the program
    that ``tells_ready`` does so for the first time."""

    programs: Sequence[Program]
    printer: Printer
    environ: Mapping[str, str]
    on_ready: Callable[[], None] = lambda: None
    keep_last_s: float = KEEP_LAST_S
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: int = 0  # how many times we were told to stop
    _stop_since_s: float | None = None
    _killed: bool = False
    _is_ready: bool = False
    _ready_name: str = ""
    _children: list[_Child] = field(default_factory=list)

    def run(self) -> int:
        """Until SIGINT, SIGTERM or SIGHUP; a second one kills. 0: all stopped as they should."""
        self._children = [_Child(program) for program in self.programs]
        with _woken_by_signals(self._on_signal) as wake, _ready_line() as (line, name):
            self._ready_name = name
            self._selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(4096))
            self._selector.register(line, selectors.EVENT_READ, lambda: self._hear(line.recv(4096)))
            try:
                while self._go_on():
                    for key, _ in self._selector.select(self._timeout_s()):
                        key.data()
            finally:
                self._kill_all()
                self._selector.close()
        return 1 if self._killed else 0

    def _go_on(self) -> bool:
        """What is due now; False when there is nothing left to wait for."""
        now_s = time.monotonic()
        if self._signals and self._stop_since_s is None:
            self._stop_since_s = now_s
            self.printer.line("up", "stopping; press Ctrl-C again to stop at once")
        if self._signals > 1:
            self._kill_all()
        if self._stop_since_s is not None:
            self._stop(now_s, self._stop_since_s)
        for child in self._children:
            if child.start_at_s is not None and child.start_at_s <= now_s:
                self._start(child)
        return self._stop_since_s is None or any(child.process for child in self._children)

    def _stop(self, now_s: float, since_s: float) -> None:
        for child in self._children:
            child.start_at_s = None
        others_run = any(c.process and not c.program.stops_last for c in self._children)
        for child in self._children:
            if child.process is None:
                continue
            kept = child.program.stops_last and others_run and now_s < since_s + self.keep_last_s
            if not child.told_to_stop and not kept:
                child.told_to_stop = True
                child.kill_at_s = now_s + child.program.stop_within_s
                child.process.terminate()
            elif child.kill_at_s is not None and child.kill_at_s <= now_s:
                child.kill_at_s = None
                self._killed = True
                self.printer.line(child.program.name, "did not stop in time and is killed")
                child.process.kill()

    def _timeout_s(self) -> float | None:
        due = [at for c in self._children for at in (c.start_at_s, c.kill_at_s) if at is not None]
        if self._stop_since_s is not None:
            due.append(self._stop_since_s + self.keep_last_s)
        now_s = time.monotonic()
        # keep_last_s may be over; what waits for it has been told to stop by then.
        later = [at for at in due if at > now_s]
        return min(later) - now_s if later else None

    def _start(self, child: _Child) -> None:
        program = child.program
        child.start_at_s, child.started_s = None, time.monotonic()
        environ = dict(self.environ)
        environ.pop("NOTIFY_SOCKET", None)  # ours, if systemd started us; not the children's
        if program.tells_ready:
            environ["NOTIFY_SOCKET"] = self._ready_name
        try:
            process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env=environ,
                pass_fds=program.pass_fds,
                process_group=0,
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as exc:
            self._start_later(child, f"can't be started ({exc.strerror})")
            return
        assert process.stdout is not None
        child.process, child.rest, child.told_to_stop = process, b"", False
        child.pidfd = os.pidfd_open(process.pid)
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(
            process.stdout, selectors.EVENT_READ, lambda: self._read(child, process)
        )
        self._selector.register(
            child.pidfd, selectors.EVENT_READ, lambda: self._bury(child, process)
        )

    def _read(self, child: _Child, process: subprocess.Popen[bytes]) -> bool:
        """Print what it wrote; False when there is no more at the moment."""
        assert process.stdout is not None
        if process.stdout.closed:
            return False  # buried in this very round
        chunk = process.stdout.read(65536)
        if not chunk:
            if chunk == b"":  # closed by the child, which may still run
                self._selector.unregister(process.stdout)
                process.stdout.close()
            return False
        *lines, child.rest = (child.rest + chunk).split(b"\n")
        if len(child.rest) > LONGEST_LINE_BYTES:
            lines, child.rest = [*lines, child.rest], b""
        for line in lines:
            self.printer.line(child.program.name, line.decode(errors="replace").rstrip("\r"))
        return True

    def _bury(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        """It has died: print its last words, and start it again unless we are stopping."""
        assert process.stdout is not None
        code = process.wait()
        # Not until the end of the pipe: a grandchild may hold it open. And not without a bound.
        for _ in range(1024):
            if not self._read(child, process):
                break
        if child.rest:
            self.printer.line(child.program.name, child.rest.decode(errors="replace"))
        if not process.stdout.closed:
            self._selector.unregister(process.stdout)
            process.stdout.close()
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.process, child.kill_at_s = None, None
        if self._stop_since_s is None and not self._signals:
            self._start_later(child, _how_it_ended(code))

    def _start_later(self, child: _Child, what: str) -> None:
        now_s = time.monotonic()
        child.delay_s = next_delay(child.delay_s, now_s - child.started_s)
        child.start_at_s = now_s + child.delay_s
        self.printer.line(child.program.name, f"{what}; it starts again in {child.delay_s:g} s")

    def _kill_all(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                self._killed = True
                child.process.kill()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _hear(self, message: bytes) -> None:
        if b"READY=1" in message.split(b"\n") and not self._is_ready:
            self._is_ready = True
            self.on_ready()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes its program."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before the line above

    return before_exec


@contextmanager
def _woken_by_signals(
    handler: Callable[[int, FrameType | None], None],
) -> Iterator[socket.socket]:
    """A socket that can be read when a signal has come: ``select`` alone would sleep on."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = {number: signal.signal(number, handler) for number in _STOPPING}
        wakeup_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, old in before.items():
                signal.signal(number, old)


@contextmanager
def _ready_line() -> Iterator[tuple[socket.socket, str]]:
    """A socket on which children say that they are ready, and its name for ``NOTIFY_SOCKET``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(b"")  # the kernel finds a free abstract name. Source: unix(7), Autobind.
        line.setblocking(False)
        yield line, "@" + line.getsockname()[1:].decode()
