"""What is put right in data that was just restored; runs in the process of opening.py.

The past comes back, and the world has gone on: what was under way then is over, and what was still
to be posted then may have been posted since. So uploads end, everybody signs in again, and posting
waits until a person has looked.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from appliance import events, posting_switch, resealing
from appliance.clock import now
from appliance.db import database, open_database, transaction
from appliance.durable import sync_file
from appliance.errors import SettingsError
from appliance.migrate import migrate
from appliance.models import (
    Account,
    BackupRun,
    Connection,
    Heartbeat,
    PostTarget,
    Session,
    Upload,
    Video,
)
from appliance.settings import Settings
from appliance.states import TARGET_ENDED, RunState, UploadState
from appliance.vault import Vault
from storage.backups import snapshot
from storage.backups.opening import Opened
from storage.layout import Layout
from storage.uploads.ending import end_row
from storage.uploads.rows import OPEN

if TYPE_CHECKING:
    from pathlib import Path

    from storage.backups.opening import Wish

LOST = (
    "The box was restored from a backup that was made while this upload was under way. "
    "Send the file again."
)


def settle(data: Path, wish: Wish) -> Opened:
    """Check, migrate and put right the data in the folder ``data``. Raises ApplianceError."""
    settings = Settings.model_validate({"data": data})
    open_database(settings.database_path)
    with database.connection_context():
        connection = database.obj.connection()
        snapshot.check(connection)
        _compare_rows(snapshot.count_rows(connection), wish.rows)
    migrated = migrate(settings)
    with database.connection_context():
        snapshot.check(database.obj.connection())
        _require_files(Layout(data))
        done = _settle_rows(Layout(data), wish, migrated) if wish.purpose != "drill" else None
        found = done or Opened(
            videos=Video.select().count(), accounts=Account.select().count(), migrated=migrated
        )
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    sync_file(settings.database_path)
    return found


def _compare_rows(here: dict[str, int], expected: dict[str, int]) -> None:
    for table, count in expected.items():
        if here.get(table) != count:
            raise SettingsError(
                f"The table “{table}” has {here.get(table, 0)} rows, and {count} were backed up."
            )


def _require_files(layout: Layout) -> None:
    """Nothing but a folder of a video lies where videos are; all else was checked by its digest."""
    for folder in (layout.media, layout.trash, layout.uploads):
        if not folder.is_dir():
            raise SettingsError(f"The folder {folder.name} is missing.")


def _settle_rows(layout: Layout, wish: Wish, migrated: list[str]) -> Opened:
    is_undo = wish.purpose == "undo"
    lost = 0 if is_undo else _end_uploads(layout)  # what the box has kept has the bytes, too
    resealed = reconnect = 0
    with transaction():
        # Whoever was signed in then may have been signed out, or removed, since.
        Session.delete().execute()
        Connection.delete().execute()
        Heartbeat.delete().execute()
        BackupRun.delete().where(BackupRun.state == RunState.RUNNING).execute()
        if wish.old_key:
            old, new = (Vault(base64.b64decode(key)) for key in (wish.old_key, wish.new_key))
            resealed = resealing.reseal(old, new)
        elif wish.forget_sealed:
            reconnect = resealing.forget()
        paused = _pause_posting(wish)
        target = f"data:{wish.backup}" if is_undo else f"backup:{wish.backup}"
        events.audit(None, "box.restore", target, made_at=wish.made_at)
        BackupRun.create(
            kind="restore",
            state=RunState.COMPLETED,
            name=wish.backup,
            pid=os.getpid(),
            boot_id="",
            finished_at=now(),
            info={"made_at": wish.made_at, "lost_uploads": lost, "paused": paused},
        )
    return Opened(
        videos=Video.select().count(),
        accounts=Account.select().count(),
        migrated=migrated,
        lost_uploads=lost,
        resealed=resealed,
        reconnect=reconnect,
        paused=paused,
    )


def _end_uploads(layout: Layout) -> int:
    """Those whose bytes are not in the backup. One that was whole goes on by itself: its file, or
    that of its video, is there."""
    lost = 0
    for row in list(Upload.select().where(Upload.state.in_(OPEN))):
        if row.state is UploadState.FINISHING and _is_here(layout, row):
            continue
        lost += end_row(layout, row, row.video, row.state, UploadState.LOST, LOST)
    return lost


def _is_here(layout: Layout, row: Upload) -> bool:
    adopted = row.video is not None and layout.original(row.video.public_id).exists()
    return adopted or layout.upload(row.public_id).exists()


def _pause_posting(wish: Wish) -> bool:
    """What was not posted when the backup was made may have been posted since."""
    waiting = PostTarget.select().where(PostTarget.state.not_in(list(TARGET_ENDED)))
    if not waiting.exists() or posting_switch.is_paused():
        return False
    what = "went back to its data" if wish.purpose == "undo" else "was restored from the backup"
    posting_switch.pause(
        None,
        f"The box {what} of {wish.made_at[:16].replace('T', ' ')} UTC. Look at what is planned: "
        "some of it may have been posted since. Then let posts go again.",
    )
    return True
