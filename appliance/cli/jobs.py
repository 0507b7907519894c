"""`appliance jobs`: list, show, retry, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_facts, print_json, print_table
from appliance.cli.remote import remote

if TYPE_CHECKING:
    from appliance.cli.remote import Box


@click.group()
def jobs() -> None:
    """List, show, retry and cancel jobs."""


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
            job["stage"],
            job["video_id"],
            job["error"],
        )
        for job in found["items"]
    ]
    headings = ("Id", "Kind", "State", "Done", "Stage", "Video", "Error")
    print_table(headings, rows, none="There are no such jobs.")


@jobs.command()
@click.argument("job_id")
@remote
def show(job_id: str, box: Box, as_json: bool) -> None:
    """Show all about one job."""
    _show(box.get(f"/api/v1/jobs/{job_id}"), as_json)


@jobs.command()
@click.argument("job_id")
@remote
def retry(job_id: str, box: Box, as_json: bool) -> None:
    """Start a failed or cancelled job again."""
    _show(box.post(f"/api/v1/jobs/{job_id}/retry"), as_json)


@jobs.command()
@click.argument("job_id")
@remote
def cancel(job_id: str, box: Box, as_json: bool) -> None:
    """End a job that waits or runs."""
    _show(box.post(f"/api/v1/jobs/{job_id}/cancel"), as_json)


def _show(job: Any, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        print_facts({name.replace("_", " ").capitalize(): value for name, value in job.items()})
