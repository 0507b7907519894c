"""Jobs as the pages show them: loaded dataclasses, see web/rows.py for the rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from peewee import fn

from appliance import access, job_history, job_stats, scheduling
from appliance.clock import boot_id, boottime_s, now
from appliance.job_kinds import KINDS
from appliance.job_log import Ending
from appliance.models import Heartbeat, Job, JobRun, Post, Priority, Role, User, Video
from appliance.states import JOB_ENDED, JobState
from tasks import many_jobs
from tasks.retrying import may_help
from tasks.runner import WAITING_FOR_SPACE
from web import progress, words
from web.progress import Progress
from web.rows import work_of
from web.words import Badge, _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peewee import ModelSelect

    from appliance.job_history import Forecast

# A worker beats every few seconds; silent for so long, it is gone.
SILENT_S = 60.0
WORKERS = {
    "worker-media": "New videos wait to be encoded.",
    "worker-quick": "New videos wait to be checked.",
    "worker-delivery": "Posts wait.",
}

STATES: dict[str, tuple[JobState, ...]] = {
    "": tuple(JobState),
    "running": (JobState.RUNNING,),
    "waiting": (JobState.QUEUED,),
    "failed": (JobState.FAILED,),
    "done": (JobState.COMPLETED, JobState.CANCELLED),
}


@dataclass(frozen=True)
class WantedJobs:
    """What somebody wants to see of the list. ``show``: a key of STATES; ``video``: an id;
    ``words``: of the video's title; ``mine``: of videos and posts of this person."""

    show: str = ""
    kind: str = ""
    words: str = ""
    video: str = ""
    mine: bool = False

    @classmethod
    def of(cls, show: str, kind: str, words: str, video: str, mine: str) -> WantedJobs:
        """From an address; what makes no sense is left out."""
        return cls(
            show=show if show in STATES else "",
            kind=kind if kind in KINDS else "",
            words=" ".join(words.split())[:200],
            video=video[:40],
            mine=mine == "1",
        )

    @property
    def narrowed(self) -> bool:
        """By more than the state."""
        return bool(self.kind or self.words or self.video or self.mine)

    def url(self, path: str = "/jobs", before: str = "", **changes: Any) -> str:
        wanted = replace(self, **changes)
        fields = {
            "show": wanted.show,
            "kind": wanted.kind,
            "q": wanted.words,
            "video": wanted.video,
            "mine": "1" if wanted.mine else "",
            "before": before,
        }
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"{path}?{query}" if query else path

    def query(self, user: User) -> ModelSelect[Job]:
        """With the video joined."""
        found = access.visible_jobs(user).where(Job.state.in_(STATES[self.show]))
        if self.kind:
            found = found.where(Job.kind == self.kind)
        for word in self.words.split():
            found = found.where(Video.title.contains(word))
        if self.video:
            found = found.where(Video.public_id == self.video)
        if self.mine:
            posts = Post.select(Post.id).where(Post.author == user)
            found = found.where((Video.owner == user) | Job.post.in_(posts))
        return found


@dataclass(frozen=True)
class RunRow:
    """One try. ``where``: how far it came, "" if that says nothing."""

    badge: Badge
    worker: str
    started_at: datetime
    took_s: float | None
    where: str
    error: str
    detail: str


_ENDINGS: dict[str, tuple[str, str, str]] = {
    "": ("info", "spinner", "Running"),
    Ending.COMPLETED: ("ok", "check", "Done"),
    Ending.FAILED: ("bad", "alert", "Failed"),
    Ending.RETRIED: ("warn", "retry", "Failed, tried again"),
    Ending.STALLED: ("warn", "pause", "Stood still, ended"),
    Ending.CANCELLED: ("neutral", "x", "Cancelled"),
    Ending.PUT_BACK: ("neutral", "clock", "Too early, put back"),
    Ending.MADE_WAY: ("neutral", "clock", "Made way for others"),
    Ending.STOPPED: ("neutral", "pause", "Worker was stopped"),
    Ending.LOST: ("warn", "alert", "Worker was lost"),
}


def load_runs(job: Job) -> list[RunRow]:
    """The tries of a job, the newest first."""
    rows = JobRun.select().where(JobRun.job == job.id).order_by(JobRun.id.desc())
    return [_run_row(run) for run in rows]


