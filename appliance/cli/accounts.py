"""`appliance accounts`: bring accounts in, look whether they work, hold posts back."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import (
    json_option,
    opened_box,
    print_facts,
    print_json,
    print_table,
    ready_settings,
)
from appliance.cli.posts import accounts as accounts  # the group, which gets more here
from appliance.cli.posts import choose
from appliance.cli.remote import remote
from appliance.cli.waiting import until
from appliance.errors import ApplianceError, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.cli.remote import Box

_MAX_BYTES = 64 * 1024


@accounts.command()
@click.argument("platform", type=click.Choice(["youtube", "facebook", "instagram"]))
@click.option(
    "--credentials-stdin",
    is_flag=True,
    required=True,
    help="Read the platform's JSON from stdin: never in the command line, where others see it.",
)
@click.option("--practice", is_flag=True, help="On this box's own stand-in of the platform.")
@click.option("--no-check", is_flag=True, help="Don't ask the platform whether it works.")
@json_option
def add(
    platform: str, credentials_stdin: bool, practice: bool, no_check: bool, as_json: bool
) -> None:
    """Add an account of PLATFORM without a browser; prints its id.

    youtube: {"refresh_token", "client_id", "client_secret"}; facebook: {"page_id", "page_token"};
    instagram: {"instagram_id", "page_token"}. docs/accounts.md says where they come from.
    """
    from appliance.vault import open_vault
    from tasks.connect import by_hand

    settings = ready_settings()
    account = by_hand.bring_in(
        settings,
        open_vault(settings),
        platform,
        _read_json(),
        practice=practice,
        check=not no_check,
    )
    if as_json:
        print_json({"id": account.public_id, "platform": platform, "name": account.name})
    else:
        click.echo(account.public_id)


def _read_json() -> Any:
    """What stdin holds. Raises InvalidInput, which never repeats any of it."""
    text = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise InvalidInput("These are more than 64 kB: no credentials of a platform.")
    try:
        return json.loads(text)
    except ValueError:
        # Not with a cause: its text would quote what was read.
        raise InvalidInput("What came by stdin is no JSON.") from None


@accounts.command()
@click.argument("wanted", nargs=-1, metavar="[ACCOUNT]…")
@click.option("--timeout", "timeout_s", type=click.FloatRange(1), default=60.0, show_default=True)
@remote
def check(wanted: Sequence[str], timeout_s: float, box: Box, as_json: bool) -> int:
    """Have the sign-ins of ACCOUNTs tried, by id or name; without one, all that have a sign-in.

    Ends with 1 when somebody has to sign in again.
    """
    items = box.get("/api/v1/accounts")["items"]
    ids = choose(items, wanted) if wanted else [i["id"] for i in items if _has_sign_in(i)]
    before = {item["id"]: item["checked_at"] for item in items}
    for id in ids:
        box.post(f"/api/v1/accounts/{id}/check")
    found = _wait(box, ids, before, timeout_s)
    if as_json:
        print_json({"items": found})
    else:
        print_table(
            ("Id", "Platform", "Name", "State", "About"),
            [
                (i["id"], i["platform"], i["name"], i["state"], i["error"] or i["warning"])
                for i in found
            ],
            none="There is no account with a sign-in.",
        )
    return 1 if any(item["state"] != "connected" for item in found) else 0


def _has_sign_in(item: Any) -> bool:
    return item["platform"] in ("youtube", "facebook", "instagram")


def _wait(box: Box, ids: Sequence[str], before: dict[str, Any], timeout_s: float) -> list[Any]:
    """The accounts once all were looked at. Raises ApplianceError when that takes too long."""
    found: list[Any] = []

    def look() -> bool:
        nonlocal found
        items = {item["id"]: item for item in box.get("/api/v1/accounts")["items"]}
        found = [items[id] for id in ids if id in items]
        return all(item["checked_at"] != before[item["id"]] for item in found)

    if not until(look, within_s=timeout_s):
        raise ApplianceError(
            f"No answer within {timeout_s:.0f} s. Look at `appliance jobs list`: either the "
            "delivery worker doesn't run, or the platform can't be reached."
        )
    return found


@accounts.command()
@click.argument("account", metavar="ACCOUNT")
@click.option("--yes", is_flag=True, help="Don't ask.")
@remote
def remove(account: str, yes: bool, box: Box, as_json: bool) -> None:
    """Disconnect ACCOUNT (id or name): its sign-in is given back to the platform and forgotten."""
    (id, *more) = choose(box.get("/api/v1/accounts")["items"], [account])
    if more:
        raise InvalidInput(f"“{account}” means {1 + len(more)} accounts. Name one by its id.")
    if not yes:
        click.confirm("Disconnect it? Posts to it wait until it is back.", abort=True, err=True)
    gone = box.delete(f"/api/v1/accounts/{id}")
    if as_json:
        print_json(gone)
    else:
        click.echo(f"{gone['name']} is disconnected.")


@accounts.command()
@click.argument("reason", required=False, default="")
@remote
def pause(reason: str, box: Box, as_json: bool) -> None:
    """Hold back every post of everybody, to all accounts. REASON: for the others to read."""
    held = box.put("/api/v1/posting", {"paused": True, "reason": reason})
    if as_json:
        print_json(held)
    else:
        click.echo("All posting is paused. `appliance accounts resume` lets posts go again.")


@accounts.command()
@remote
def resume(box: Box, as_json: bool) -> None:
    """Let posts go again."""
    held = box.put("/api/v1/posting", {"paused": False})
    if as_json:
        print_json(held)
    else:
        click.echo("Posts go again.")


@accounts.command()
@remote
def practice(box: Box, as_json: bool) -> None:
    """Make an account on this box's stand-in of each platform: nothing leaves the box."""
    begun = box.post("/api/v1/accounts/practice")
    if as_json:
        print_json(begun)
    else:
        click.echo("Begun. `appliance accounts list` has them in a moment.")


@accounts.command(name="setup")
@click.argument("platform", type=click.Choice(["youtube", "facebook", "instagram"]))
@json_option
def set_up(platform: str, as_json: bool) -> None:
    """Print what has to be done once at PLATFORM, and what this box sees of it."""
    from appliance.connections import provider_of
    from appliance.oauth_clients import PROVIDERS
    from web.account_rows import load_steps

    name = provider_of(platform)
    provider = next((known for known in PROVIDERS if known == name), None)
    if provider is None:
        raise NotFound("There is no such platform.")
    with opened_box() as settings:
        steps = load_steps(settings, provider)
    if as_json:
        shown = [
            {
                "name": step.name,
                "title": step.title,
                "text": step.text,
                "verdict": step.verdict.value,
                "finding": step.finding,
                "link": step.link,
                "copies": dict(step.copies),
            }
            for step in steps
        ]
        print_json({"items": shown})
        return
    for number, step in enumerate(steps, 1):
        click.secho(f"{number}. {step.title}  [{step.verdict.value}]", bold=True)
        click.echo(f"   {step.text}")
        print_facts({f"   {label}": text.replace("\n", " ") for label, text in step.copies})
        print_facts({"   Page": step.link, "   Seen": step.finding})
