"""`appliance readiness`: what would happen if a video were posted now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_json
from appliance.cli.posts import choose, parse_options
from appliance.cli.remote import remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.cli.remote import Box

_WORDS = {"ready": "Ready", "fixed": "Will be fixed automatically", "change": "Must change"}


@click.command()
@click.argument("video_id", metavar="VIDEO")
@click.option(
    "--to",
    "wanted",
    metavar="ACCOUNT",
    multiple=True,
    help="An account's id or name, or a platform for all its accounts. Default: all.",
)
@click.option("--title", help="Default: the video's.")
@click.option("--description", help="Default: the video's.")
@click.option(
    "--option", "options", metavar="NAME=VALUE", multiple=True, help="As of `appliance post`."
)
@remote
def readiness(
    video_id: str,
    wanted: Sequence[str],
    title: str | None,
    description: str | None,
    options: Sequence[str],
    box: Box,
    as_json: bool,
) -> int:
    """Say whether VIDEO is ready for accounts, what will be fixed, and what must change.

    Nothing is posted. Ends with 1 when something must change.
    """
    body: dict[str, Any] = {"title": title, "description": description}
    body["options"] = parse_options(options)
    if wanted:
        body["accounts"] = choose(box.get("/api/v1/accounts")["items"], wanted)
    found = box.post(
        f"/api/v1/videos/{video_id}/readiness",
        {name: value for name, value in body.items() if value},
    )
    if as_json:
        print_json(found)
    else:
        for item in found["items"]:
            _print(item)
        if not found["items"]:
            click.echo("No account is connected.")
    return 1 if found["status"] == "change" else 0


def _print(item: Any) -> None:
    form = f", {item['form']}" if item["form"] else ""
    click.echo(f"{item['account_name']} ({item['platform']}{form}): {_WORDS[item['status']]}")
    for finding in item["findings"]:
        mark = {"change": "!", "fixed": "+", "ready": "-"}[finding["level"]]
        click.echo(f"  {mark} {finding['message']}")
        for fix in finding["fixes"]:
            kind, _colon, value = fix["name"].partition(":")
            if kind == "version":
                click.echo(f"      {fix['label']}: --option version={value}")
