"""The word of a sender that its file was sent, or won't be. Safe to repeat in every state.

It isn't needed to complete an upload: the last byte does that. It is for scripts that want to be
sure, and for those that give up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import access, videos
from appliance.errors import Conflict, NotFound
from appliance.models import Upload, Video
from appliance.states import UploadState
from storage.uploads import UploadBusy, UploadGone, stop
from storage.uploads.rows import ENDED
from tasks import pipeline

if TYPE_CHECKING:
    from appliance.models import User
    from storage.uploads import Held, Store

# After these the video is gone as well, so there is nothing to speak of any more.
_NOTHING_LEFT = (UploadState.EXPIRED, UploadState.TERMINATED)


class BytesMissing(Conflict):
    """``offset``: how many bytes are here; ``length``: how many there will be, if that is known.

    Both are members of the problem document.
    """

    code = "bytes_missing"

    def __init__(self, what: str, offset: int, length: int | None) -> None:
        super().__init__(f"{what} Send the rest, then say complete again.")
        self.members = {"offset": offset, "length": length}


@dataclass(frozen=True)
class UploadResult:
    """``sha256_matches``: null until both the sender's and the box's own are known."""

    video_id: str
    state: str
    status_url: str
    sha256_matches: bool | None = None


def find(user: User, video_id: str) -> tuple[Video, Upload]:
    """A video that this user is sending. Raises NotFound for everybody else's."""
    video = access.get_video(user, video_id)
    uploads = access.visible_uploads(user).where(Upload.video == video)
    upload = uploads.order_by(Upload.id.desc()).first()
    if upload is None:
        raise NotFound("There is no such upload.")
    return video, upload


def complete(store: Store, upload: Upload, sha256: str | None) -> None:
    """Make sure that all bytes are here and, as far as is known by now, the right ones.

    Raises BytesMissing, Conflict (it failed, or isn't what was sent), NotFound (it is gone).
    """
    try:
        held = store.hold(upload)
        try:
            _finish(store, held, sha256)
        finally:
            held.close()
    except UploadBusy:
        fresh = Upload.get_by_id(upload.id)
        raise BytesMissing("Bytes are arriving.", fresh.settled_offset, fresh.length) from None
    except UploadGone as exc:
        raise _gone(upload, exc) from exc
    if held.video is not None and not pipeline.check_sent_digest(held.video):
        raise Conflict(videos.NOT_AS_SENT, code="digest_mismatch")


def _finish(store: Store, held: Held, sha256: str | None) -> None:
    if not held.complete and not held.all_here:
        if held.offset > held.row.durable_offset:
            store.acknowledge(held)  # what is told is on disk
        raise BytesMissing(_how_far(held), held.offset, held.row.length)
    if sha256 is not None:
        _note_digest(held, sha256)
    store.finish(held)


def _how_far(held: Held) -> str:
    if held.row.length is None:
        return f"{held.offset} bytes are here, and nobody has said how many there will be."
    return f"{held.offset} of {held.row.length} bytes are here."


def _note_digest(held: Held, sha256: str) -> None:
    """Now, so that whoever looks into the video compares. Raises Conflict."""
    known = held.row.sent_sha256
    if known is not None and known.lower() != sha256:
        raise Conflict(
            f"Another SHA-256 was given before: {known.lower()}. One of the two is wrong.",
            code="digest_differs",
        )
    Upload.update(sent_sha256=sha256).where(Upload.id == held.row.id).execute()
    Video.update(sent_sha256=sha256).where(Video.id == held.row.video_id).execute()
    held.row.sent_sha256 = sha256


def give_up(store: Store, upload: Upload) -> None:
    """The sending failed and won't go on; also while bytes still arrive.

    Raises Conflict (all bytes are here), NotFound (it is gone).
    """
    if upload.state is UploadState.RECEIVING:
        stop(store.settings, upload, UploadState.FAILED, ENDED[UploadState.FAILED])
        upload = Upload.get_by_id(upload.id)
    if upload.state in (UploadState.FINISHING, UploadState.COMPLETE):
        raise Conflict("All bytes of this file are here; it can't fail any more.")
    if upload.state in _NOTHING_LEFT:
        raise _gone(upload, UploadGone(upload.error or ENDED[upload.state]))


def _gone(upload: Upload, error: UploadGone) -> Conflict | NotFound:
    """The same answer before and after the row and its video are swept away."""
    state = Upload.get_by_id(upload.id).state
    if state in _NOTHING_LEFT:
        return NotFound(error.message)
    return Conflict(error.message, code=error.code)


def result_of(video: Video, address: str) -> UploadResult:
    """``address``: where its status is asked for."""
    fresh = Video.get_by_id(video.id)
    known = fresh.sha256 is not None and fresh.sent_sha256 is not None
    return UploadResult(
        video_id=fresh.public_id,
        state=fresh.state.value,
        status_url=address,
        sha256_matches=videos.is_as_sent(fresh) if known else None,
    )
