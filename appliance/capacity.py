"""What the machine carries, and which job may begin: the deciders of the scheduler.

One machine has one budget of cores and memory for the costly work of all its queues (encodes
above all). What is short and waited for costs no cores, begins at once and lives off what is
left for the system. docs/scheduling.md tells it in words.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.models import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.settings import Settings

_MIB = 1024**2
# Left for the web process, the database's cache and the short jobs.
_RESERVE_MIB, _RESERVE_SHARE = 256, 0.1
_LEAST_MEMORY_MIB = 256
# So many jobs that come later may begin before one that needs more room than there is now.
MOST_OVERTAKEN = 4
# A running job may be stopped for people so often; then it stays.
MOST_MADE_WAY = 2
_A_LITTLE = 1e-6  # of sums of fractions


@dataclass(frozen=True)
class Machine:
    """What costly work may take in sum: processors (parts of one count), and memory."""

    cores: float
    memory_mib: int


@dataclass(frozen=True)
class Running:
    """A running job of this machine. ``background``: nobody waits for it in person."""

    id: int
    cores: float
    memory_mib: int
    priority: int = int(Priority.NORMAL)
    background: bool = False
    progress: float = 0.0
    made_way: int = 0


@dataclass(frozen=True)
class Due:
    """A job that may begin. ``overtaken``: how many later ones have begun since it may."""

    id: int
    cores: float
    memory_mib: int
    priority: int = int(Priority.NORMAL)
    overtaken: int = 0


def fits(job: Due | Running, running: Sequence[Running], machine: Machine) -> bool:
    """Whether it can begin beside what runs. What is larger than the machine fits alone."""
    if job.cores <= 0:
        return True
    cores = sum(other.cores for other in running)
    memory_mib = sum(other.memory_mib for other in running if other.cores > 0)
    return (
        cores + min(job.cores, machine.cores) <= machine.cores + _A_LITTLE
        and memory_mib + min(job.memory_mib, machine.memory_mib) <= machine.memory_mib
    )


def choose(due: Sequence[Due], running: Sequence[Running], machine: Machine) -> Due | None:
    """The job to begin now, of those that are due, the best first; None: there is no room.

    Smaller ones may go ahead of one that doesn't fit, but not for ever: when it was overtaken
    ``MOST_OVERTAKEN`` times, or people wait for it, what becomes free is kept for it.
    """
    for job in due:
        if fits(job, running, machine):
            return job
        if job.priority >= Priority.HIGH or job.overtaken >= MOST_OVERTAKEN:
            return next((other for other in due if other.cores <= 0), None)
    return None


def who_makes_way(first: Due, running: Sequence[Running], machine: Machine) -> frozenset[int]:
    """The ids of the running jobs that should be stopped for ``first``, the first that waits.

    Only work in the background that is less than half done, for more urgent work, when that could
    begin then and couldn't otherwise: as few jobs as will do, and of as many those that lose
    least. Whoever asks, the answer is the same.
    """
    if first.priority < Priority.SOON or fits(first, running, machine):
        return frozenset()
    may = [job for job in running if _may_be_stopped(job, first)]
    # The room of the one that stops first is kept only for what people wait for (``choose``).
    most = len(may) if first.priority >= Priority.HIGH else min(1, len(may))
    for count in range(1, most + 1):
        enough = [
            group
            for group in combinations(may, count)
            if fits(first, [job for job in running if job not in group], machine)
        ]
        if enough:
            return frozenset(job.id for job in min(enough, key=_what_is_lost))
    return frozenset()


def _may_be_stopped(job: Running, first: Due) -> bool:
    early = job.progress < 0.5 and job.made_way < MOST_MADE_WAY
    return job.background and job.cores > 0 and early and first.priority > job.priority


def _what_is_lost(group: Sequence[Running]) -> tuple[float, list[int]]:
    return sum(job.cores * job.progress for job in group), sorted(job.id for job in group)


def machine_of(settings: Settings) -> Machine:
    """What this process' machine carries, by the settings; measured once, at the first call."""
    measured = _measure()
    return Machine(
        cores=settings.encode_cores or measured.cores,
        memory_mib=(
            settings.encode_memory // _MIB if settings.encode_memory else measured.memory_mib
        ),
    )


def thread_count(machine: Machine) -> int:
    """As many costly jobs as could ever run at a time: each takes a core or more."""
    return max(1, min(MOST_THREADS, int(machine.cores)))


MOST_THREADS = 16


@cache
def _measure() -> Machine:
    return judge(
        affinity=len(os.sched_getaffinity(0)),
        quota=cpu_quota(_own_group("cpu.max")),
        available_mib=_available_mib(Path("/proc/meminfo").read_text()),
        limit_mib=_limit_mib(),
    )


def judge(
    *, affinity: int, quota: float | None, available_mib: int, limit_mib: int | None
) -> Machine:
    """``quota`` and ``limit_mib``: of the control group; None: it has none."""
    room_mib = available_mib if limit_mib is None else min(available_mib, limit_mib)
    reserve_mib = max(_RESERVE_MIB, round(room_mib * _RESERVE_SHARE))
    return Machine(
        cores=float(affinity) if quota is None else min(float(affinity), quota),
        memory_mib=max(_LEAST_MEMORY_MIB, room_mib - reserve_mib),
    )


def cpu_quota(text: str | None) -> float | None:
    """The processors that ``cpu.max`` allows: "200000 100000" is two; "max …" and nothing: all.

    Source: kernel.org, Documentation/admin-guide/cgroup-v2.rst.
    """
    allowed, _, period = (text or "").partition(" ")
    if not allowed.isdecimal() or not period.strip().isdecimal():
        return None
    return int(allowed) / int(period)


def _own_group(name: str) -> str | None:
    """A file of this process' control group (version 2); None: there is none."""
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return Path("/sys/fs/cgroup", line[3:].lstrip("/"), name).read_text()
    except OSError:
        pass
    return None


def _limit_mib() -> int | None:
    """What ``memory.max`` leaves beside what the group holds already."""
    limit, held = _own_group("memory.max"), _own_group("memory.current")
    if limit is None or not limit.strip().isdecimal():
        return None
    current = int(held) if held is not None and held.strip().isdecimal() else 0
    return max(0, int(limit) - current) // _MIB


def _available_mib(meminfo: str) -> int:
    sizes = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in meminfo.splitlines())
        if rest.split() and rest.split()[0].isdecimal()
    }
    return sizes.get("MemAvailable", sizes.get("MemFree", 0)) // 1024