def _run_row(run: JobRun) -> RunRow:
    tone, icon, word = _ENDINGS[run.outcome]
    where = ""
    if run.stage and run.outcome != Ending.COMPLETED:
        where = f"{_(run.stage)}, {words.percent(run.progress)}" if run.progress else _(run.stage)
    return RunRow(
        badge=Badge(run.outcome or "running", tone, icon, _(word), spins=icon == "spinner"),
        worker=worker_name(run.worker),
        started_at=run.started_at,
        took_s=_seconds(run.started_at, run.ended_at or now()),
        where=where,
        error=run.error or "",
        detail=run.detail or "",
    )


def worker_name(owner: str) -> str:
    """ "media, process 4711", from the name that a worker claims by ("media:4711:…")."""
    name, _colon, rest = owner.partition(":")
    process = rest.partition(":")[0]
    return _("{name}, process {number}", name=name, number=process) if process else name


@dataclass(frozen=True)
class JobRow:
    """A job in the list, and on its own page. ``waits``: what one in line waits for, and when it
    may be there."""

    id: str
    kind: str
    label: str
    badge: Badge
    state: JobState
    video_id: str
    subject: str
    subject_url: str
    progress: Progress | None
    waits: str
    tries: str
    priority: str
    queue: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_after: datetime | None
    took_s: float | None
    error: str
    detail: str
    may_retry: bool
    may_help: bool
    may_cancel: bool
    cancelling: bool
    crashes: int
    stalls: int
    usual: str
    """How long such work usually takes here."""
    only_at_night: bool

    @classmethod
    def of(
        cls, user: User, job: Job, forecast: Forecast | None = None, *, night: bool = False
    ) -> JobRow:
        """``job`` with its video joined. ``night``: it is, so nothing waits for it."""
        video: Video | None = job.video if job.video_id else None
        may_change = access.at_least(user, Role.EDITOR)
        ended = job.state in JOB_ENDED
        later = job.run_after if job.run_after is not None and job.run_after > now() else None
        queued, running = job.state is JobState.QUEUED, job.state is JobState.RUNNING
        end = job.finished_at if ended else now()
        # ``attempts`` counts errors; a try that is under way or went well is one more.
        tries = min(job.attempts + (job.state is not JobState.FAILED), job.max_attempts)
        work = work_of(job, forecast, night=night)
        later_tonight = work.only_at_night and queued
        own = forecast.own if forecast is not None and queued else None
        return cls(
            id=job.public_id,
            kind=job.kind,
            label=_(KINDS[job.kind].label),
            badge=_badge(job, only_at_night=later_tonight),
            state=job.state,
            video_id=video.public_id if video else "",
            subject=video.title if video else "",
            subject_url=f"/videos/{video.public_id}" if video else "",
            progress=progress.of_work(work) if running else None,
            waits=progress.of_work(work).words
            if queued and not later and job.queue != "delivery"
            else "",
            tries=str(tries) if ended else _("{n} of {most}", n=tries, most=job.max_attempts),
            priority=_priority_word(job.priority),
            queue=job.queue,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            run_after=later if queued else None,
            took_s=_seconds(job.started_at, end) if not queued else None,
            error=job.error or "",
            detail=job.detail or "",
            may_retry=may_change and job.state in (JobState.FAILED, JobState.CANCELLED),
            may_help=may_help(job.kind, job.error_code),
            may_cancel=may_change and not ended and not job.cancel_requested,
            cancelling=job.cancel_requested and not ended,
            crashes=job.crashes,
            stalls=job.stalls,
            usual=words.time_between(own.low_s, own.high_s) if own is not None else "",
            only_at_night=later_tonight,
        )


def _badge(job: Job, *, only_at_night: bool) -> Badge:
    """Its state; of one in line that can't begin yet, why not."""
    if job.state is JobState.QUEUED:
        if job.stage == WAITING_FOR_SPACE:
            return Badge("space", "warn", "clock", _("Waiting for space"))
        if job.attempts > 0:
            return Badge("retrying", "warn", "retry", _("Retrying"))
        if only_at_night:
            return Badge("night", "neutral", "clock", _("Waits for the night"))
    return words.badge(job.state)


def load_jobs(user: User, rows: Sequence[Job]) -> list[JobRow]:
    """Rows for jobs in hand (with their videos joined), in their order."""
    alive = any(job.state not in JOB_ENDED for job in rows)
    soon, night = (job_history.forecasts(), scheduling.is_night()) if alive else ({}, False)
    return [JobRow.of(user, job, soon.get(job.id), night=night) for job in rows]


def _seconds(began: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - began).total_seconds()) if began and end else None


