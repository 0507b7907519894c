"""`appliance videos`: list, show, retry, delete; and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli import renditions
from appliance.cli.frame import print_facts, print_json, print_table
from appliance.cli.remote import remote
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.cli.remote import Box


@click.group()
def videos() -> None:
    """List, show, retry and delete videos, and make files of them."""


@videos.command(name="list")
@click.argument("words", nargs=-1)
@click.option("--state", help="Only those in this state, such as ready or failed.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100))
@remote
def list_videos(
    words: tuple[str, ...], state: str | None, limit: int, box: Box, as_json: bool
) -> None:
    """List the newest videos, or those that have all WORDS."""
    found = box.get("/api/v1/videos", q=" ".join(words), state=state, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            video["video_id"],
            video["title"],
            video["state"],
            video["social_ready_status"],
            length(video["duration_s"]),
            describe_size(video["size_bytes"]),
        )
        for video in found["items"]
    ]
    headings = ("Id", "Title", "State", "For posting", "Length", "Size")
    print_table(headings, rows, none="There are no such videos.")


@videos.command()
@click.argument("video_id")
@remote
def show(video_id: str, box: Box, as_json: bool) -> None:
    """Show all about one video."""
    _show(box.get(f"/api/v1/videos/{video_id}"), as_json)


@videos.command()
@click.argument("video_id")
@remote
def retry(video_id: str, box: Box, as_json: bool) -> None:
    """Do what failed again."""
    _show(box.post(f"/api/v1/videos/{video_id}/retry"), as_json)


@videos.command()
@click.argument("video_id")
@remote
def delete(video_id: str, box: Box, as_json: bool) -> None:
    """Put a video in the bin."""
    box.delete(f"/api/v1/videos/{video_id}")
    if as_json:
        print_json({"video_id": video_id, "deleted": True})
    else:
        click.echo("The video is in the bin.")


for command in (renditions.renditions, renditions.make, renditions.poster):
    videos.add_command(command)


def _show(video: Any, as_json: bool) -> None:
    if as_json:
        print_json(video)
        return
    size = f"{video['width']} × {video['height']}" if video["width"] else None
    print_facts(
        {
            "Id": video["video_id"],
            "Title": video["title"],
            "State": video["state"],
            "Error": video["error"],
            "For posting": video["social_ready_status"],
            "Link": video["social_ready_url"],
            "Why not": video["social_ready_error"],
            "Length": length(video["duration_s"]),
            "Picture": size,
            "Size": describe_size(video["size_bytes"]),
            "File": video["filename"],
            "Owner": (video["owner"] or {}).get("name"),
            "Added": video["created_at"],
        }
    )


def length(seconds: float | None) -> str:
    """Seconds as people write them: 1:05, 2:00:09."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
