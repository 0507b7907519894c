"""How long work takes on this box, learned from what it has done.

Each completed job leaves a sample: its amount of work (``Job.work``) and its seconds. A guess is
the range of seconds that such work took lately; it is narrowed by how far a running job is, and
widened by what runs and waits before one that hasn't begun. Functions that take rows want an open
connection; the others are pure.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from appliance import scheduling
from appliance.clock import now
from appliance.models import LIVE, QUEUED, Job, JobSample, Rendition, Video
from appliance.states import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from appliance.capacity import Machine

# Of each kind and profile; older ones are of another ffmpeg, another setting, another machine.
KEPT_SAMPLES = 200
# Work of like size tells most: what is much smaller is mostly the start of a program.
_ALIKE, _ENOUGH_ALIKE = 4.0, 3
# Far smaller work may still be told from, if it was more than the start of a program.
_FAR, _WORTH_S = 30.0, 2.0
# Until a job has come so far, its own pace says little against what is known of its kind.
_TELLS_AT = 0.3
# What is about to end may take so much longer, or shorter, than it looks.
_LEAST_SPREAD = 0.1


@dataclass(frozen=True)
class Range:
    """Seconds: at least (a quarter of such work is quicker), most likely, at most."""

    low_s: float
    likely_s: float
    high_s: float

    def __add__(self, other: Range) -> Range:
        return Range(
            self.low_s + other.low_s, self.likely_s + other.likely_s, self.high_s + other.high_s
        )

    def __mul__(self, factor: float) -> Range:
        return Range(self.low_s * factor, self.likely_s * factor, self.high_s * factor)


# What was learned


def record(job: Job, seconds: float, work: float) -> None:
    """``job`` has done ``work`` in ``seconds``. In the transaction that completes it."""
    profile = _profile_of(job)
    JobSample.create(kind=job.kind, profile=profile, work=work, seconds=round(seconds, 3))
    of_it = JobSample.kind == job.kind, JobSample.profile == profile
    newest = JobSample.select(JobSample.id).where(*of_it).order_by(JobSample.id.desc())
    JobSample.delete().where(*of_it, JobSample.id.not_in(newest.limit(KEPT_SAMPLES))).execute()


def work_of(job: Job) -> float:
    """How much there is to do."""
    return amount_of(job.kind, job.work, job.video.size_bytes if job.video is not None else None)


def amount_of(kind: str, work: float, size_bytes: int | None) -> float:
    """``work``, where it is known; of kinds whose amount of work nobody knows, one each."""
    if work > 0:
        return float(work)
    return float(max(1, size_bytes)) if kind == "probe" and size_bytes is not None else 1.0


def _profile_of(job: Job) -> str:
    return job.rendition.profile if job.rendition is not None else ""


def guess(kind: str, profile: str, work: float) -> Range | None:
    """How long ``work`` will take; None: nothing like it was done here yet."""
    return _Usual({kind}).of(kind, profile, work) if work > 0 else None


def learn_pace(samples: Sequence[tuple[float, float]], work: float) -> Range | None:
    """Seconds for each unit of work of about this amount, from (work, seconds) of jobs that have
    ended: the quartiles, wider if they are few. Pure."""
    chosen = _alike(samples, work)
    if not chosen:
        return None
    paces = sorted(seconds / amount for amount, seconds in chosen)
    if len(paces) == 1:
        first = middle = third = paces[0]
    else:
        first, middle, third = quantiles(paces, n=4, method="inclusive")
    doubt = 1.0 + 1.0 / len(paces)
    return Range(first / doubt, middle, third * doubt)


def _alike(samples: Sequence[tuple[float, float]], work: float) -> list[tuple[float, float]]:
    known = [(amount, seconds) for amount, seconds in samples if amount > 0 and work > 0]
    near = [s for s in known if 1 / _ALIKE <= work / s[0] <= _ALIKE]
    if len(near) >= _ENOUGH_ALIKE:
        return near
    return [s for s in known if 1 / _FAR <= work / s[0] <= _FAR or s[1] >= _WORTH_S]


# What is left


def left_of(usual: Range | None, elapsed_s: float, fraction: float) -> Range | None:
    """What is left of a running job: what is usual for it, and its own pace, the further the more.

    Pure. None: nobody can tell.
    """
    own = None
    if fraction > 0 and elapsed_s > 0:
        likely_s = elapsed_s * (1.0 - fraction) / fraction
        own = Range(likely_s * 0.75, likely_s, likely_s * 1.5)
    if usual is None:
        return own if fraction >= 0.02 else None
    usual = usual * (1.0 - fraction) if fraction > 0 else _after(usual, elapsed_s)
    if own is None:
        return usual
    weight = min(1.0, fraction / _TELLS_AT)
    likely_s = weight * own.likely_s + (1 - weight) * usual.likely_s
    # Both sides come nearer as the job gets on.
    spread = max(_LEAST_SPREAD, 1.0 - fraction)
    low_s = weight * own.low_s + (1 - weight) * min(usual.low_s, likely_s)
    high_s = weight * own.high_s + (1 - weight) * max(usual.high_s, likely_s)
    return Range(
        likely_s - (likely_s - min(low_s, likely_s)) * spread,
        likely_s,
        likely_s + (max(high_s, likely_s) - likely_s) * spread,
    )


def _after(usual: Range, elapsed_s: float) -> Range:
    """Of what says nothing of how far it is; what is overdue may take a quarter longer still."""
    overdue_s = elapsed_s * 0.25
    likely_s = max(usual.likely_s - elapsed_s, 0.0) or overdue_s
    return Range(
        max(usual.low_s - elapsed_s, 0.0), likely_s, max(usual.high_s - elapsed_s, likely_s)
    )


@dataclass(frozen=True)
class Ahead:
    """A live job of a queue. ``left``: seconds of work, None: nobody knows."""

    id: int
    left: Range | None
    running: bool = False


NOW = Range(0.0, 0.0, 0.0)


def in_line(line: Sequence[Ahead], lanes: int) -> dict[int, tuple[Range | None, Range | None]]:
    """(until it begins, until it has ended) of the jobs of one queue, by id.

    ``line``: in the order in which they are done, ``lanes`` at a time. What comes after one that
    nobody can tell about can't be told either, unless another lane is free before. Pure.
    """
    found: dict[int, tuple[Range | None, Range | None]] = {}
    ends: list[tuple[float, int, Range]] = []
    taken = 0
    for number, job in enumerate(line):
        start: Range | None = NOW
        if not job.running and taken >= lanes:
            start = heapq.heappop(ends)[2] if ends else None
        else:
            taken += 1
        end = start + job.left if start is not None and job.left is not None else None
        found[job.id] = (start, end)
        if end is not None:
            heapq.heappush(ends, (end.likely_s, number, end))
    return found


@dataclass(frozen=True)
class Forecast:
    """In seconds from now; None: nobody can tell. ``own``: the work of the job alone; ``starts``:
    until it begins; ``left``: until it has ended. ``place``: how many of its queue run or wait
    before it."""

    place: int
    own: Range | None
    starts: Range | None
    left: Range | None


@dataclass(frozen=True)
class _Live:
    """What is read of a live job: many are, for each page that shows one."""

    id: int
    queue: str
    kind: str
    state: JobState
    work: float
    progress: float
    started_at: datetime | None
    cores: float
    memory_mib: int
    profile: str | None
    size_bytes: int | None


def forecasts() -> dict[int, Forecast]:
    """Of the live jobs that make something and could begin now, by id; of long lines the first."""
    at, night = now(), scheduling.is_night()
    running = Job.select().where(Job.state == JobState.RUNNING).order_by(Job.id)
    lines = {}
    for queue in _QUEUES:
        due = scheduling.due_jobs(queue, night=night).limit(_MOST_LIVE)
        lines[queue] = [*_read(running.where(Job.queue == queue)), *_read(due)]
    usual = _Usual({job.kind for line in lines.values() for job in line})
    machine = scheduling.machine_here()
    found = {}
    for queue, line in lines.items():
        ahead = [_ahead(job, usual, at) for job in line]
        times = in_line(ahead, _lanes(queue, line, machine))
        for place, job_ahead in enumerate(ahead):
            starts, left = times[job_ahead.id]
            found[job_ahead.id] = Forecast(place, job_ahead.left, starts, left)
    return found


def place_of(job: Job) -> int:
    """How many of its queue run or wait before it, counted up to ``FAR``."""
    if job.state is not JobState.QUEUED:
        return 0
    running = Job.select().where(Job.queue == job.queue, Job.state == JobState.RUNNING).count()
    line = Job.select(Job.id).where(Job.queue == job.queue, QUEUED)
    sooner = line.where(Job.priority > job.priority).limit(FAR).count()
    alike = line.where(Job.priority == job.priority, Job.id < job.id).limit(FAR).count()
    return int(min(FAR, running + sooner + alike))


def _read(jobs: Any) -> list[_Live]:
    rows = (
        jobs.select(
            *(Job.id, Job.queue, Job.kind, Job.state, Job.work, Job.progress),
            *(Job.started_at, Job.cores, Job.memory_mib, Rendition.profile, Video.size_bytes),
        )
        .left_outer_join(Rendition)
        .switch(Job)
        .left_outer_join(Video)
        .tuples()
    )
    return [_Live(*row) for row in rows]


def ready_range(
    video: Video, profile: str = "social", *, soon: Mapping[int, Forecast] | None = None
) -> tuple[datetime, datetime] | None:
    """When that version of it will be there, at the earliest and at the latest.

    None: it is there, nothing makes it, or nobody can tell. ``soon``: the forecasts, if they were
    made a moment ago.
    """
    job = (
        Job.select(Job.id)
        .join(Rendition)
        .where(
            Job.video == video,
            LIVE,
            Rendition.profile == profile,
            Rendition.ready_at.is_null(),
        )
        .order_by(Job.state.desc())
        .first()
    )
    if job is None:
        return None
    forecast = (forecasts() if soon is None else soon).get(job.id)
    if forecast is None or forecast.left is None:
        return None
    at = now()
    return at + timedelta(seconds=forecast.left.low_s), at + timedelta(seconds=forecast.left.high_s)


# The others make nothing, or wait for their hour.
_QUEUES = ("quick", "media")
# A longer line than this is said by its length alone.
_MOST_LIVE = 300
# Nobody counts the line further than this.
FAR = 1000
# As many short jobs at a time as the quick worker has threads (tasks/queue.py).
_QUICK_LANES = 2


def _lanes(queue: str, line: Sequence[_Live], machine: Machine | None) -> int:
    """How many of the line are worked on at a time: those that run, or that there is room for.

    ``machine``: what the media worker has; None: nobody knows, so one after the other.
    """
    running = sum(job.state is JobState.RUNNING for job in line)
    if queue != "media":
        return max(_QUICK_LANES, running)
    if machine is None or not line:
        return max(1, running)
    cores = max(1.0, sum(job.cores for job in line) / len(line))
    memory_mib = max(1.0, sum(job.memory_mib for job in line) / len(line))
    return max(1, running, int(min(machine.cores // cores, machine.memory_mib // memory_mib)))


def _ahead(job: _Live, usual: _Usual, at: datetime) -> Ahead:
    work = amount_of(job.kind, job.work, job.size_bytes)
    expected = usual.of(job.kind, job.profile or "", work)
    if job.state is not JobState.RUNNING:
        return Ahead(job.id, expected)
    elapsed_s = max(0.0, (at - job.started_at).total_seconds()) if job.started_at else 0.0
    return Ahead(job.id, left_of(expected, elapsed_s, job.progress), running=True)


class _Usual:
    """The samples of some kinds, read once; of like amounts of work the pace is found once."""

    def __init__(self, kinds: set[str]) -> None:
        self._samples: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        self._paces: dict[tuple[str, str, int], Range | None] = {}
        columns = JobSample.kind, JobSample.profile, JobSample.work, JobSample.seconds
        rows: Any = JobSample.select(*columns).where(JobSample.kind.in_(kinds)).tuples()
        for kind, profile, work, seconds in rows if kinds else ():
            self._samples[kind, profile].append((work, seconds))

    def of(self, kind: str, profile: str, work: float) -> Range | None:
        like = kind, profile, round(2 * math.log2(work))
        if like not in self._paces:
            self._paces[like] = learn_pace(self._samples[kind, profile], work)
        pace = self._paces[like]
        return None if pace is None else pace * work
