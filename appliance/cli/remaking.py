"""`appliance videos remake` and `appliance night`: work that can wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.cli.frame import print_facts, print_json
from appliance.cli.remote import remote

if TYPE_CHECKING:
    from appliance.cli.remote import Box


@click.command()
@click.argument("video_ids", nargs=-1, metavar="[VIDEO]…")
@click.option("--stale", is_flag=True, help="All that was made by older settings.")
@click.option("--profile", help="Only this version, such as social.")
@click.option("--at-night", is_flag=True, help="Begin within the hours of night_hours.")
@click.option("--cancel", is_flag=True, help="Take out of the line what would be made anew.")
@remote
def remake(
    video_ids: tuple[str, ...],
    stale: bool,
    profile: str | None,
    at_night: bool,
    cancel: bool,
    box: Box,
    as_json: bool,
) -> None:
    """Make anew what was made by older settings, of VIDEOs or all.

    The old files stay in use until the new ones are there.
    """
    if sum((bool(video_ids), stale, cancel)) != 1:
        raise click.UsageError("Name videos, or say --stale for all, or --cancel.")
    if cancel:
        found = box.delete("/api/v1/renditions/remake")
        words = f"{found['count']} taken out of the line."
    else:
        wish = {
            "video_ids": list(video_ids) or None,
            "stale": stale,
            "profile": profile,
            "when": "night" if at_night else "now",
        }
        found = box.post("/api/v1/renditions/remake", wish)
        words = f"{found['count']} put in line. See `appliance jobs list`."
        if not found["count"]:
            words = "There is nothing to make anew: all is as the settings say."
    if as_json:
        print_json(found)
    else:
        click.echo(words)


@click.command()
@click.argument("wish", required=False, type=click.Choice(["on", "off"]))
@remote
def night(wish: str | None, box: Box, as_json: bool) -> None:
    """Show the night, or encode only at night (on) or at any time (off).

    Whatever somebody posts or asks for doesn't wait.
    """
    path = "/api/v1/night"
    found = box.get(path) if wish is None else box.put(path, {"only": wish == "on"})
    if as_json:
        print_json(found)
        return
    hours = f"{found['hours']} ({found['time_zone']})" if found["hours"] else "none: at any time"
    print_facts(
        {
            "Encode only at night": "yes" if found["only"] else "no",
            "Night": hours,
            "It is night": "yes" if found["open"] else "no",
            "From": found["start"],
            "To": found["end"],
        }
    )
