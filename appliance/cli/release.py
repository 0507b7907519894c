"""`appliance release`: look at a new release, take it into use, go back, tidy up."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import releases
from appliance.cli.doctor import print_finding
from appliance.cli.frame import go_on_alone, json_option, print_json, print_table, tell
from appliance.cli.release_steps import step
from appliance.doctor import Verdict
from appliance.errors import ApplianceError
from appliance.release_lock import alone
from appliance.release_run import Asking, user_of_box
from appliance.releases import Prefix
from appliance.services import Idle, find_services

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from appliance.activation import Activation
    from appliance.services import Services

_path = click.argument("path", type=click.Path(path_type=Path))
_prefix = click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    default=releases.PREFIX,
    show_default=True,
    help="The folder of the releases.",
)
_user = click.option(
    "--user", metavar="NAME", help="Who owns the data. Default: appliance, where root works."
)


def _acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of what starts and stops the box."""
    for option in (
        click.option(
            "--services",
            "wish",
            metavar="PROGRAM",
            default="systemd",
            show_default=True,
            help="What starts and stops the box, where that isn't systemd.",
        ),
        click.option(
            "--deadline",
            "deadline_s",
            type=click.FloatRange(min=1),
            default=60.0,
            show_default=True,
            help="Seconds that a process may take until it does its work.",
        ),
        _user,
        _prefix,
        json_option,
    ):
        command = option(command)
    return command


@click.group()
def release() -> None:
    """Upgrade the box and go back: releases stand side by side, one of them is in use."""


release.add_command(step)


def _activation(
    prefix: Path, user: str | None, box: Services, deadline_s: float = 60.0
) -> Activation:
    from appliance.activation import Activation

    return Activation(
        Prefix(prefix), box, Asking(user_of_box(user)), say=tell, deadline_s=deadline_s
    )


def _acting_activation(*args: Any) -> Activation:
    go_on_alone()
    return _activation(*args)


@release.command()
@_path
@click.option("--no-rehearsal", is_flag=True, help="Don't run the migrations on a copy.")
@_user
@_prefix
@json_option
def check(path: Path, no_rehearsal: bool, user: str | None, prefix: Path, as_json: bool) -> int:
    """Say whether the release at PATH could be taken into use; nothing is changed.

    Ends with 1 when it could not.
    """
    name = Prefix(prefix).find(path)
    activation = _activation(prefix, user, Idle())
    facts = activation.look(name, rehearse=not no_rehearsal)
    found = releases.judge(facts)
    ready = all(each.verdict is not Verdict.BAD for each in found)
    if as_json:
        print_json(
            {
                "release": name,
                "version": facts.version,
                "ready": ready,
                "pending": facts.pending,
                "findings": [asdict(each) for each in found],
            }
        )
    else:
        for each in found:
            print_finding(each)
    return 0 if ready else 1


@release.command()
@_path
@_acting
def activate(
    path: Path, wish: str, deadline_s: float, user: str | None, prefix: Path, as_json: bool
) -> None:
    """Take the release at PATH into use: backup, migration, trial, switch, check.

    Whatever fails, all is taken back, and the release before it is in use again. May be run again
    after any interruption; activating what is in use does nothing.
    """
    name = Prefix(prefix).find(path)
    activation = _acting_activation(prefix, user, find_services(wish), deadline_s)
    changed = activation.activate(name)
    _report(name, changed, activation, as_json)


@release.command()
@click.option("--to", "wanted", metavar="NAME", help="Default: what was in use before.")
@click.option(
    "--restore-backup",
    is_flag=True,
    help="Where the older program can't read today's database: restore the one from before the "
    "upgrade. What came since is set aside.",
)
@_acting
def rollback(
    wanted: str | None,
    restore_backup: bool,
    wish: str,
    deadline_s: float,
    user: str | None,
    prefix: Path,
    as_json: bool,
) -> None:
    """Go back to the release that was in use before, by the same steps."""
    activation = _acting_activation(prefix, user, find_services(wish), deadline_s)
    name, changed = activation.go_back(wanted, restore_backup=restore_backup)
    _report(name, changed, activation, as_json)


