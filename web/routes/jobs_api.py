"""Jobs: the queue monitor of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from peewee import fn

from appliance import access, job_stats
from appliance.access import Scope
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.job_kinds import KINDS
from appliance.models import Job, Role, Video
from appliance.states import JobState
from tasks import many_jobs, pipeline, restarts
from web.api_shapes import JobDetail, JobList, JobShape, load_job, load_jobs
from web.auth import Principal, needs, principal
from web.cursors import take_page

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.WRITE)
_SHOWN_FAILURES = 20


@dataclass(frozen=True)
class KindStats:
    """``pending`` and ``running``: now. ``completed``, ``failed``, ``cancelled`` and the mean
    duration: within 30 days, also of jobs that are listed no more."""

    kind: str
    label: str
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    mean_duration_s: float | None


@dataclass(frozen=True)
class PeriodStats:
    """How jobs ended within some days (UTC), today being the first."""

    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True)
class Reason:
    """``code``: why jobs failed, "" if there is none; ``error``: in words, of the newest."""

    code: str
    error: str
    number: int


@dataclass(frozen=True)
class JobStats:
    """``failed``: the newest first; ``reasons``: of all listed ones, the most frequent first."""

    kinds: list[KindStats]
    today: PeriodStats
    last_7_days: PeriodStats
    last_30_days: PeriodStats
    failed: list[JobShape]
    reasons: list[Reason]


@dataclass(frozen=True)
class Pressed:
    """``done``: how many; ``left``: how many the same request would be for again."""

    done: int
    left: int


@get("/api/v1/jobs", opt=READ, tags=["jobs"], summary="List jobs", sync_to_thread=True)
def list_jobs(
    request: Request[None, None, State],
    in_state: Annotated[str | None, QueryParameter(name="state")] = None,
    kind: FromQuery[str | None] = None,
    video_id: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 50,
) -> JobList:
    user = principal(request).user
    with database.connection_context():
        query = access.visible_jobs(user)
        if in_state is not None:
            if in_state not in list(JobState):
                raise InvalidInput(f"There is no state “{in_state[:40]}” of jobs.", field="state")
            query = query.where(Job.state == in_state)
        if kind is not None:
            if kind not in KINDS:
                raise InvalidInput(f"There is no kind of job “{kind[:40]}”.", field="kind")
            query = query.where(Job.kind == kind)
        if video_id is not None:
            query = query.where(Video.public_id == video_id)
        rows, following = take_page(query, Job, cursor=cursor, limit=limit)
        return JobList(load_jobs(rows), following)


@get("/api/v1/jobs/stats", opt=READ, tags=["jobs"], summary="Count jobs", sync_to_thread=True)
def job_stats_of(request: Request[None, None, State]) -> JobStats:
    user = principal(request).user
    with database.connection_context():
        visible = access.visible_jobs(user)
        counts: dict[tuple[str, str], int] = {}
        groups: Any = (
            visible.where(Job.state.in_([JobState.QUEUED, JobState.RUNNING]))
            .select(Job.kind, Job.state, fn.COUNT(Job.id))
            .group_by(Job.kind, Job.state)
            .tuples()
        )
        for kind, state, count in groups:
            counts[kind, state] = count
        failed = list(
            visible.where(Job.state == JobState.FAILED)
            .order_by(Job.finished_at.desc(), Job.id.desc())
            .limit(_SHOWN_FAILURES)
        )
        periods = {name: job_stats.ended_since(days) for name, days in job_stats.PERIODS.items()}
        lately = periods["last_30_days"]
        return JobStats(
            kinds=[_kind_stats(name, counts, lately) for name in KINDS],
            failed=load_jobs(failed),
            reasons=[Reason(*reason) for reason in job_stats.reasons(visible)],
            **{name: _period(ended) for name, ended in periods.items()},
        )


def _kind_stats(
    kind: str, counts: dict[tuple[str, str], int], lately: dict[str, job_stats.Ended]
) -> KindStats:
    ended = lately.get(kind, job_stats.Ended())
    return KindStats(
        kind=kind,
        label=KINDS[kind].label,
        pending=counts.get((kind, JobState.QUEUED), 0),
        running=counts.get((kind, JobState.RUNNING), 0),
        completed=ended.completed,
        failed=ended.failed,
        cancelled=ended.cancelled,
        mean_duration_s=round(ended.mean_s, 3) if ended.mean_s is not None else None,
    )


def _period(ended: dict[str, job_stats.Ended]) -> PeriodStats:
    of_all = job_stats.total(ended)
    return PeriodStats(of_all.completed, of_all.failed, of_all.cancelled)


@post(
    "/api/v1/jobs/retry-failed",
    opt=WRITE,
    tags=["jobs"],
    summary="Start all failed jobs again that may succeed now",
    status_code=202,
    sync_to_thread=True,
)
def retry_failed(request: Request[None, None, State]) -> Pressed:
    """At most 200 at a time, the newest first. A token without `post` leaves posts alone."""
    asker = principal(request)
    with database.connection_context():
        found = access.visible_jobs(asker.user)
        if asker.scopes is not None and Scope.POST not in asker.scopes:
            found = found.where(Job.kind != "publish")
        pressed = many_jobs.retry_failed(found, asker.user)
        return Pressed(pressed.done, pressed.left)


@post(
    "/api/v1/jobs/cancel-waiting",
    opt=WRITE,
    tags=["jobs"],
    summary="Cancel all jobs that wait to make something",
    status_code=202,
    sync_to_thread=True,
)
def cancel_waiting(request: Request[None, None, State]) -> Pressed:
    """At most 200 at a time. What runs goes on, and so do posts."""
    user = principal(request).user
    with database.connection_context():
        pressed = many_jobs.cancel_waiting(access.visible_jobs(user), user)
        return Pressed(pressed.done, pressed.left)


@get("/api/v1/jobs/{job_id:str}", opt=READ, tags=["jobs"], summary="One job", sync_to_thread=True)
def show_job(request: Request[None, None, State], job_id: FromPath[str]) -> JobDetail:
    with database.connection_context():
        return load_job(access.get_job(principal(request).user, job_id))


@post(
    "/api/v1/jobs/{job_id:str}/retry",
    opt=WRITE,
    tags=["jobs"],
    summary="Start a failed or cancelled job again",
    status_code=202,
    sync_to_thread=True,
)
def retry_job(request: Request[None, None, State], job_id: FromPath[str]) -> JobShape:
    asker = principal(request)
    user = asker.user
    with database.connection_context():
        restarts.retry_job(_pressable(asker, job_id), user)
        return load_jobs([access.get_job(user, job_id)])[0]


@post(
    "/api/v1/jobs/{job_id:str}/cancel",
    opt=WRITE,
    tags=["jobs"],
    summary="Cancel a job: at once when it waits, within a second or so when it runs",
    status_code=202,
    sync_to_thread=True,
)
def cancel_job(request: Request[None, None, State], job_id: FromPath[str]) -> JobShape:
    asker = principal(request)
    user = asker.user
    with database.connection_context():
        pipeline.cancel_job(_pressable(asker, job_id), user)
        return load_jobs([access.get_job(user, job_id)])[0]


def _pressable(asker: Principal, job_id: str) -> Job:
    """A job that they may retry or cancel. Raises NotFound, Forbidden.

    A ``publish`` job is its post: a token that may not post may not send it again either.
    """
    job = access.get_job(asker.user, job_id)
    if job.kind == "publish":
        asker.need(Scope.POST, Role.EDITOR)
    return job
