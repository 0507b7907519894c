"""What Facebook's word about a video means for the target that it was made for; calls nobody.

``kept`` is the checkpoint: ``kind``, ``about``, ``began``, ``video_id``; for videos ``session``,
``start``, ``end``; then ``uploaded``, ``unpublished`` (finished for nobody to see), ``finishing``
(since when "make it public" is said), ``held`` (for when), ``finished`` (Facebook has said yes),
``held_there`` (to "later").
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from tasks.publish.publisher import (
    Done,
    Failed,
    Held,
    NotThere,
    Staged,
    Step,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.facebook.kind import Kind
from tasks.publish.publishers.facebook.status import Look, Seen

if TYPE_CHECKING:
    from tasks.publish.publisher import Target

# How long an upload that nobody finishes is kept isn't written anywhere (the word "expired" is):
# after a day a new one is made.
UPLOAD_LIFETIME = timedelta(hours=24)
# After "finish" a video may be processed and not public yet for a moment; and for a moment a
# video that was just finished may not be found.
SETTLES_WITHIN = timedelta(minutes=10)
APPEARS_WITHIN = timedelta(minutes=1)
POLL_FIRST_S = 0.25
POLL_SLOWEST_S = 60.0


class Missing:
    """Bytes are missing: go on at ``offset``."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


def judge(
    look: Look,
    kept: dict[str, Any],
    size_bytes: int,
    address: str | None,
    detail: str,
    *,
    refused: bool = False,
) -> Step | Missing:
    """``address``: of its page. ``detail``: what Facebook said, raw. ``refused``: each "make it
    public" of this wish was, so an update of what is scheduled or unpublished isn't to come."""
    finishing = kept.get("finishing") is not None
    settles = waited(kept) < SETTLES_WITHIN and not refused
    match look.seen:
        case Seen.PUBLISHED:
            return Done(kept["video_id"], address)
        case Seen.SCHEDULED:
            if finishing and not kept.get("held"):
                if settles:
                    return WaitUntil(_next_look(kept), works_on(kept))
                return Staged()  # "now" hasn't reached it
            return Held(look.until or _held(kept) or now())
        case Seen.REJECTED:
            said = look.message or "it gives no reason"
            return Failed(f"Facebook rejects the video: {said}", "media_rejected", detail)
        case Seen.BROKEN:
            return NotThere()
        case Seen.UPLOADING:
            return Missing(look.offset)
        case Seen.UPLOADED:
            if kept.get("unpublished") and not finishing:
                return Missing(size_bytes)  # its "finish" hasn't reached it
            if kept.get("finished") and settles:
                return WaitUntil(_next_look(kept), works_on(kept))  # it has said yes
            return Staged(begun(kept) + UPLOAD_LIFETIME)
        case Seen.PROCESSING:
            if finishing or kept.get("unpublished"):
                return WaitUntil(_next_look(kept), works_on(kept))
            return Staged(begun(kept) + UPLOAD_LIFETIME)
        case Seen.READY:
            unpublished = kept.get("unpublished")
            if settles or (waited(kept) < SETTLES_WITHIN and not unpublished):
                return WaitUntil(_next_look(kept), works_on(kept))
            if unpublished:
                return Staged()  # an update may be said again and again
            return Staged(begun(kept) + UPLOAD_LIFETIME)
        case Seen.UNKNOWN:
            return Unsure("Facebook can't tell whether the video is public.", detail)


def about_of(target: Target, kind: Kind) -> str:
    """What an upload is of. Another file, or another kind, needs another upload."""
    return f"{kind.value}:{target.media.size_bytes}:{target.media.sha256 or ''}"


def video_id_of(target: Target) -> str | None:
    found = target.remote_id or target.checkpoint.get("video_id")
    return str(found) if found else None


def works_on(kept: dict[str, Any]) -> str:
    what = "Reel" if kept["kind"] == Kind.REEL else "video"
    return f"Facebook works on the {what}"


def begun(kept: dict[str, Any]) -> datetime:
    return _moment(kept.get("began")) or now()


def _held(kept: dict[str, Any]) -> datetime | None:
    return _moment(kept.get("held"))


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def waited(kept: dict[str, Any]) -> timedelta:
    since = _moment(kept.get("finishing"))
    return now() - since if since else timedelta.max


def since_when(kept: dict[str, Any], held: datetime | None) -> datetime | None:
    """When this same wish was said first, if that may still take its effect: it stays the
    beginning when the call is made again. None: it is a new wish, or the old call came to nothing.
    """
    if _held(kept) != held or waited(kept) >= SETTLES_WITHIN:
        return None
    return _moment(kept.get("finishing"))


def _next_look(kept: dict[str, Any]) -> datetime:
    """Often at first, then ever more seldom: a quarter of the time that it has taken so far."""
    since = _moment(kept.get("finishing")) or begun(kept)
    waited_s = (now() - since).total_seconds()
    return now() + timedelta(seconds=min(max(waited_s / 4, POLL_FIRST_S), POLL_SLOWEST_S))
