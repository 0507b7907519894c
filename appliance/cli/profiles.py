"""`appliance profiles`: how versions are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_json, print_table
from appliance.cli.remote import remote
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.cli.remote import Box

FIELDS = ("crf", "long_side", "preset", "audio_bps")


@click.group()
def profiles() -> None:
    """Show and change how versions of videos are made."""


@profiles.command()
@remote
def show(box: Box, as_json: bool) -> None:
    """Show all profiles, and how many versions were made by other values."""
    _show(box.get("/api/v1/profiles"), as_json)


@profiles.command(name="set")
@click.argument("profile", type=click.Choice(["social", "preview"]))
@click.argument("choices", nargs=-1, metavar="FIELD=VALUE…")
@click.option("--reset", is_flag=True, help="Use the box's own values again.")
@remote
def set_choices(
    profile: str, choices: tuple[str, ...], reset: bool, box: Box, as_json: bool
) -> None:
    """Change PROFILE: crf (16 best to 32 smallest), long_side, preset, audio_bps.

    An empty value is the box's own again: crf=
    """
    if reset == bool(choices):
        raise click.UsageError("Say what to change, such as crf=18, or --reset.")
    wanted = None if reset else dict(_read(choice) for choice in choices)
    _show(box.patch("/api/v1/profiles", {profile: wanted}), as_json)


def _read(choice: str) -> tuple[str, Any]:
    name, is_there, value = choice.partition("=")
    if not is_there or name not in FIELDS:
        raise click.UsageError(f"“{choice}” is not FIELD=VALUE with one of {', '.join(FIELDS)}.")
    if not value:
        return name, None
    return name, int(value) if value.isascii() and value.isdecimal() else value


def _show(found: Any, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [
        (
            item["name"],
            item["label"],
            *(_cell(item, field) for field in FIELDS),
            describe_size(item["max_bytes"]) if item["max_bytes"] else "",
            "each video" if item["eager"] else "on demand",
            item["stale_renditions"] or "",
        )
        for item in found["items"]
    ]
    headings = (
        "Profile", "For", "Quality", "Longest side", "Speed", "Sound", "At most", "Made", "Stale",
    )  # fmt: skip
    print_table(headings, rows, none="There are no profiles.")


def _cell(item: Any, field: str) -> str:
    value = (item["values"] or {}).get(field)
    mark = "*" if field in item["chosen"] else ""
    return "" if value is None else f"{value}{mark}"
