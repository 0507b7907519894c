"""The supervisor, with real children: they start again, stop in order, and never outlive it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.supervisor import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    SETTLED_AFTER_S,
    Printer,
    next_delay,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]

# Children for the tests. Each appends what happens to it to a file of its own.
CHILD = """
import os, signal, sys, time
name, how = sys.argv[1:3]
def note(what):
    with open(name + ".log", "a") as file:
        file.write(f"{what} {os.getpid()} {time.monotonic()}\\n")
def stop(number, frame):
    note("stopped")
    sys.exit(0)
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, stop)
print("hello from", name)
print("its pid is", os.getpid(), file=sys.stderr)
note("started")
if how == "ready":
    from appliance.notify import notify
    notify("READY=1")
if how == "dies":
    sys.stdout.write("last words without an end of line")
    sys.exit(3)
if how == "lazy":
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), stop(0, None)))
while True:
    time.sleep(60)
"""

PARENT = """
import sys
from appliance.supervisor import Printer, Program, Supervisor
programs = [
    Program(
        name,
        [sys.executable, "child.py", name, how],
        stop_within_s=0.7 if how == "stubborn" else 10,
        stops_last=name == "last",
        tells_ready=how == "ready",
    )
    for name, how in (word.split("=") for word in sys.argv[1:])
]
import os
sys.exit(
    Supervisor(
        programs,
        Printer([program.name for program in programs]),
        environ=dict(os.environ),
        on_ready=lambda: print("READY", flush=True),
    ).run()
)
"""


def wait_for(what: str, look: Callable[[], object], *, seconds: float = 20) -> object:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.02)  # between two looks
    raise AssertionError(f"not within {seconds} s: {what}")


class Family:
    """A supervisor and its children, in a folder of their own."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.folder, self.names = folder, [word.split("=")[0] for word in programs]
        (folder / "child.py").write_text(CHILD)
        (folder / "parent.py").write_text(textwrap.dedent(PARENT))
        self.output = (folder / "output").open("w+")
        self.parent = subprocess.Popen(
            [sys.executable, "parent.py", *programs],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def notes(self, name: str, what: str) -> list[tuple[int, float]]:
        """For each time that ``what`` happened: pid and moment."""
        path = self.folder / f"{name}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split() for line in lines]
        return [(int(pid), float(at)) for word, pid, at in words if word == what]

    def wait_started(self) -> None:
        for name in self.names:
            wait_for(f"{name} starts", lambda name=name: self.notes(name, "started"))  # type: ignore[misc]

    def said(self) -> str:
        return (self.folder / "output").read_text()

    def pids(self) -> list[int]:
        return [pid for name in self.names for pid, _ in self.notes(name, "started")]


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    born: list[Family] = []

    def start(*programs: str) -> Family:
        born.append(Family(tmp_path, *programs))
        return born[-1]

    yield start
    for each in born:
        if each.parent.poll() is None:
            each.parent.kill()
        each.parent.wait()
        each.output.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_of_them_cleanly(
    family: Callable[..., Family], how: signal.Signals
) -> None:
    running = family("one=waits", "two=waits")
    running.wait_started()
    running.parent.send_signal(how)
    assert running.parent.wait(timeout=20) == 0
    assert [len(running.notes(name, "stopped")) for name in ("one", "two")] == [1, 1]
    assert not [pid for pid in running.pids() if runs(pid)]


def test_a_child_that_dies_is_started_again(family: Callable[..., Family]) -> None:
    running = family("one=waits", "two=waits")
    running.wait_started()
    ((first, _),) = running.notes("one", "started")
    os.kill(first, signal.SIGKILL)
    wait_for("it starts again", lambda: len(running.notes("one", "started")) == 2)
    assert running.notes("one", "started")[1][0] != first
    assert len(running.notes("two", "started")) == 1
    assert "was ended by SIGKILL; it starts again in 0.5 s" in running.said()


def test_a_child_that_always_dies_is_started_ever_more_seldom(
    family: Callable[..., Family],
) -> None:
    running = family("one=dies")
    wait_for("it has died three times", lambda: len(running.notes("one", "started")) >= 3)
    wait_for("the delay doubles", lambda: "it starts again in 1 s" in running.said())
    assert "one | last words without an end of line" in running.said()
    assert "ended with code 3" in running.said()


@pytest.mark.parametrize(
    ("last_s", "lived_s", "expected_s"),
    [
        (0, 0.1, FIRST_DELAY_S),
        (FIRST_DELAY_S, 0.1, 2 * FIRST_DELAY_S),
        (LONGEST_DELAY_S, 0.1, LONGEST_DELAY_S),
        (LONGEST_DELAY_S, SETTLED_AFTER_S, FIRST_DELAY_S),
    ],
)
def test_delays(last_s: float, lived_s: float, expected_s: float) -> None:
    assert next_delay(last_s, lived_s) == expected_s


def test_who_others_need_stops_after_them(family: Callable[..., Family]) -> None:
    running = family("last=waits", "one=lazy", "two=waits")
    running.wait_started()
    running.parent.send_signal(signal.SIGTERM)
    assert running.parent.wait(timeout=20) == 0
    moments = {name: running.notes(name, "stopped")[0][1] for name in running.names}
    assert moments["two"] < moments["one"] < moments["last"]


def test_who_does_not_stop_is_killed_and_that_is_told(family: Callable[..., Family]) -> None:
    running = family("one=stubborn", "two=waits")
    running.wait_started()
    running.parent.send_signal(signal.SIGTERM)
    assert running.parent.wait(timeout=20) == 1
    assert "did not stop in time and is killed" in running.said()
    assert not [pid for pid in running.pids() if runs(pid)]


def test_a_second_signal_stops_at_once(family: Callable[..., Family]) -> None:
    running = family("one=lazy", "two=stubborn")
    running.wait_started()
    running.parent.send_signal(signal.SIGINT)
    wait_for("it says so", lambda: "stopping" in running.said())
    running.parent.send_signal(signal.SIGINT)
    assert running.parent.wait(timeout=20) == 1
    assert not running.notes("two", "stopped")
    assert not [pid for pid in running.pids() if runs(pid)]


def test_no_child_outlives_it_even_when_it_is_killed(family: Callable[..., Family]) -> None:
    running = family("one=waits", "two=stubborn")
    running.wait_started()
    running.parent.kill()
    running.parent.wait()
    wait_for("they are gone", lambda: not [pid for pid in running.pids() if runs(pid)])
    assert not running.notes("one", "stopped")  # the kernel's doing: nothing was asked of them


def test_ready_is_heard_once_and_only_from_who_tells_it(family: Callable[..., Family]) -> None:
    running = family("web=ready", "one=waits")
    running.wait_started()
    wait_for("it is ready", lambda: "READY" in running.said())
    ((first, _),) = running.notes("web", "started")
    os.kill(first, signal.SIGKILL)
    wait_for("it starts again", lambda: len(running.notes("web", "started")) == 2)
    running.parent.send_signal(signal.SIGTERM)
    running.parent.wait(timeout=20)
    assert running.said().count("READY") == 1


def test_lines_carry_the_name_of_who_wrote_them(family: Callable[..., Family]) -> None:
    running = family("one=waits", "three=waits")
    running.wait_started()
    wait_for("both have spoken", lambda: running.said().count("its pid is") == 2)
    said = running.said()
    assert "one   | hello from one\n" in said
    assert "three | hello from three\n" in said
    assert "\x1b" not in said  # a file is no terminal


def test_on_a_terminal_names_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    printer = Printer(["web", "media"], terminal)
    printer.line("web", "a")
    printer.line("media", "b")
    web, media = terminal.getvalue().splitlines()
    assert web.startswith("\x1b[") and web.endswith("\x1b[0ma")
    assert web[:5] != media[:5]
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    Printer(["web"], plain).line("web", "a")
    assert plain.getvalue() == "web | a\n"