def _report(name: str, changed: bool, activation: Activation, as_json: bool) -> None:
    last = activation.journal.past[-1] if activation.journal.past else None
    backup = last.backup if last is not None and changed else None
    if as_json:
        previous = last.previous if last is not None else None
        print_json({"release": name, "changed": changed, "previous": previous, "backup": backup})
    elif not changed:
        click.echo(f"Nothing to do: {name} is in use.")
    else:
        click.echo(f"{name} is in use.")
        if backup is not None:
            click.echo(f"The database as it was before: {backup}")


@release.command()
@click.option("--at-boot", is_flag=True, help="Before anything of the box has been started.")
@_acting
def recover(
    at_boot: bool, wish: str, deadline_s: float, user: str | None, prefix: Path, as_json: bool
) -> None:
    """Finish or take back what a power cut has left of an activation; otherwise do nothing."""
    if releases.read_journal(Prefix(prefix)).under is None:
        found = False
    else:
        box = Idle() if at_boot else find_services(wish)
        found = _acting_activation(prefix, user, box, deadline_s).recover()
    if as_json:
        print_json({"changed": found, "active": Prefix(prefix).active()})
    else:
        active = Prefix(prefix).active()
        click.echo(f"{active or 'Nothing'} is in use." if found else "Nothing to do.")


@release.command(name="list")
@_prefix
@json_option
def list_all(prefix: Path, as_json: bool) -> None:
    """List the releases that are installed, and how the last activations ended."""
    place = Prefix(prefix)
    journal, active = releases.read_journal(place), place.active()
    last = releases.before(list(journal.past), active)
    previous = last.previous if last is not None else None
    if as_json:
        print_json(
            {
                "active": active,
                "previous": previous,
                "releases": place.names(),
                "under_way": asdict(journal.under) if journal.under else None,
                "past": [asdict(each) for each in journal.past],
            }
        )
        return
    marks = {active: "in use", previous: "before that"}
    rows = [(name, marks.get(name, "")) for name in place.names()]
    print_table(("Release", ""), rows, none="No release is installed.")
    if journal.under is not None:
        click.echo(
            f"\nThe activation of {journal.under.to} was cut short: run "
            "`appliance release recover`, or activate again."
        )
    if journal.past:
        click.echo()
        words = {"active": "taken into use", "rolled_back": "taken back"}
        print_table(
            ("When", "Release", "", "Reason"),
            [
                (each.at, each.to, words.get(each.result, each.result), each.reason)
                for each in journal.past
            ],
            none="",
        )


@release.command()
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How many to keep besides the one in use; the one before it stays first.",
)
@click.option(
    "--only-releases",
    is_flag=True,
    help="Leave the copies of the database alone: where its user can't be become.",
)
@_user
@_prefix
@json_option
def prune(keep: int, only_releases: bool, user: str | None, prefix: Path, as_json: bool) -> None:
    """Remove releases, and copies of the database from before upgrades, that are not needed.

    Of the copies the newest three stay, and what a roll-back would take.
    """
    place = Prefix(prefix)
    gone: list[str] = []
    if place.releases.is_dir():
        # Not while another is being taken into use: it would be the one that nobody uses.
        with alone(place.lock, tell):
            journal = releases.read_journal(place)
            if journal.under is not None:
                raise ApplianceError("An activation was cut short: end it first.")
            gone = releases.to_prune(place.names(), list(journal.past), place.active(), keep)
            releases.remove(place, gone)
    copies: list[str] = []
    if not only_releases:
        said = Asking(user_of_box(user)).ask(None, "forget-copies", str(place.path.absolute()))
        copies = said["removed"]
    if as_json:
        print_json({"removed": gone, "removed_copies": copies})
    else:
        lines = [f"removed {name}" for name in [*gone, *copies]]
        click.echo("\n".join(lines) or "Nothing to do.")
