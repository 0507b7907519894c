"""The queue monitor: what the box is doing, what waits, what failed."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Response, Template

from appliance import access
from appliance.db import database
from appliance.errors import Conflict, NotFound
from appliance.models import Job, Role, User
from appliance.states import JobState
from tasks import pipeline
from tasks.retrying import may_help
from web.auth import needs, principal
from web.rows import JobRow, count_jobs, gone_workers

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
PAGE = 50
# Pressed once for all: bounded, the rest takes another press.
MAX_RETRIED = 200

FILTERS: dict[str, tuple[JobState, ...]] = {
    "": tuple(JobState),
    "running": (JobState.RUNNING,),
    "waiting": (JobState.QUEUED,),
    "failed": (JobState.FAILED,),
    "done": (JobState.COMPLETED, JobState.CANCELLED),
}


@get("/jobs", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def list_jobs(
    request: Request[Any, Any, State], show: FromQuery[str] = "", before: FromQuery[str] = ""
) -> Template:
    user = principal(request).user
    show = show if show in FILTERS else ""
    with database.connection_context():
        rows, more = _page(user, show, before)
        context = {
            "show": show,
            "counts": count_jobs(user),
            "gone": gone_workers(),
            "jobs": rows,
            "more": more,
        }
    return Template("jobs/page.html", context=context)


def _page(user: User, show: str, before: str) -> tuple[list[JobRow], str]:
    """The newest first; and the id to go on before, "" at the end."""
    query = access.visible_jobs(user).where(Job.state.in_(FILTERS[show]))
    if before:
        query = query.where(Job.public_id < before)  # ids sort by the time of making
    jobs = list(query.order_by(Job.public_id.desc()).limit(PAGE + 1))
    more = jobs[PAGE - 1].public_id if len(jobs) > PAGE else ""
    return [JobRow.of(user, job) for job in jobs[:PAGE]], more


@get("/jobs/_summary", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def summary(request: Request[Any, Any, State], show: FromQuery[str] = "") -> Template:
    """Counts and the news about workers, anew."""
    with database.connection_context():
        context = {
            "show": show if show in FILTERS else "",
            "counts": count_jobs(principal(request).user),
            "gone": gone_workers(),
        }
    return Template("jobs/_summary.html", context=context)


@get("/jobs/{job_id:str}/_row", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def row(request: Request[Any, Any, State], job_id: FromPath[str]) -> Response[Any] | Template:
    user = principal(request).user
    with database.connection_context():
        try:
            job = JobRow.of(user, access.get_job(user, job_id))
        except NotFound:
            return Response("", media_type="text/html", headers={"HX-Reswap": "delete"})
    return Template("jobs/_row.html", context={"job": job})


@get("/jobs/{job_id:str}", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def show_job(request: Request[Any, Any, State], job_id: FromPath[str]) -> Template:
    user = principal(request).user
    with database.connection_context():
        job = JobRow.of(user, access.get_job(user, job_id))
    return Template("jobs/show.html", context={"job": job})


@post("/jobs/{job_id:str}/retry", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry(request: Request[Any, Any, State], job_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        pipeline.retry_job(access.get_job(user, job_id), user)
    return Redirect(f"/jobs/{job_id}", status_code=303)


@post("/jobs/{job_id:str}/cancel", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def cancel(request: Request[Any, Any, State], job_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        pipeline.cancel_job(access.get_job(user, job_id), user)
    return Redirect(f"/jobs/{job_id}", status_code=303)


@post("/jobs/retry-failed", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry_failed(request: Request[Any, Any, State]) -> Redirect:
    """All failed jobs that this person sees and that may succeed now.

    Those that a newer job has replaced stay.
    """
    user = principal(request).user
    with database.connection_context():
        failed = access.visible_jobs(user).where(Job.state == JobState.FAILED)
        hopeful = [
            job for job in failed.order_by(Job.id.desc()) if may_help(job.kind, job.error_code)
        ]
        for job in hopeful[:MAX_RETRIED]:
            try:
                pipeline.retry_job(job, user)
            except Conflict:
                continue
    return Redirect("/jobs?show=waiting", status_code=303)
