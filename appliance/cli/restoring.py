"""What `appliance backup restore` does, and what the first page of a new box has it do."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from appliance.errors import ApplianceError, Conflict, InvalidInput, NotFound
from appliance.text import describe_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.settings import Settings

_REPORT_EVERY_S = 0.25


@contextmanager
def box_stopped(settings: Settings) -> Iterator[None]:
    """Nobody else uses the data meanwhile.

    Root stops the installed box, goes on as its user in a child, and starts it again whatever the
    child has come to. Anybody else is refused while the box runs. Raises Conflict.
    """
    from storage.backups import in_use, switching

    if os.geteuid() == 0 and _owner(settings) != 0:
        _as_owner(settings)
    with in_use.alone(settings.data):
        # One that was cut short after its point of no return comes first.
        if switching.finish(settings.data):
            click.echo("A restore that was cut short before is finished now.", err=True)
        yield


def _owner(settings: Settings) -> int:
    folder = settings.data
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_uid


def _as_owner(settings: Settings) -> None:
    """Returns in the child, as the user of the box; the parent leaves with the child's code."""
    import pwd

    from appliance import services

    box = services.find_services("systemd")
    user = pwd.getpwuid(_owner(settings))
    click.echo("Stopping the box …", err=True)
    box.hold()
    try:
        box.stop(*services.ALL)
        child = os.fork()
        if child == 0:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name}
            os.umask(0o027)  # as its units: the proxy reads media by its group
            return
        _, status = os.waitpid(child, 0)
    finally:
        if os.geteuid() == 0:
            box.let_go()
            click.echo("Starting the box …", err=True)
            box.start(*services.ALL)
    sys.exit(os.waitstatus_to_exitcode(status))


def restore_or_ask(
    settings: Settings,
    name: str,
    key: str,
    without_sign_ins: bool,
    secrets_to: Path | None,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """As ``restore``; a person at a terminal is asked for the recovery key when it is needed."""
    try:
        return restore(settings, name, key, without_sign_ins, secrets_to, progress)
    except InvalidInput as exc:
        if exc.code != "needs_recovery_key" or not sys.stdin.isatty():
            raise
        click.echo(exc.message, err=True)
        key = click.prompt("Recovery key", hide_input=True, err=True)
    return restore(settings, name, key, without_sign_ins, secrets_to, progress)


def restore(
    settings: Settings,
    name: str,
    key: str,
    without_sign_ins: bool,
    secrets_to: Path | None,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """Only in ``box_stopped``. Raises as ``storage.backups.restore.prepare``."""
    from appliance.durable import write_durably
    from storage.backups import contents, restore
    from storage.backups.folder import BackupFolder

    name = name or BackupFolder(settings.backups).newest()
    prepared = restore.prepare(
        settings, name, key=key, without_sign_ins=without_sign_ins, progress=progress
    )
    old = restore.switch(settings)
    if secrets_to is not None and prepared.secrets:
        kept = {name: one for name, one in prepared.secrets.items() if name != "credentials_key"}
        write_durably(secrets_to.absolute(), contents.secrets_text(kept).encode())
    return {**restore.as_json(prepared), "old_data": old}


def undo(settings: Settings) -> str:
    """Back to the data from before the last restore; where that of now is kept. Raises NotFound."""
    from storage.backups import switching

    kept = switching.kept(settings.data)
    if not kept:
        raise NotFound("No data from before a restore is kept.")
    switching.commit(settings.data, kept[-1])
    return switching.finish(settings.data)


def remove_old(settings: Settings) -> list[str]:
    from storage.backups import switching

    return switching.remove_kept(settings.data)


def describe(done: dict[str, Any]) -> list[str]:
    """What was done, and what is left to do, in sentences."""
    old = done["old_data"]
    kept = (
        [
            f"The data of before is kept in {old}/. Remove it with: "
            "appliance backup restore --remove-old"
        ]
        if old
        else []
    )
    if "now" in done:
        return ["The data from before the restore is back.", *kept]
    said = [
        f"Restored the backup of {done['created_at'][:16].replace('T', ' ')} UTC: "
        f"{done['videos']} videos, {done['files']} files, {describe_size(done['size_bytes'])}."
    ]
    if done["migrated"]:
        said.append(f"Its database was brought to this version ({len(done['migrated'])} steps).")
    if done["lost_uploads"]:
        said.append(f"{done['lost_uploads']} upload(s) that were under way have to be sent again.")
    if done["reconnect"]:
        said.append(f"{done['reconnect']} account(s) have to be connected again.")
    if done["paused"]:
        said.append(
            "Posting is paused: some of what is planned may have been posted since. Look at the "
            "schedule, then let posts go again."
        )
    if done["secret_settings"]:
        said.append(
            f"These secret settings are in the backup: {', '.join(done['secret_settings'])}. "
            "`--secrets-to FILE` writes them down."
        )
    return said + kept


# From the first page of a new box


def prepare_for_restart(settings: Settings, name: str, key: str, without_sign_ins: bool) -> int:
    """Build the data aside while the empty box runs; its processes then start anew and take it.

    Says how far it is in lines of JSON. The lock of the data is not asked for: nothing of it is
    touched, and the switch is left to those who start next (in_use.py).
    """
    from storage.backups import restore, switching

    told_s = 0.0

    def say(**value: Any) -> None:
        click.echo(json.dumps(value))
        sys.stdout.flush()

    def progress(stage: str, fraction: float) -> None:
        nonlocal told_s
        if time.monotonic() - told_s > _REPORT_EVERY_S:
            told_s = time.monotonic()
            say(stage=stage, progress=round(fraction, 4))

    try:
        require_new_box(settings)
        prepared = restore.prepare(
            settings, name, key=key, without_sign_ins=without_sign_ins, progress=progress
        )
        require_new_box(settings)
        switching.commit(settings.data, switching.ASIDE)
    except ApplianceError as exc:
        say(error=exc.message, code=exc.code)
        return 1
    say(done=restore.as_json(prepared))
    return 0


def require_new_box(settings: Settings) -> None:
    """Raises Conflict where somebody has an account: there is something to lose."""
    import sqlite3
    from contextlib import closing

    address = f"{settings.database_path.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db:
        if db.execute("SELECT EXISTS (SELECT 1 FROM user)").fetchone()[0]:
            raise Conflict(
                "This box has accounts already. Restore at its command line: "
                "appliance backup restore"
            )
