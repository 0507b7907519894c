"""When somebody should look into what has come of a file, long before all of it is here.

The look itself is a job of the quick queue (tasks/early_look). A job that is lost does no harm:
all that it could say is said again when the whole file is checked.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from peewee import PeeweeException

from appliance import jobs
from appliance.clock import now
from appliance.models import Upload
from appliance.states import VideoState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from appliance.models import Video
    from storage.uploads.rows import Held

log = logging.getLogger(__name__)

# Demuxers know a file's kind from the first of these; where no header names the tracks they look
# for them in 5 MB; the indexes of long films have some MiB.
LOOK_AT = (1 << 20, 6 << 20, 16 << 20)
# Nobody needs to be told sooner what the check of the whole file says as soon as this.
SOON_S = 4.0
_ON_THEIR_WAY = (VideoState.UPLOADING, VideoState.FAILED)


def next_look(settled: int) -> float:
    """The number of bytes at which the next look is due; infinite after the last one."""
    return next((at for at in LOOK_AT if at > settled), math.inf)


def crossed(before: int, after: int) -> int | None:
    """The furthest of the marks that were passed between two settled offsets."""
    return max((at for at in LOOK_AT if before < at <= after), default=None)


def ends_soon(offset: int, length: int | None, began_at: datetime, at: datetime) -> bool:
    """Whether all of it will be here before a look would have ended, at the pace so far."""
    if length is None or offset <= 0:
        return False
    elapsed_s = max(0.0, (at - began_at).total_seconds())
    return elapsed_s * (length - offset) / offset < SOON_S


def ask(held: Held, mark: int) -> None:
    """Have the bytes up to ``mark`` looked into, once. Never raises: the upload is worth more."""
    row, video = held.row, held.video
    if video is None or held.all_here or ends_soon(held.offset, row.length, row.created_at, now()):
        return
    try:
        known = Upload.select(Upload.early_look).where(Upload.id == row.id).scalar()
        if known and known["final"]:
            return
        jobs.create(
            "early_look",
            f"early_look:{row.public_id}:{row.rewound}:{mark}",
            video=video,
            payload={"upload_id": row.public_id},
        )
    except PeeweeException:
        log.warning("no early look into upload %s", row.public_id, exc_info=True)


def looks_of(wanted: Iterable[Video]) -> dict[int, dict[str, Any]]:
    """What the first bytes told (tasks/early_look), by the row id of the video.

    For those that are being uploaded, or came to nothing; of what has arrived more is known.
    """
    ids = [v.id for v in wanted if v.received_at is None and v.state in _ON_THEIR_WAY]
    if not ids:
        return {}
    rows = Upload.select(Upload.video, Upload.early_look).where(
        Upload.video.in_(ids), Upload.early_look.is_null(False)
    )
    return {int(row.video_id or 0): row.early_look for row in rows.order_by(Upload.id)}
