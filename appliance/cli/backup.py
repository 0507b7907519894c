"""`appliance backup`: make, look at, try, restore and remove backups of the whole box."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import (
    go_on_alone,
    json_option,
    print_json,
    print_table,
    ready_settings,
    tell,
)
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.settings import load_settings
from appliance.text import describe_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from storage.backups.listing import Listed


@click.group()
def backup() -> None:
    """Back up the whole box, look whether backups are whole, and restore them."""


@backup.command()
@click.option("--scheduled", is_flag=True, help="By a timer: then old ones are removed, too.")
@json_option
def create(scheduled: bool, as_json: bool) -> None:
    """Make a backup now, while the box works."""
    from storage.backups import keys, running

    settings = ready_settings()
    with progress_shown(as_json) as progress:
        made = running.run_create(settings, scheduled=scheduled, progress=progress)
        pruned = running.run_prune(settings, progress=progress) if scheduled else None
    with database.connection_context():
        has_key = keys.known_key() is not None
    if as_json:
        print_json({**asdict(made), "removed": pruned.removed if pruned else []})
        return
    click.echo(
        f"{made.name}: {made.files} files, {describe_size(made.size_bytes)}, "
        f"of which {made.new_files} new."
    )
    for problem in made.problems:
        click.echo(f"  {problem}")
    if pruned and pruned.removed:
        click.echo(f"Removed: {', '.join(pruned.removed)}.")
    if not has_key:
        click.echo(
            "The accounts' sign-ins are not in it: there is no recovery key yet. "
            "Make one: appliance backup key",
            err=True,
        )


@backup.command(name="list")
@json_option
def list_all(as_json: bool) -> None:
    """The backups there are, the newest first."""
    from storage.backups import listing

    if has_database():
        settings = ready_settings()
        with database.connection_context():
            found = listing.backups(settings)
    else:
        settings = load_settings()
        found = listing.without_runs(settings)
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    print_table(
        ("name", "made", "videos", "files", "size", "secrets", "looked at", "state"),
        [
            (
                one.summary.name,
                _when(one.summary.created_at),
                one.summary.videos,
                one.summary.files,
                describe_size(one.summary.size_bytes),
                "yes" if one.summary.has_secrets else "no",
                _when(one.verified_at),
                _state(one),
            )
            for one in found
        ],
        none=f"There is no backup in {settings.backups} yet. Make one: appliance backup create",
    )


def _as_json(one: Listed) -> dict[str, Any]:
    value = asdict(one.summary)
    value["created_at"] = one.summary.created_at and one.summary.created_at.isoformat()
    value["verified_at"] = one.verified_at and one.verified_at.isoformat()
    return {**value, "is_good": one.is_good, "found": one.found}


def _state(one: Listed) -> str:
    if one.summary.damaged:
        return one.summary.damaged
    if one.is_good is None:
        return "not looked at"
    return "good" if one.is_good else f"damaged: {'; '.join(one.found[:2])}"


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


@backup.command()
@click.argument("name", default="")
@click.option("--quick", is_flag=True, help="Compare sizes only; don't read the files.")
@json_option
def verify(name: str, quick: bool, as_json: bool) -> int:
    """Look whether a backup (default: the newest) is whole. Ends with 1 when it is not."""
    from storage.backups import running
    from storage.backups import verify as verifying
    from storage.backups.folder import BackupFolder

    settings = ready_settings() if (written_down := has_database()) else load_settings()
    folder = BackupFolder(settings.backups)
    name = name or folder.newest()
    with progress_shown(as_json) as progress:
        if written_down:
            found = running.run_verify(settings, name, quick=quick, progress=progress)
        else:
            found = verifying.verify(folder, name, quick=quick, progress=progress)
    if as_json:
        print_json(asdict(found))
    elif found.is_good:
        how = "all sizes are right" if quick else "every byte is what it was"
        click.echo(f"{name}: {found.files} files; {how}.")
    else:
        click.echo(f"{name} is damaged:")
        for problem in found.problems:
            click.echo(f"  {problem}")
    return 0 if found.is_good else 1


@backup.command()
@click.argument("name", default="")
@json_option
def drill(name: str, as_json: bool) -> int:
    """Restore a backup (default: the newest) on trial, where it harms nobody.

    Ends with 1 when it could not be restored.
    """
    from storage.backups import running

    settings = ready_settings()
    with progress_shown(as_json) as progress:
        found = running.run_drill(settings, name, progress)
    if as_json:
        print_json(asdict(found))
    elif not found.problems:
        click.echo(
            f"{found.name} can be restored: {found.videos} videos, {found.files} files, "
            f"{describe_size(found.size_bytes)}."
        )
    else:
        click.echo(f"{found.name} can't be restored:")
        for problem in found.problems:
            click.echo(f"  {problem}")
    return 1 if found.problems else 0


@backup.command()
@click.argument("names", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Don't ask (for backups that are named).")
@json_option
def prune(names: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the backups that the policy no longer keeps, or those that are named."""
    from storage.backups import keys, running
    from storage.backups.folder import BackupFolder
    from storage.backups.prune import choose, require

    settings = ready_settings()
    if dry_run:
        with database.connection_context():
            keep = keys.keeping(settings).keep
        folder = BackupFolder(settings.backups)
        require(folder, names)
        chosen = list(names) or choose(folder, keep, settings)
        if as_json:
            print_json({"dry_run": True, "removed": chosen})
        else:
            click.echo("\n".join(chosen) or "Nothing would be removed.")
        return
    if names and not yes:
        click.confirm(f"Remove {', '.join(names)} for good?", abort=True, err=True)
    with progress_shown(as_json) as progress:
        done = running.run_prune(settings, names=list(names) or None, progress=progress)
    if as_json:
        print_json(asdict(done))
        return
    click.echo(
        f"{len(done.removed)} removed, {done.kept} kept; {describe_size(done.freed_bytes)} freed."
    )
    for name in done.unread:
        click.echo(f"{name} can't be read: no file was removed because of it.", err=True)


