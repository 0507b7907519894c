"""What a server costs while it takes uploads: processor, memory, and how long its pages take."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.uploads.sender import Load

GIB = 1 << 30
MIB = 1 << 20
ROOT = Path(__file__).parent.parent.parent
_LOOK_EVERY_S = 0.05
_HZ = os.sysconf("SC_CLK_TCK")


@dataclass
class Result:
    """Of one load. ``cpu_s_per_gib``: of the server's processes. ``peak_mib``: resident, in sum;
    ``growth_mib``: against just before. ``pages``: milliseconds of each answer, by path."""

    mb_per_s: float
    cpu_s_per_gib: float
    peak_mib: float = 0.0
    growth_mib: float = 0.0
    pages: dict[str, list[float]] = field(default_factory=dict)
    sender_cpu_s_per_gib: float = 0.0


def family(pid: int) -> list[int]:
    """A process and its children. Source: proc(5)."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_s(pids: list[int]) -> float:
    """User and system time, children that have ended included."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _HZ


def memory_mib(pids: list[int], what: str) -> float:
    """``what``: VmRSS (now) or VmHWM (the most since ``forget_peak``)."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith(what))
    return total / 1024


def forget_peak(pids: list[int]) -> None:
    """Source: proc(5), clear_refs, value 5."""
    for pid in pids:
        with suppress(PermissionError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


class Visitor(threading.Thread):
    """Asks for pages as a person's browser would, again and again, on connections kept open."""

    def __init__(self, target: str, paths: list[str], headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.paths, self.headers = paths, headers
        self.times_ms: dict[str, list[float]] = {path: [] for path in paths}
        self._target = target
        self._done = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._target, timeout=60)
        while not self._done.is_set():
            for path in self.paths:
                began = time.perf_counter()
                connection.request("GET", path, headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                self.times_ms[path].append((time.perf_counter() - began) * 1000)
                if answer.status != 200:
                    raise SystemExit(f"{path} answered {answer.status}")
            self._done.wait(_LOOK_EVERY_S)

    def stop(self) -> dict[str, list[float]]:
        self._done.set()
        self.join()
        return self.times_ms


def p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1] if len(times) > 1 else float("nan")


def measure(load: Load, servers: list[int], visitor: Visitor | None = None) -> Result:
    """Run the load against these processes (none: the disk, so the sender is what costs)."""
    sender = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.uploads.sender", load.to_json()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sender.stdin is not None
    pids = [pid for server in servers for pid in family(server)]
    forget_peak(pids)
    resting, cpu_before = memory_mib(pids, "VmRSS"), cpu_s(pids)
    if visitor is not None:
        visitor.start()
    output, _ = sender.communicate("go\n")
    cpu = cpu_s(pids) - cpu_before
    pages = visitor.stop() if visitor is not None else {}
    if sender.returncode:
        raise SystemExit(f"The sender failed with {load}.")
    sent: dict[str, float] = json.loads(output)
    gib = load.clients * load.bytes_each / GIB
    peak = memory_mib(pids, "VmHWM")
    return Result(
        mb_per_s=gib * GIB / 1e6 / sent["seconds"],
        cpu_s_per_gib=(cpu if pids else sent["cpu_s"]) / gib,
        peak_mib=peak,
        growth_mib=peak - resting,
        pages=pages,
        sender_cpu_s_per_gib=sent["cpu_s"] / gib,
    )
