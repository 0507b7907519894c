"""Hands and eyes on a box where the units are installed; nothing but the standard library."""

from __future__ import annotations

import base64
import ctypes
import http.client
import os
import re
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CURRENT = Path("/opt/appliance/current/bin")
DATA = Path("/var/lib/appliance")
WEB_SOCKET = "/run/appliance/web.sock"
RUNTIME = Path("/run/systemd/system")
WORKERS = tuple(f"appliance-worker@{name}" for name in ("media", "quick", "delivery"))
SERVICES = ("appliance-web", *WORKERS)
STAY_UP = [f"{name}.service" for name in SERVICES]
STAY_UP += ["appliance.target", "appliance-web.socket", "appliance-sandbox.socket"]
STAY_UP += [f"appliance-{name}.timer" for name in ("backup", "backup-drill", "cleanup", "watch")]


def run(*words: str, check: bool = True, **options: Any) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, **options)
    assert not check or done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def systemctl(*words: str) -> None:
    run("systemctl", *words)


def show(unit: str, name: str) -> str:
    return run("systemctl", "show", "--property", name, "--value", unit).strip()


def pid_of(unit: str) -> int:
    """0: it doesn't run."""
    return int(show(unit, "MainPID"))


def journal(*words: str) -> str:
    run("journalctl", "--sync")
    return run("journalctl", "--no-pager", "--quiet", *words)


def appliance(*words: str, given: str | None = None) -> str:
    """A command of the box, as its own user."""
    environ = {"APPLIANCE_CONFIG": "/etc/appliance/appliance.toml", "PATH": os.environ["PATH"]}
    as_user = ("runuser", "-u", "appliance", "--")
    return run(*as_user, str(CURRENT / "appliance"), *words, env=environ, input=given, cwd="/")


def wait_for(what: str, look: Callable[[], Any], *, seconds: float = 30) -> Any:
    give_up_s = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up_s, f"waited {seconds} s: {what}"
        time.sleep(0.05)
    return found


def ask(path: str) -> int:
    """The status of an answer over the socket; OSError and HTTPException as they come."""
    line = http.client.HTTPConnection("localhost", timeout=60)
    line.sock = socket.socket(socket.AF_UNIX)
    try:
        line.sock.settimeout(60)
        line.sock.connect(WEB_SOCKET)
        line.request("GET", path, headers={"Connection": "close"})
        answer = line.getresponse()
        answer.read()
        return answer.status
    finally:
        line.close()


def web_answers() -> bool:
    return ask("/health/live") == 200


class Requests:
    """Requests one after another, from several threads, while the body runs."""

    def __init__(self, threads: int = 3) -> None:
        self.answered = 0
        self.longest_s = 0.0
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._locks = [threading.Lock() for _ in range(threads)]
        self._threads = [threading.Thread(target=self._go, args=(lock,)) for lock in self._locks]

    def __enter__(self) -> Requests:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def __str__(self) -> str:
        return (
            f"{self.answered} answered, {len(self.failures)} failed, the longest took "
            f"{self.longest_s:.2f} s"
        )

    def wait_for_more(self, count: int = 30) -> None:
        wanted = self.answered + count
        wait_for("more answers", lambda: self.answered >= wanted or self.failures, seconds=90)

    @contextmanager
    def between(self) -> Iterator[None]:
        """No request is under way in the body."""
        for lock in self._locks:
            lock.acquire()
        try:
            yield
        finally:
            for lock in self._locks:
                lock.release()

    def _go(self, lock: threading.Lock) -> None:
        while not self._ended.is_set():
            with lock:
                began_s = time.monotonic()
                try:
                    status = ask("/health/live")
                except (OSError, http.client.HTTPException) as exc:
                    self.failures.append(repr(exc))
                else:
                    if status != 200:
                        self.failures.append(str(status))
                    self.answered += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
            time.sleep(0.002)  # so that `between` gets its turn


@contextmanager
def drop_in(units: Sequence[str], text: str) -> Iterator[None]:
    """A drop-in for as long as the body runs; whoever needs it starts the services anew."""
    places = [RUNTIME / f"{unit}.d/90-test.conf" for unit in units]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    systemctl("daemon-reload")
    try:
        yield
    finally:
        for place in places:
            place.unlink()
        systemctl("daemon-reload")


@contextmanager
def held_main_thread(pid: int) -> Iterator[None]:
    """The first thread of a process stands still, all others go on.

    Source: ptrace(2), PTRACE_SEIZE and PTRACE_INTERRUPT.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (0x4206, 0x4207):
        if libc.ptrace(request, pid, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace of {pid}")
    # Its parent hears of its end only after we, who trace it, have.
    reaper = threading.Thread(target=_wait_for_end, args=(pid,), daemon=True)
    reaper.start()
    try:
        yield
    finally:
        libc.ptrace(17, pid, 0, 0)  # PTRACE_DETACH; one that is gone is no matter


def _wait_for_end(pid: int) -> None:
    all_kinds = 0x40000000  # __WALL
    try:
        while os.WIFSTOPPED(os.waitpid(pid, all_kinds)[1]):
            pass
    except ChildProcessError:
        pass  # no longer traced


PROLOGUE = """
import ctypes, mmap, os, socket, subprocess
dll = ctypes.CDLL(None, use_errno=True)
def libc(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
def connect(host, port):
    socket.create_connection((host, port), 2).close()
def run_from(path):
    with open(path, "w") as file:
        file.write("#!/bin/sh\\n")
    os.chmod(path, 0o700)
    subprocess.run([path], check=True)
def attempt(what, do):
    try:
        do()
    except Exception as exc:
        print("no", what, type(exc).__name__, flush=True)
    else:
        print("YES", what, flush=True)
"""


def probe(unit: str, code: str) -> tuple[set[str], dict[str, str]]:
    """Run ``code`` (calls of ``attempt``) as ``unit`` would run: its files and drop-ins, another
    program. What could be done; what couldn't, and the error."""
    name = f"appliance-probe{os.getpid()}"
    out = Path(f"/run/{name}")
    instance = re.sub(r".*@|\..*", "", unit)
    program = base64.b64encode((PROLOGUE + code).encode()).decode()
    text = run("systemctl", "cat", unit).replace("%i", instance)
    place = RUNTIME / f"{name}.service"
    place.write_text(f"""{text}
[Unit]
CollectMode=inactive-or-failed
[Service]
Type=oneshot
WatchdogSec=0
Restart=no
StandardInput=null
StandardOutput=truncate:{out}
ExecStart=
ExecStart={CURRENT}/python -I -c "import base64; exec(base64.b64decode('{program}'))"
""")
    try:
        systemctl("daemon-reload")
        systemctl("start", place.name)
        lines = [line.split(" ", 1) for line in out.read_text().splitlines()]
    finally:
        place.unlink()
        out.unlink(missing_ok=True)
        systemctl("daemon-reload")
    failed = dict(line.rsplit(" ", 1) for verdict, line in lines if verdict == "no")
    return {line for verdict, line in lines if verdict == "YES"}, failed


@contextmanager
def canary(host: str) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
    """Somebody who listens, and an address to reach it at; it must hear nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        server.setblocking(False)
        yield server, (host, server.getsockname()[1])


def has_heard(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def pss_kib(pid: int) -> int:
    """What a process takes, shared memory in parts. Source: proc(5), smaps_rollup."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1])
