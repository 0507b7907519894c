"""`appliance storage move`: take the whole data folder to another disk."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import go_on_alone, json_option, print_json, tell
from appliance.cli.release_steps import step
from appliance.db import database, open_database
from appliance.migrate import require_current
from appliance.release_run import CONFIG, Asking, user_of_box
from appliance.releases import PREFIX
from appliance.services import ALL, Idle, find_services
from appliance.settings import load_settings
from appliance.text import describe_size

if TYPE_CHECKING:
    from appliance.services import Services
    from appliance.settings import Settings

_TELL_S = 1.0


@click.command()
@click.argument("target", metavar="[NEW_FOLDER]", required=False,
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--forget-old", is_flag=True, help="Remove the folder that the data was moved from.")
@click.option("--yes", is_flag=True, help="Don't ask before removing it.")
@click.option(
    "--services",
    "wish",
    metavar="PROGRAM",
    default="systemd",
    show_default=True,
    help="What stops and starts the box; `none`: it is stopped already.",
)
@click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    default=PREFIX,
    show_default=True,
    help="The folder of the releases.",
)
@click.option("--user", metavar="NAME", help="Who owns the data. Default: appliance, for root.")
@json_option
def move(
    target: Path | None,
    forget_old: bool,
    yes: bool,
    wish: str,
    prefix: Path,
    user: str | None,
    as_json: bool,
) -> None:
    """Move all data to NEW_FOLDER on another disk, and lead the old path to it.

    It copies while the box runs, then stops it for the rest: requests wait meanwhile. Every file is
    compared. After an interruption run it again. The old folder stays until --forget-old.
    """
    from storage import moved

    asking = Asking(user_of_box(user))
    if "APPLIANCE_CONFIG" not in os.environ and CONFIG.is_file():
        os.environ["APPLIANCE_CONFIG"] = str(CONFIG)
    settings = load_settings()
    if forget_old:
        if target is not None:
            raise click.UsageError("--forget-old takes no folder.")
        moved.settle_switch(settings.data)
        _forget(asking, yes, as_json)
        return
    if target is None:
        raise click.UsageError("Which folder? Name one on the new disk.")
    box = find_services(wish)
    said = _move(settings, target.absolute(), asking, box, prefix / "current")
    if as_json:
        print_json(said)
    elif not said["changed"]:
        click.echo(f"Nothing to do: the data is in {target}.")
    else:
        click.echo(
            f"The data is in {target}: {said['files']} files, {describe_size(said['bytes'])}, "
            f"each compared. The old folder is {said['old']}; `appliance storage move "
            "--forget-old` removes it."
        )
        for name in said["wrong"]:
            click.secho(f"{name} had changed already before the move.", fg="yellow")


def _forget(asking: Asking, yes: bool, as_json: bool) -> None:
    if not yes:
        click.confirm("Remove the folder that the data was moved from?", abort=True, err=True)
    places = asking.ask(None, "move-forget")["old"]
    for old in places:
        with suppress(OSError):  # not ours to remove, or something of others is in it
            Path(old).rmdir()
    if as_json:
        print_json({"old": places})
    else:
        click.echo(f"Removed what was in {', '.join(places)}.")


def _move(
    settings: Settings, target: Path, asking: Asking, box: Services, release: Path
) -> dict[str, Any]:
    from storage import moved, moving
    from storage.backups import in_use

    data = settings.data
    moved.settle_switch(data)
    if data.resolve() == target.resolve():
        box.let_go()
        box.start(*ALL)
        return {"changed": False}
    moving.refuse_place(data, target)
    if os.geteuid() == 0 and not target.is_symlink():
        moving.lay_out(data, target)
    tell("Copying while the box runs …")
    asking.ask(None, "move-copy", str(target), aloud=True)
    tell("Stopping the box for the rest; requests wait …")
    go_on_alone()
    try:
        box.hold()
        box.stop(*ALL)
        # Also no command at somebody's shell, which has no unit.
        with in_use.alone(data):
            tally = asking.ask(None, "move-copy", str(target), "--final", aloud=True)
            old = moved.switch(data, target)
        try:
            _try(box, release)
        except Exception:
            tell("It does not work there: back to the old folder …")
            moved.switch_back(data, old)
            raise
    finally:
        box.let_go()
        box.start(*ALL)
    return {"changed": True, "old": str(old), **tally}


def _try(box: Services, release: Path) -> None:
    """The web process on the new disk, where nobody sees it."""
    if isinstance(box, Idle):
        return
    from appliance.release_health import check_web

    listen = box.begin_trial(release)
    try:
        check_web(listen, 60)
    finally:
        box.end_trial()


# As the user of the box


@step.command(name="move-copy")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--final", is_flag=True, help="Nothing runs: take all, and the databases.")
def copy(target: Path, final: bool) -> None:
    """One run over all files."""
    from storage import moving

    settings = load_settings()
    open_database(settings.database_path)
    require_current(settings)
    whole = moving.total_bytes(settings.data)
    if not final:
        moving.refuse(settings.data, target, whole)
    with database.connection_context():
        known = moving.known_digests(settings.data)
    told = time.monotonic()

    def report(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_S and sys.stderr.isatty():
            told = time.monotonic()
            part = min(1.0, done / max(1, whole))
            tell(f"\r{part:.0%} of {describe_size(whole)}", nl=False)

    tally = moving.Mover(settings.data, target, known, report).copy(final=final)
    print_json(asdict(tally))


@step.command(name="move-forget")
def forget() -> None:
    """Remove what is in the old folder."""
    from storage import moved

    print_json({"old": [str(old) for old in moved.forget_old(load_settings().data)]})
