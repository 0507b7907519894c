"""The queue monitor: what the box is doing, what waits, what failed."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Response, Template

from appliance import access
from appliance.db import database
from appliance.errors import NotFound
from appliance.job_kinds import KINDS
from appliance.models import Job, Role, User
from tasks import many_jobs, pipeline, restarts
from web.auth import needs, principal
from web.job_rows import (
    JobRow,
    WantedJobs,
    count_jobs,
    gone_workers,
    load_jobs,
    load_runs,
    load_statistics,
)
from web.words import _

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
PAGE = 50


@get("/jobs", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def list_jobs(
    request: Request[Any, Any, State],
    show: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    q: FromQuery[str] = "",
    video: FromQuery[str] = "",
    mine: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Template:
    user = principal(request).user
    wanted = WantedJobs.of(show, kind, q, video, mine)
    with database.connection_context():
        rows, more = _page(user, wanted, before)
        context = {
            "wanted": wanted,
            "show": wanted.show,
            "counts": count_jobs(user),
            "gone": gone_workers(),
            "jobs": rows,
            "kinds": [(name, _(spec.label)) for name, spec in KINDS.items()],
            "video_title": _title_of(user, wanted.video),
            "more": wanted.url(before=more) if more else "",
            "statistics": load_statistics(user),
        }
    return Template("jobs/page.html", context=context)


def _page(user: User, wanted: WantedJobs, before: str) -> tuple[list[JobRow], str]:
    """The newest first; and the id to go on before, "" at the end."""
    query = wanted.query(user)
    if before:
        query = query.where(Job.public_id < before)  # ids sort by the time of making
    found = list(query.order_by(Job.public_id.desc()).limit(PAGE + 1))
    more = found[PAGE - 1].public_id if len(found) > PAGE else ""
    return load_jobs(user, found[:PAGE]), more


def _title_of(user: User, video_id: str) -> str:
    if not video_id:
        return ""
    try:
        return access.get_video(user, video_id).title
    except NotFound:
        return _("a video that is gone")


@get("/jobs/_summary", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def summary(request: Request[Any, Any, State], show: FromQuery[str] = "") -> Template:
    """Counts and the news about workers, anew."""
    with database.connection_context():
        context = {
            "show": WantedJobs.of(show, "", "", "", "").show,
            "counts": count_jobs(principal(request).user),
            "gone": gone_workers(),
        }
    return Template("jobs/_summary.html", context=context)


@get("/jobs/{job_id:str}/_row", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def row(request: Request[Any, Any, State], job_id: FromPath[str]) -> Response[Any] | Template:
    user = principal(request).user
    with database.connection_context():
        try:
            (job,) = load_jobs(user, [access.get_job(user, job_id)])
        except NotFound:
            return Response("", media_type="text/html", headers={"HX-Reswap": "delete"})
    return Template("jobs/_row.html", context={"job": job})


@get("/jobs/{job_id:str}", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def show_job(request: Request[Any, Any, State], job_id: FromPath[str]) -> Template:
    user = principal(request).user
    with database.connection_context():
        found = access.get_job(user, job_id)
        (job,) = load_jobs(user, [found])
        runs = load_runs(found)
    return Template("jobs/show.html", context={"job": job, "runs": runs})


@post("/jobs/{job_id:str}/retry", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry(request: Request[Any, Any, State], job_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        restarts.retry_job(access.get_job(user, job_id), user)
    return Redirect(f"/jobs/{job_id}", status_code=303)


@post("/jobs/{job_id:str}/cancel", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def cancel(request: Request[Any, Any, State], job_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        pipeline.cancel_job(access.get_job(user, job_id), user)
    return Redirect(f"/jobs/{job_id}", status_code=303)


@post("/jobs/retry-failed", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry_failed(request: Request[Any, Any, State]) -> Redirect:
    """All failed jobs that this person sees and that may succeed now."""
    user = principal(request).user
    with database.connection_context():
        many_jobs.retry_failed(access.visible_jobs(user), user)
    return Redirect("/jobs?show=waiting", status_code=303)


@get("/jobs/cancel-waiting", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def ask_to_cancel(request: Request[Any, Any, State]) -> Template | Redirect:
    """What it would end: as a dialog over the list, or as a page of its own."""
    with database.connection_context():
        counts = count_jobs(principal(request).user)
    if not counts.cancellable:  # they have begun while somebody thought about it
        return Redirect("/jobs?show=waiting", status_code=303)
    in_dialog = request.headers.get("HX-Request") == "true"
    name = "jobs/_cancel_dialog.html" if in_dialog else "jobs/cancel.html"
    return Template(name, context={"counts": counts, "most": many_jobs.MOST})


@post("/jobs/cancel-waiting", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def cancel_waiting(request: Request[Any, Any, State]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        many_jobs.cancel_waiting(access.visible_jobs(user), user)
    return Redirect("/jobs", status_code=303)
