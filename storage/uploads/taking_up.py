"""May an upload that somebody comes back to go on, and from where?"""

from __future__ import annotations

from typing import Any

from appliance import guest_links
from appliance.models import Upload
from appliance.states import UploadState, VideoState
from storage.uploads.ending import NO_USER
from storage.uploads.expiry import Life, Moment, moved_to, seconds_left, this_moment
from storage.uploads.files import BytesLost, trusted_size
from storage.uploads.rows import ENDED, PARTIAL, Held


def reason_to_end(held: Held) -> tuple[UploadState | None, str]:
    """Why this upload can't go on, as its last state and a sentence; (None, "") when it can.

    Then its offset is set, and its clock is that of this start of the machine.
    """
    is_part = held.row.concat == PARTIAL  # of a video that will be
    if not is_part and (held.video is None or held.video.state is not VideoState.UPLOADING):
        return UploadState.TERMINATED, "The video was deleted while it was uploaded."
    link_id, owner = held.row.guest_link_id, held.row.owner
    if link_id is not None and guest_links.is_revoked(link_id):
        return UploadState.TERMINATED, guest_links.CUT_OFF
    if owner is not None and owner.deactivated_at is not None:
        return UploadState.TERMINATED, NO_USER
    this = this_moment()
    life = _life_of(held.row)
    if seconds_left(life, this) < 0:
        return UploadState.EXPIRED, ENDED[UploadState.EXPIRED]
    try:
        held.offset = _trusted_offset(held, this)
    except BytesLost as exc:
        return UploadState.LOST, str(exc)
    _move_to(held, this, life)
    return None, ""


def _trusted_offset(held: Held, this: Moment) -> int:
    if held.handle is None:
        raise BytesLost("The bytes of this upload are gone from the disk. Send the file again.")
    row = held.row
    return trusted_size(
        held.handle,
        durable_offset=row.durable_offset,
        same_boot=row.boot_id == this.boot,
    )


def _life_of(row: Upload) -> Life:
    return Life(Moment(row.touched_at, row.boot_id, row.touched_boot_s), row.expires_at)


def _move_to(held: Held, this: Moment, life: Life) -> None:
    """Count on the clock of this start of the machine, and trust it, from here on."""
    row = held.row
    same_boot, moved = row.boot_id == this.boot, moved_to(life, this)
    if same_boot and moved is None:
        return
    life = moved or life
    columns: dict[str, Any] = {
        "boot_id": this.boot,
        "touched_at": life.touched.at,
        "touched_boot_s": life.touched.boot_s,
        "expires_at": life.expires_at,
    }
    if not same_boot:
        columns["settled_offset"] = held.offset
    Upload.update(**columns).where(Upload.id == row.id).execute()
    for name, value in columns.items():
        setattr(row, name, value)
