"""What a crash or a sender that never came back has left behind, put right.

Safe in any process at any time: what another request holds is left to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from peewee import PeeweeException

from appliance.clock import now
from appliance.errors import ApplianceError
from appliance.models import Upload
from appliance.states import UploadState
from storage.layout import Layout
from storage.uploads import joining
from storage.uploads.files import open_locked
from storage.uploads.rows import FINAL, OPEN, PARTIAL, UploadGone
from storage.uploads.slots import UploadBusy
from storage.uploads.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings

log = logging.getLogger(__name__)

# A file is made before its row; one that is older than this never gets one.
_ROWLESS_S = 60.0
# A sweep joins parts for so long; the web process (web/upload_joins.py), as long as it takes.
_JOIN_S = 2.0
_KEEP_ENDED = timedelta(days=7)
# By the IETF draft a sender says when its file is whole. There are clients that send all bytes
# and never say so (tus-js-client 4.3 with streams): their files are taken, rather than thrown away.
_UNSAID = timedelta(minutes=10)


@dataclass
class Recovered:
    finished: int = 0
    ended: int = 0
    files_removed: int = 0
    rows_removed: int = 0


def recover(settings: Settings) -> Recovered:
    """Finish uploads that were cut short after their last byte, end idle ones, sweep the rest.

    Wants an open database connection.
    """
    store = Store(settings, Layout(settings.data))
    done = Recovered()
    join_until_s = time.monotonic() + _JOIN_S
    for row in list(Upload.select().where(Upload.state.in_(OPEN)).order_by(Upload.id)):
        try:
            if row.concat == FINAL:
                _join(store, row, done, join_until_s)
            else:
                _recover_one(store, row, done)
        except UploadBusy:
            continue
        except UploadGone as exc:
            done.ended += 1
            log.info("upload %s has ended: %s", row.public_id, exc)
        except (ApplianceError, OSError, PeeweeException) as exc:
            log.warning("upload %s can't be recovered now: %s", row.public_id, exc)
    done.files_removed = _remove_rowless_files(store.layout)
    done.rows_removed = _remove_old_rows()
    return done


def _join(store: Store, row: Upload, done: Recovered, until_s: float) -> None:
    if joining.join(store, row, enough=lambda: time.monotonic() > until_s):
        done.finished += 1
        log.info("upload %s was joined after a cut", row.public_id)


def _recover_one(store: Store, row: Upload, done: Recovered) -> None:
    held = store.hold(row)
    try:
        if held.row.concat == PARTIAL and held.row.complete_declared:
            return  # it waits for the other parts
        unsaid = held.all_here and now() - held.row.touched_at > _UNSAID
        if held.row.state is UploadState.FINISHING or held.is_whole or unsaid:
            store.finish(held)
            done.finished += 1
            log.info("upload %s was finished after a cut", row.public_id)
    finally:
        held.close()


def _remove_rowless_files(layout: Layout) -> int:
    removed = 0
    for path in layout.uploads.iterdir():
        with contextlib.suppress(FileNotFoundError):  # finished or ended this very moment
            if time.time() - path.lstat().st_mtime > _ROWLESS_S and not _has_row(path):
                removed += _remove_unless_held(path)
    return removed


def _has_row(path: Path) -> bool:
    rows = Upload.select().where(Upload.public_id == path.name, Upload.state.in_(OPEN))
    return bool(rows.exists())


def _remove_unless_held(path: Path) -> int:
    try:
        handle = open_locked(path)
    except (UploadBusy, OSError):
        return 0
    try:
        # Under the lock once more: its maker holds it until the row is there.
        if _has_row(path):
            return 0
        path.unlink(missing_ok=True)
        return 1
    finally:
        os.close(handle)


def _remove_old_rows() -> int:
    """Ended uploads answer 410 for a while, then 404."""
    ended = Upload.state.not_in(OPEN)
    return int(Upload.delete().where(ended, Upload.touched_at < now() - _KEEP_ENDED).execute())
