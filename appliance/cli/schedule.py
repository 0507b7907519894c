"""`appliance schedule`: what goes out when, slots, approval, and what becomes of late posts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import OneByDefault, print_facts, print_json, print_table
from appliance.cli.posts import choose, read_time
from appliance.cli.remote import remote
from appliance.slots import DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.cli.remote import Box

WEEKDAYS = [day.lower() for day in DAYS]


@click.group(cls=OneByDefault, default="list")
def schedule() -> None:
    """What goes out when. Without a command: list."""


@schedule.command(name="list")
@click.option("--since", metavar="TIME", help="With its zone; default: now.")
@click.option("--until", metavar="TIME", help="Default: four weeks later.")
@click.option("--zone", metavar="NAME", help="Whose clocks, such as Europe/Berlin; default: yours.")
@remote
def list_planned(
    since: str | None, until: str | None, zone: str | None, box: Box, as_json: bool
) -> None:
    """What is planned, by your clocks and the team's; what is late or waits for approval."""
    found = box.get("/api/v1/schedule", since=since, until=until, time_zone=zone)
    if as_json:
        print_json(found)
        return
    for heading, items in (("Late", found["late"]), ("Needs approval", found["needs_approval"])):
        if items:
            click.secho(f"{heading}:", bold=True)
            print_table(("Id", "Due", "Title"), [_short(item) for item in items], none="")
            click.echo()
    print_table(
        (
            "Id",
            found["time_zone"],
            found["team_time_zone"],
            "State",
            "Title",
            "Accounts",
            "Conflict",
        ),
        [_row(item) for item in found["items"]],
        none="Nothing is planned.",
    )


def _short(item: Any) -> tuple[Any, ...]:
    return item["post_id"], _clock(item["local_time"]), item["title"]


def _row(item: Any) -> tuple[Any, ...]:
    accounts = ", ".join(account["name"] for account in item["accounts"])
    state = "needs approval" if item["approval"] == "requested" else item["status"]
    return (
        item["post_id"],
        _clock(item["local_time"]),
        _clock(item["team_time"]),
        "late" if item["late_since"] else state,
        item["title"],
        accounts,
        " ".join(item["conflicts"]),
    )


def _clock(written: str | None) -> str | None:
    return written.replace("T", " ") if written else None


@schedule.command(name="next")
@click.option("--to", "wanted", metavar="ACCOUNT", multiple=True, help="Free for these accounts.")
@remote
def next_slot(wanted: Sequence[str], box: Box, as_json: bool) -> None:
    """The next free slot."""
    items = box.get("/api/v1/accounts")["items"] if wanted else []
    found = box.get("/api/v1/slots/next", accounts=choose(items, wanted) or None)
    if as_json:
        print_json(found)
    else:
        click.echo(found["publish_at"])


@schedule.command()
@click.argument("post_id", metavar="POST")
@click.option("--at", metavar="TIME", help='"2026-12-24 18:00", or with a zone "…+01:00".')
@click.option("--zone", metavar="NAME", help="Whose clocks --at means; default: the post's.")
@click.option("--second", is_flag=True, help="Of a time that the clocks show twice, the later one.")
@click.option("--slot", is_flag=True, help="To the next free slot.")
@click.option("--now", is_flag=True, help="As soon as it can.")
@remote
def move(
    post_id: str,
    at: str | None,
    zone: str | None,
    second: bool,
    slot: bool,
    now: bool,
    box: Box,
    as_json: bool,
) -> None:
    """Choose another time for POST; also for a late one, and for drafts."""
    if sum((at is not None, slot, now)) != 1:
        raise click.UsageError("Give one of --at, --slot and --now.")
    body: dict[str, Any] = {"time_zone": zone}
    if at is not None:
        when = read_time(at)
        if when.tzinfo is None:
            body |= {"local_time": when.isoformat(), "second": second}
        else:
            body["publish_at"] = when.isoformat()
    else:
        body |= {"slot": slot, "now": now}
    _tell(box.post(f"/api/v1/posts/{post_id}/reschedule", _given(body)), as_json)


@schedule.command()
@click.argument("post_id", metavar="POST")
@click.option("--note", default="", help="For its author.")
@click.option("--now", is_flag=True, help="At once, though its time has passed.")
@click.option("--again", is_flag=True, help="Also when another post of the same is on its way.")
@remote
def approve(post_id: str, note: str, now: bool, again: bool, box: Box, as_json: bool) -> None:
    """Say yes to POST: it goes out at its time."""
    body = {"note": note, "now": now, "again": again}
    _tell(box.post(f"/api/v1/posts/{post_id}/approve", body), as_json)


@schedule.command()
@click.argument("post_id", metavar="POST")
@click.option("--note", required=True, help="What should be changed.")
@remote
def refuse(post_id: str, note: str, box: Box, as_json: bool) -> None:
    """Send POST back to its author."""
    _tell(box.post(f"/api/v1/posts/{post_id}/refuse", {"note": note}), as_json)


def _tell(made: Any, as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        words = (made["post_id"], made["status"], made["publish_at"] or "as soon as it can")
        click.echo("  ".join(words))


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


@schedule.command()
@remote
def slots(box: Box, as_json: bool) -> None:
    """List the times of the week at which you post."""
    found = box.get("/api/v1/slots")
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Day", "Time", "Zone", "Next"),
        [(s["id"], s["day"], s["time"], s["time_zone"], s["next_at"]) for s in found["items"]],
        none="No slots are set up.",
    )


@schedule.command(name="add-slot")
@click.argument("day", type=click.Choice(WEEKDAYS, case_sensitive=False))
@click.argument("clock", metavar="TIME")
@click.option("--zone", metavar="NAME", help="Whose clocks; default: the team's.")
@remote
def add_slot(day: str, clock: str, zone: str | None, box: Box, as_json: bool) -> None:
    """Add a slot, such as: friday 18:00."""
    body = {"weekday": WEEKDAYS.index(day.lower()), "time": clock, "time_zone": zone}
    made = box.post("/api/v1/slots", _given(body))
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made['id']}  {made['day']} {made['time']} ({made['time_zone']})")


@schedule.command(name="remove-slot")
@click.argument("slot_id", metavar="SLOT")
@remote
def remove_slot(slot_id: str, box: Box, as_json: bool) -> None:
    """Remove a slot; what is planned for it stays."""
    box.delete(f"/api/v1/slots/{slot_id}")
    if as_json:
        print_json({"removed": slot_id})


@schedule.command()
@click.option("--approval", type=click.Choice(["nobody", "editors", "everybody"]))
@click.option("--apart", type=int, metavar="MINUTES", help="Closer posts are a conflict; 0: never.")
@click.option("--when-late", type=click.Choice(["ask", "post"]))
@click.option(
    "--late-after", type=float, metavar="SECONDS", help="What is later than that is late."
)
@remote
def rules(
    approval: str | None,
    apart: int | None,
    when_late: str | None,
    late_after: float | None,
    box: Box,
    as_json: bool,
) -> None:
    """Show the rules of the schedule, or change those that are given."""
    body = {
        "approval": approval,
        "apart_minutes": apart,
        "when_late": when_late,
        "late_after_s": late_after,
    }
    path = "/api/v1/schedule/rules"
    found = box.patch(path, _given(body)) if _given(body) else box.get(path)
    if as_json:
        print_json(found)
    else:
        print_facts(found)
