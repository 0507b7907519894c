"""`appliance uploads`: list what is not finished, cancel it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_json, print_table
from appliance.cli.remote import remote
from appliance.clock import now
from appliance.text import describe_size
from web import words

if TYPE_CHECKING:
    from appliance.cli.remote import Box


@click.group()
def uploads() -> None:
    """List and cancel uploads that are not finished."""


@uploads.command(name="list")
@remote
def list_uploads(box: Box, as_json: bool) -> None:
    """List unfinished uploads, the newest first."""
    found = box.get("/api/v1/uploads")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            upload["upload_id"],
            upload["title"],
            upload["guest_name"] or upload["owner"],
            _far(upload),
            _pace(upload),
            _when(upload["expires_at"]),
        )
        for upload in found["items"]
    ]
    headings = ("Id", "Title", "From", "Arrived", "Pace", "Expires")
    print_table(headings, rows, none="There are no unfinished uploads.")


@uploads.command()
@click.argument("upload_ids", metavar="ID...", nargs=-1, required=True)
@remote
def cancel(upload_ids: tuple[str, ...], box: Box, as_json: bool) -> None:
    """Cancel uploads, also while bytes arrive; what has arrived is removed."""
    for upload_id in upload_ids:
        box.delete(f"/api/v1/uploads/{upload_id}")
        if not as_json:
            click.echo(f"{upload_id} is cancelled.")
    if as_json:
        print_json({"cancelled": upload_ids})


def _far(upload: Any) -> str:
    if upload["length"] is None:
        return describe_size(upload["offset"])
    part = f"{upload['progress']:.0%}"
    return f"{describe_size(upload['offset'])} of {describe_size(upload['length'])} ({part})"


def _pace(upload: Any) -> str:
    if upload["bytes_per_s"]:
        return f"{describe_size(upload['bytes_per_s'])}/s"
    return "sending" if upload["sending"] else f"last byte {_when(upload['touched_at'])}"


def _when(time: str) -> str:
    """As the pages say it: "5 min ago", "in 3 h"."""
    return words.ago(datetime.fromisoformat(time), now())