@backup.command()
@click.option("--new", is_flag=True, help="Make another; older backups keep the old one.")
@click.option("--check", is_flag=True, help="Read a key from standard input; 1: another one.")
@json_option
def key(new: bool, check: bool, as_json: bool) -> int:
    """Make the recovery key and print it, this once: it opens the sign-ins in a backup."""
    from storage.backups import keys, recovery_key

    ready_settings()
    with database.connection_context():
        if check:
            known = keys.known_key()
            if known is None:
                raise InvalidInput("There is no recovery key yet. Make one: appliance backup key")
            is_right = recovery_key.fits(sys.stdin.readline(), known.verifier)
            print_json({"fits": is_right}) if as_json else click.echo(
                "It is the recovery key of this box." if is_right else "It is another key."
            )
            return 0 if is_right else 1
        made = keys.make_key(None, replace=new)
        known = keys.known_key()
    if as_json:
        print_json({"recovery_key": made, "id": known.id if known else ""})
    else:
        click.echo(made)
        click.echo(
            "Write it down and keep it away from this box: it is not shown again. Restoring on "
            "another machine needs it for the accounts' sign-ins.",
            err=True,
        )
    return 0


@backup.command()
@click.argument("name", default="")
@click.option("--key-stdin", is_flag=True, help="Read the recovery key from standard input.")
@click.option("--without-sign-ins", is_flag=True, help="Connect the accounts again afterwards.")
@click.option("--secrets-to", type=click.Path(path_type=Path), help="Write secret settings there.")
@click.option("--undo", is_flag=True, help="Go back to the data from before the last restore.")
@click.option("--remove-old", is_flag=True, help="Remove the data from before restores for good.")
@click.option("--at-restart", is_flag=True, hidden=True, help="Of the first page of a new box.")
@json_option
def restore(
    name: str,
    key_stdin: bool,
    without_sign_ins: bool,
    secrets_to: Path | None,
    undo: bool,
    remove_old: bool,
    at_restart: bool,
    as_json: bool,
) -> int:
    """Restore a backup (default: the newest) in place of the data of this box.

    Everything is checked before anything changes; the data of today is kept. The box must be
    stopped. As root on an installed box it is stopped and started for you.
    """
    from appliance.cli import restoring

    settings = load_settings()
    recovery_key = sys.stdin.readline().strip() if key_stdin else ""
    if at_restart:
        return restoring.prepare_for_restart(settings, name, recovery_key, without_sign_ins)
    if remove_old:  # of no concern to what runs
        removed = restoring.remove_old(settings)
        if as_json:
            print_json({"removed": removed})
        else:
            click.echo(f"Removed: {', '.join(removed)}." if removed else "Nothing was kept.")
        return 0
    go_on_alone()
    os.umask(0o027)  # as the units of the box: the proxy reads media by its group
    with restoring.kept_open(secrets_to) as secrets, restoring.box_stopped(settings):
        if undo:
            done = restoring.undo(settings)
        else:
            with progress_shown(as_json) as progress:
                done = restoring.restore_or_ask(
                    settings, name, recovery_key, without_sign_ins, secrets, progress
                )
    if as_json:
        print_json(done)
    else:
        for sentence in restoring.describe(done):
            click.echo(sentence)
    return 0


def has_database() -> bool:
    """Whether the box has one that can be read: what looks at backups goes without, since they are
    what helps then. Others say what is wrong with it."""
    path = load_settings().database_path
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            tables = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as exc:
        tell(f"The database can't be read ({exc}): without what it says of the backups.")
        return False
    return bool(tables)


@contextmanager
def progress_shown(as_json: bool) -> Iterator[Callable[[str, float], None]]:
    """On the terminal of a person; nowhere else."""
    shown = not as_json and sys.stderr.isatty()

    def show(stage: str, fraction: float) -> None:
        if shown:
            tell(f"\r\x1b[K{stage}: {fraction:.0%}", nl=False)

    try:
        yield show
    finally:
        if shown:
            tell("\r\x1b[K", nl=False)
