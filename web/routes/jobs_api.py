"""Jobs: the queue monitor of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from peewee import SQL, fn

from appliance import access, jobs
from appliance.access import Scope
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.models import Job, Role, Video
from appliance.states import JobState
from tasks import pipeline
from web.api_shapes import JobList, JobShape, load_jobs
from web.auth import Principal, needs, principal
from web.cursors import take_page

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.WRITE)
_SHOWN_FAILURES = 20


@dataclass(frozen=True)
class KindStats:
    """``mean_duration_s``: start to end of the completed ones that are still listed."""

    kind: str
    label: str
    pending: int
    running: int
    completed: int
    failed: int
    mean_duration_s: float | None


@dataclass(frozen=True)
class JobStats:
    """``failed``: the newest first."""

    kinds: list[KindStats]
    failed: list[JobShape]


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
            if kind not in jobs.KINDS:
                raise InvalidInput(f"There is no kind of job “{kind[:40]}”.", field="kind")
            query = query.where(Job.kind == kind)
        if video_id is not None:
            query = query.where(Video.public_id == video_id)
        rows, following = take_page(query, Job, cursor=cursor, limit=limit)
        return JobList(load_jobs(rows), following)


@get("/api/v1/jobs/stats", opt=READ, tags=["jobs"], summary="Count jobs", sync_to_thread=True)
def job_stats(request: Request[None, None, State]) -> JobStats:
    user = principal(request).user
    with database.connection_context():
        visible = access.visible_jobs(user)
        counts: dict[tuple[str, str], int] = {}
        means: dict[str, float] = {}
        took_s = SQL('(julianday("t1"."finished_at") - julianday("t1"."started_at")) * 86400.0')
        groups: Any = (
            visible.select(Job.kind, Job.state, fn.COUNT(Job.id), fn.AVG(took_s))
            .group_by(Job.kind, Job.state)
            .tuples()
        )
        for kind, state, count, mean in groups:
            counts[kind, state] = count
            if state == JobState.COMPLETED and mean is not None:
                means[kind] = round(mean, 3)
        failed = list(
            visible.where(Job.state == JobState.FAILED)
            .order_by(Job.finished_at.desc(), Job.id.desc())
            .limit(_SHOWN_FAILURES)
        )
        kinds = [
            KindStats(
                kind=name,
                label=spec.label,
                pending=counts.get((name, JobState.QUEUED), 0),
                running=counts.get((name, JobState.RUNNING), 0),
                completed=counts.get((name, JobState.COMPLETED), 0),
                failed=counts.get((name, JobState.FAILED), 0),
                mean_duration_s=means.get(name),
            )
            for name, spec in jobs.KINDS.items()
        ]
        return JobStats(kinds, load_jobs(failed))


@get("/api/v1/jobs/{job_id:str}", opt=READ, tags=["jobs"], summary="One job", sync_to_thread=True)
def show_job(request: Request[None, None, State], job_id: FromPath[str]) -> JobShape:
    with database.connection_context():
        return load_jobs([access.get_job(principal(request).user, job_id)])[0]


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
        pipeline.retry_job(_pressable(asker, job_id), user)
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
