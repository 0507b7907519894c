"""`appliance alerts`: what is wrong, who is told, and the watch for when nobody could tell."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
import peewee

from appliance.alerts import KINDS
from appliance.cli.frame import (
    OneByDefault,
    json_option,
    opened_box,
    print_json,
    print_table,
    ready_settings,
)
from appliance.cli.remote import remote
from appliance.cli.waiting import wait_for_job
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.cli.remote import Box

_MAX_CHARS = 4096
_ALL = "all"
CHANNELS = "/api/v1/alerts/channels"


@click.group(cls=OneByDefault, default="list")
def alerts() -> None:
    """See what is wrong, and choose who is told. Alone it is `alerts list`."""


@alerts.command(name="list")
@click.option("--all", "whole", is_flag=True, help="With those that are over.")
@remote
def list_alerts(whole: bool, box: Box, as_json: bool) -> None:
    """List alerts, and the channels that they go to."""
    found = box.get("/api/v1/alerts", state=None if whole else "open")
    found["channels"] = box.get(CHANNELS)["items"]
    if as_json:
        print_json(found)
        return
    if found.get("quiet_until"):  # an older box, by --url, says nothing of it
        click.secho(f"Quiet until {found['quiet_until']}: {found['quiet_reason']}", fg="yellow")
    for alert in found["items"]:
        over = alert["state"] != "open"
        click.secho(f"{alert['title']}{' (over)' if over else ''}", bold=not over)
        click.echo(f"  {alert['text']}\n  Since {alert['first_at']}")
        if not over:
            click.echo(f"  Why it matters: {alert['why']}\n  → {alert['mend']}")
    if not found["items"]:
        click.echo("No alert is open.")
    click.echo()
    rows = [
        (
            channel["channel_id"],
            channel["name"],
            channel["service"],
            ", ".join(channel["kinds"]) or "all",
            "on" if channel["enabled"] else "off",
            channel["sent_at"],
            channel["error"],
        )
        for channel in found["channels"]
    ]
    headings = ("Channel", "Name", "Service", "Kinds", "State", "Last sent", "Error")
    print_table(headings, rows, none="Nobody is told: there is no channel.")


@alerts.command()
@click.argument("name")
@click.option("--address", help="Apprise's address; others on this machine may see it here.")
@click.option("--address-stdin", is_flag=True, help="Read the address from stdin.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(list(KINDS)),
    help="Only alerts of this kind; may be said again. Default: all.",
)
@remote
def add(
    name: str,
    address: str | None,
    address_stdin: bool,
    kinds: Sequence[str],
    box: Box,
    as_json: bool,
) -> None:
    """Add a channel, such as mailtos://USER:PASSWORD@example.org or ntfys://ntfy.sh/TOPIC.

    appliance alerts test sends a first message there. The address is never shown again.
    """
    if (address is None) is not address_stdin:
        raise click.UsageError("Give the address with --address-stdin, or with --address.")
    if address is None:
        address = sys.stdin.read(_MAX_CHARS).strip()
    made = box.post(CHANNELS, {"name": name, "address": address, "kinds": list(kinds)})
    if as_json:
        print_json(made)
    else:
        click.echo(made["channel_id"])


@alerts.command()
@click.argument("channel_id")
@click.option("--name", help="Another name.")
@click.option("--address", help="Another address; others on this machine may see it here.")
@click.option("--address-stdin", is_flag=True, help="Read another address from stdin.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([*KINDS, _ALL]),
    help="Only alerts of this kind; may be said again.",
)
@click.option("--on/--off", "enabled", default=None, help="Send there again, or nothing for now.")
@remote
def change(
    channel_id: str,
    name: str | None,
    address: str | None,
    address_stdin: bool,
    kinds: Sequence[str],
    enabled: bool | None,
    box: Box,
    as_json: bool,
) -> None:
    """Change a channel. What isn't said stays, the address, too."""
    if address_stdin:
        if address is not None:
            raise click.UsageError("Give the address with --address-stdin, or with --address.")
        address = sys.stdin.read(_MAX_CHARS).strip()
    wanted = {
        "name": name,
        "address": address,
        "kinds": ([] if _ALL in kinds else list(kinds)) if kinds else None,
        "enabled": enabled,
    }
    changes = {word: value for word, value in wanted.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what to change: --name, --address-stdin, --kind, --on, --off.")
    made = box.patch(f"{CHANNELS}/{channel_id}", changes)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made['name']} is changed.")


@alerts.command()
@click.argument("channel_id")
@remote
def remove(channel_id: str, box: Box, as_json: bool) -> None:
    """Remove a channel."""
    box.delete(f"{CHANNELS}/{channel_id}")
    if as_json:
        print_json({"removed": channel_id})
    else:
        click.echo("Nothing is sent there any more.")


@alerts.command()
@click.argument("channel_id")
@click.option("--wait", default=60.0, show_default=True, help="Seconds until it gives up.")
@remote
def test(channel_id: str, wait: float, box: Box, as_json: bool) -> int:
    """Send a test message, and say what came of it. Ends with 1 when it did not go out."""
    job = box.post(f"{CHANNELS}/{channel_id}/test")
    found = wait_for_job(box, job["job_id"], "Sending", within_s=wait)
    sent, error = found["state"] == "completed", found["error"]
    if not sent:
        error = error or "Nobody has sent it yet: does the delivery worker run?"
    if as_json:
        print_json({"sent": sent, "error": error})
    elif not sent:
        raise ApplianceError(f"The message was not sent: {error}", code="not_sent")
    else:
        click.echo("Sent. Look whether it has arrived.")
    return 0 if sent else 1


@alerts.command()
@json_option
def watch(as_json: bool) -> int:
    """Tell of a delivery worker that is silent, once; a timer runs this every few minutes.

    As long as that worker reports there is nothing to do. Ends with 1 when a message could not be
    sent.
    """
    from appliance.settings import load_settings
    from appliance.vault import open_vault
    from tasks.alerting import watching

    try:
        settings = ready_settings()
        done = watching.watch(settings, open_vault(settings))
    except (peewee.PeeweeException, ApplianceError) as exc:
        done = watching.tell_without_rows(load_settings(), exc)
    if as_json:
        print_json(asdict(done))
    else:
        _tell(done)
    return 1 if done.failed else 0


def _tell(done: Any) -> None:
    for title in done.sent:
        click.echo(f"sent: {title}")
    for title, reason in done.failed.items():
        click.echo(f"not sent: {title}: {reason}", err=True)
    if not done.delivery:
        click.echo("The delivery worker does not report: this command sends in its place.")
    if not done.sent and not done.failed:
        click.echo("There is nothing to tell now.")


@alerts.command()
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(min=0, max=120))
@click.option("--reason", default="planned work", show_default=True)
@json_option
def quiet(minutes: float, reason: str, as_json: bool) -> None:
    """Tell nobody of anything for a while, such as during work on the machine. 0 ends it."""
    from tasks.alerting import sweep

    with opened_box():
        if minutes == 0:
            sweep.end_quiet()
            until = None
        else:
            until = sweep.be_quiet(reason, timedelta(minutes=minutes))
    if as_json:
        print_json({"until": until.isoformat() if until else None})
    else:
        click.echo(f"Quiet until {until:%H:%M} UTC." if until else "Alerts are told again.")
