"""`appliance jobs`: list, show, retry, cancel, stats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import OneByDefault, print_facts, print_json, print_table
from appliance.cli.remote import remote

if TYPE_CHECKING:
    from appliance.cli.remote import Box


@click.group(cls=OneByDefault, default="list")
def jobs() -> None:
    """List, show, retry and cancel jobs. Alone it lists them."""


@jobs.command(name="list")
@click.option("--state", help="Only those in this state, such as running or failed.")
@click.option("--kind", help="Only those of this kind, such as encode.")
@click.option("--video", "video_id", help="Only those of this video.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100))
@remote
def list_jobs(box: Box, as_json: bool, **filters: Any) -> None:
    """List the newest jobs."""
    found = box.get("/api/v1/jobs", **filters)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            job["job_id"],
            job["kind"],
            job["state"],
            f"{job['progress']:.0%}",
            _left(job),
            job["stage"] or _WAITS.get(job["waits_for"], ""),
            job["video_id"],
            job["error"],
        )
        for job in found["items"]
    ]
    headings = ("Id", "Kind", "State", "Done", "Left", "Stage", "Video", "Error")
    print_table(headings, rows, none="There are no such jobs.")


_WAITS = {
    "turn": "in line",
    "time": "waits for its time",
    "night": "waits for the night",
    "retry": "tried again later",
}


def _left(job: dict[str, Any]) -> str:
    """ "180–300 s": until it has ended; "" when nobody can tell."""
    if job["state"] not in ("queued", "running") or job["eta_s"] is None:
        return ""
    if job["eta_low_s"] is None:
        return f"{job['eta_s']:.0f} s"
    return f"{job['eta_low_s']:.0f}–{job['eta_high_s']:.0f} s"


@jobs.command()
@click.argument("job_id")
@remote
def show(job_id: str, box: Box, as_json: bool) -> None:
    """Show all about one job, with all its tries."""
    found = box.get(f"/api/v1/jobs/{job_id}")
    if as_json:
        print_json(found)
        return
    runs = found.pop("runs")
    _print(found)
    click.echo()
    rows = [
        (
            run["started_at"],
            run["worker"],
            "" if run["seconds"] is None else f"{run['seconds']:.1f} s",
            run["outcome"] or "running",
            f"{run['stage']} {run['progress']:.0%}" if run["stage"] else "",
            run["error"],
        )
        for run in runs
    ]
    headings = ("Started", "Worker", "Took", "Ended", "Came to", "Error")
    print_table(headings, rows, none="It has not begun yet.")


@jobs.command()
@click.argument("job_id", required=False)
@click.option("--failed", is_flag=True, help="All that failed and may succeed now.")
@remote
def retry(job_id: str | None, failed: bool, box: Box, as_json: bool) -> None:
    """Start a failed or cancelled job again, or all that failed."""
    _need_one(job_id, failed, "--failed")
    if failed:
        _tell(box.post("/api/v1/jobs/retry-failed"), as_json, "started again")
    else:
        _show(box.post(f"/api/v1/jobs/{job_id}/retry"), as_json)


@jobs.command()
@click.argument("job_id", required=False)
@click.option("--waiting", is_flag=True, help="All that wait to make something; posts stay.")
@remote
def cancel(job_id: str | None, waiting: bool, box: Box, as_json: bool) -> None:
    """End a job that waits or runs, or all that wait."""
    _need_one(job_id, waiting, "--waiting")
    if waiting:
        _tell(box.post("/api/v1/jobs/cancel-waiting"), as_json, "cancelled")
    else:
        _show(box.post(f"/api/v1/jobs/{job_id}/cancel"), as_json)


@jobs.command()
@remote
def stats(box: Box, as_json: bool) -> None:
    """Count jobs by kind: what there is to do, and how it went in 30 days."""
    found = box.get("/api/v1/jobs/stats")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            kind["kind"],
            kind["pending"],
            kind["running"],
            kind["completed"],
            kind["failed"],
            kind["cancelled"],
            "" if kind["mean_duration_s"] is None else f"{kind['mean_duration_s']:.1f} s",
        )
        for kind in found["kinds"]
    ]
    headings = ("Kind", "Waiting", "Running", "Done", "Failed", "Cancelled", "Takes")
    print_table(headings, rows, none="There are no jobs.")
    for period in ("today", "last_7_days", "last_30_days"):
        name = period.replace("_", " ").capitalize()
        ended = found[period]
        click.echo(
            f"{name}: {ended['completed']} done, {ended['failed']} failed, "
            f"{ended['cancelled']} cancelled"
        )
    for reason in found["reasons"]:
        click.echo(f"{reason['number']} failed: {reason['error'] or 'no reason is known'}")


def _need_one(job_id: str | None, all_of_them: bool, option: str) -> None:
    if (job_id is None) != all_of_them:
        raise click.UsageError(f"Give the id of one job, or {option} for all.")


def _tell(pressed: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        print_json(pressed)
        return
    click.echo(f"{pressed['done']} {what}.")
    if pressed["left"]:
        click.echo(f"{pressed['left']} are left; the same command again goes on.")


def _show(job: Any, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        _print(job)


def _print(job: dict[str, Any]) -> None:
    print_facts({name.replace("_", " ").capitalize(): value for name, value in job.items()})
