"""What `appliance backup restore` does, and what the first page of a new box has it do."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

import click

from appliance.cli.frame import tell
from appliance.errors import ApplianceError, Conflict, InvalidInput
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
    from storage.backups import in_use, restore, switching

    if os.geteuid() == 0 and _owner(settings) != 0:
        _as_owner(settings)
    with in_use.alone(settings.data), restore.only_one(settings.data):
        # One that was cut short after its point of no return comes first.
        if switching.finish(settings.data):
            tell("A restore that was cut short before is finished now.")
        yield


@contextmanager
def kept_open(path: Path | None) -> Iterator[TextIO | None]:
    """The file for the secret settings: opened first, as who asked for it. Root's own folder is
    closed to the user of the box, and a file that can't be written is no news for afterwards.

    Raises OSError: it is there already, or may not be.
    """
    if path is None:
        yield None
        return
    with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        try:
            yield file
        finally:
            file.flush()
            if not os.fstat(file.fileno()).st_size:
                with suppress(OSError):  # not ours any more: who began this removes it
                    path.unlink()


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
    tell("Stopping the box …")
    box.hold()
    try:
        box.stop(*services.ALL)
        child = os.fork()
        if child == 0:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name}
            return
        _, status = os.waitpid(child, 0)
    finally:
        if os.geteuid() == 0:
            box.let_go()
            tell("Starting the box …")
            box.start(*services.ALL)
    sys.exit(os.waitstatus_to_exitcode(status))


def restore_or_ask(
    settings: Settings,
    name: str,
    key: str,
    without_sign_ins: bool,
    secrets_to: TextIO | None,
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
    secrets_to: TextIO | None,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """Only in ``box_stopped``. Raises as ``storage.backups.restore.prepare``."""
    from storage.backups import contents, restore
    from storage.backups.folder import BackupFolder

    if secrets_to is not None and not key:
        raise InvalidInput(
            "The secret settings are sealed for the recovery key: --key-stdin reads it.",
            field="recovery_key",
            code="needs_recovery_key",
        )
    name = name or BackupFolder(settings.backups).newest()
    prepared = restore.prepare(
        settings, name, key=key, without_sign_ins=without_sign_ins, progress=progress
    )
    if secrets_to is not None:
        kept = {name: one for name, one in prepared.secrets.items() if name != "credentials_key"}
        secrets_to.write(contents.secrets_text(kept) if kept else "")
        secrets_to.flush()
    old = restore.switch(settings)
    return {**restore.as_json(prepared), "old_data": old}


def undo(settings: Settings) -> dict[str, Any]:
    """Only in ``box_stopped``. Raises as ``storage.backups.restore.undo``."""
    from storage.backups import restore

    done = restore.undo(settings)
    return {"now": "before", "old_data": done.old_data, **asdict(done.opened)}


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
        said = [f"The data from before the restore is back: {done['videos']} videos."]
    else:
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
    if done.get("secret_settings"):
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
        with restore.only_one(settings.data):
            require_new_box(settings)
            prepared = restore.prepare(
                settings, name, key=key, without_sign_ins=without_sign_ins, progress=progress
            )
            require_new_box(settings)
            switching.commit(settings.data, switching.ASIDE)
    except ApplianceError as exc:
        say(error=exc.message, code=exc.code)
        return 1
    except OSError as exc:
        say(error=f"{exc.filename or 'A file'}: {exc.strerror}. Nothing has changed.")
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
