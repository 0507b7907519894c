"""`appliance videos renditions`, `make`, `poster`: what is made of a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_json, print_table
from appliance.cli.remote import remote
from appliance.cli.waiting import until
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.cli.remote import Box

_LIVE = ("pending", "processing")
_PICTURES = {".png": "image/png", ".webp": "image/webp"}


@click.command()
@click.argument("video_id", metavar="VIDEO")
@remote
def renditions(video_id: str, box: Box, as_json: bool) -> None:
    """List all that is made of VIDEO, or can be."""
    found = box.get(f"/api/v1/videos/{video_id}/renditions")
    if as_json:
        print_json(found)
    else:
        _print(found["items"])


@click.command()
@click.argument("video_id", metavar="VIDEO")
@click.argument("profile")
@click.option("--at-night", is_flag=True, help="Within the hours of `night_hours`, last in line.")
@click.option("--wait", is_flag=True, help="Until it is there, or has failed.")
@remote
def make(video_id: str, profile: str, at_night: bool, wait: bool, box: Box, as_json: bool) -> int:
    """Make the PROFILE of VIDEO (preview, audio, vertical, …), or make it anew if it is stale."""
    path = f"/api/v1/videos/{video_id}/renditions"
    made = box.post(f"{path}/{profile}", {"when": "night" if at_night else "now"})

    def is_over() -> bool:
        nonlocal made
        items = box.get(path)["items"]
        made = next(item for item in items if item["profile"] == profile)
        return made["job_id"] is None and made["state"] not in _LIVE

    if wait:
        until(is_over)
    if as_json:
        print_json(made)
    else:
        _print([made])
    return 1 if made["state"] == "failed" else 0


@click.command()
@click.argument("video_id", metavar="VIDEO")
@click.option("--at", "at_s", type=float, metavar="SECONDS", help="The picture of this moment.")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PICTURE",
    help="A picture of your own: PNG, JPEG or WebP, at most 20 MB.",
)
@click.option("--auto", is_flag=True, help="What the box finds best.")
@click.option("--wait", is_flag=True, help="Until it is there, or could not be made.")
@remote
def poster(
    video_id: str,
    at_s: float | None,
    file: Path | None,
    auto: bool,
    wait: bool,
    box: Box,
    as_json: bool,
) -> int:
    """Choose the poster of VIDEO; the old one stays until the new one is there."""
    if (at_s is not None) + (file is not None) + auto != 1:
        raise click.UsageError("Say one of --at, --file and --auto.")
    path = f"/api/v1/videos/{video_id}"
    if file is not None:
        kind = _PICTURES.get(file.suffix.lower(), "image/jpeg")
        chosen = box.send(f"{path}/poster", file.read_bytes(), kind)
    else:
        chosen = box.put(f"{path}/poster", {"auto": True} if auto else {"at_s": at_s})

    def is_over() -> bool:
        nonlocal chosen
        chosen = box.get(f"{path}/renditions")["poster"]
        return chosen["job_id"] is None

    if wait:
        until(is_over)
    if as_json:
        print_json(chosen)
    elif chosen["job_id"] is not None:
        click.echo("The poster is being made.")
    else:
        click.echo(chosen["error"] or chosen["url"])
    return 1 if chosen["error"] and chosen["job_id"] is None else 0


def _print(items: list[Any]) -> None:
    rows = [
        (
            item["profile"],
            item["label"],
            _state(item),
            item["method"],
            describe_size(item["size_bytes"]) if item["size_bytes"] else None,
            item["error"] or item["why_not"],
        )
        for item in items
    ]
    print_table(("Profile", "Is", "State", "Method", "Size", "Error"), rows, none="")


def _state(item: Any) -> str:
    if item["stale"]:
        return "ready, stale"
    if item["job_id"] and item["only_at_night"]:
        return f"{item['state']}, at night"
    return str(item["state"])