def _priority_word(priority: int) -> str:
    if priority >= Priority.HIGH:
        return _("High")
    return _("Normal") if priority >= Priority.NORMAL else _("Low")


@dataclass(frozen=True)
class JobCounts:
    """``hopeful``: how many of the failed ones another try may help; ``cancellable``: how many
    wait that one press cancels. All up to ``COUNTED``; more are told as ``COUNTED`` + 1."""

    running: int
    waiting: int
    failed: int
    hopeful: int
    cancellable: int
    done_today: int

    def told(self, number: int) -> str:
        """ "12", "1,000+"."""
        return f"{COUNTED:,}+" if number > COUNTED else f"{number:,}"


# Nobody counts further by eye, and counting takes time.
COUNTED = 1_000


def count_jobs(user: User) -> JobCounts:
    """Of the jobs that this person may see."""
    visible = access.visible_jobs(user)
    failed = visible.where(Job.state == JobState.FAILED).select(Job.kind, Job.error_code)
    ends = failed.limit(COUNTED + 1).tuples()
    since = now() - timedelta(days=1)
    done = visible.where(Job.state == JobState.COMPLETED, Job.finished_at >= since)
    hopes = [may_help(kind, code) for kind, code in cast("Any", ends)]
    return JobCounts(
        running=_count(visible.where(Job.state == JobState.RUNNING)),
        waiting=_count(visible.where(Job.state == JobState.QUEUED)),
        failed=len(hopes),
        hopeful=sum(hopes),
        cancellable=_count(many_jobs.waiting(visible)),
        done_today=_count(done),
    )


def _count(found: ModelSelect[Job]) -> int:
    return int(found.limit(COUNTED + 1).count())


def _by_kind(visible: ModelSelect[Job], state: JobState) -> Counter[str]:
    found = visible.where(Job.state == state).select(Job.kind, fn.COUNT(Job.id))
    rows: Any = found.group_by(Job.kind).tuples()
    return Counter(dict(rows))


@dataclass(frozen=True)
class KindRow:
    """``waiting`` and ``running``: now; the rest within 30 days."""

    label: str
    waiting: int
    running: int
    completed: int
    failed: int
    cancelled: int
    mean_s: float | None


@dataclass(frozen=True)
class ReasonRow:
    sentence: str
    number: int


@dataclass(frozen=True)
class Statistics:
    """``periods``: name, and how many jobs ended how. ``kinds``: those with live jobs, or with some
    that ended in 30 days."""

    periods: list[tuple[str, job_stats.Ended]]
    kinds: list[KindRow]
    reasons: list[ReasonRow]


_PERIODS = {"today": "Today", "last_7_days": "Last 7 days", "last_30_days": "Last 30 days"}
_SHOWN_REASONS = 8


def load_statistics(user: User) -> Statistics:
    ended = {name: job_stats.ended_since(days) for name, days in job_stats.PERIODS.items()}
    lately = ended["last_30_days"]
    visible = access.visible_jobs(user)
    waiting, running = (_by_kind(visible, state) for state in (JobState.QUEUED, JobState.RUNNING))
    return Statistics(
        periods=[(_(_PERIODS[name]), job_stats.total(found)) for name, found in ended.items()],
        kinds=[
            KindRow(
                label=_(spec.label),
                waiting=waiting[kind],
                running=running[kind],
                completed=found.completed,
                failed=found.failed,
                cancelled=found.cancelled,
                mean_s=found.mean_s,
            )
            for kind, spec in KINDS.items()
            if (found := lately.get(kind, job_stats.Ended())) != job_stats.Ended()
            or waiting[kind]
            or running[kind]
        ],
        reasons=[
            ReasonRow(sentence or _("No reason was written down."), number)
            for _code, sentence, number in job_stats.reasons(visible)
        ][:_SHOWN_REASONS],
    )


@dataclass(frozen=True)
class GoneWorker:
    name: str
    since: datetime | None
    effect: str


def gone_workers() -> list[GoneWorker]:
    """Workers that don't report; their work waits."""
    beats: dict[str, Any] = {row.process: row for row in Heartbeat.select()}
    gone = []
    for process, effect in WORKERS.items():
        beat = beats.get(process)
        alive = (
            beat is not None
            and beat.boot_id == boot_id()
            and boottime_s() - beat.beat_boottime_s < SILENT_S
        )
        if not alive:
            name = process.removeprefix("worker-")
            gone.append(GoneWorker(name, beat.beat_at if beat else None, _(effect)))
    return gone
