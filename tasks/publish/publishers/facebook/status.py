"""What Facebook says about a video, read into one word. Pure.

Source: developers.facebook.com/documentation/video-api/guides/reels-publishing, "Get the status".
Its table says "completed" where its examples say "complete", and "bytes_transfered" where others
say "bytes_transferred": both are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from tasks.publish.graph_errors import as_int

FIELDS = "status,published,permalink_url,scheduled_publish_time"
_COMPLETE = ("complete", "completed")


class Seen(StrEnum):
    UPLOADING = "uploading"
    UPLOADED = "uploaded"  # all bytes are there; nobody has said "finish"
    PROCESSING = "processing"
    READY = "ready"  # processed, and seen by nobody
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    REJECTED = "rejected"
    BROKEN = "broken"  # the upload is of no use any more: expired, or it failed
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Look:
    """``offset``: bytes that have arrived. ``path``: of its page, below www.facebook.com."""

    seen: Seen
    offset: int = 0
    path: str | None = None
    until: datetime | None = None
    message: str = ""


def read(data: dict[str, Any]) -> Look:
    """``data``: the node of a video, with `FIELDS`."""
    found = data.get("status")
    status: dict[str, Any] = found if isinstance(found, dict) else {}
    uploading, processing, publishing = (
        _phase(status, name) for name in ("uploading_phase", "processing_phase", "publishing_phase")
    )
    word = str(status.get("video_status", ""))
    path = data.get("permalink_url")
    offset = as_int(uploading.get("bytes_transfered", uploading.get("bytes_transferred"))) or 0
    look = Look(
        _seen(word, uploading, processing, publishing, data),
        offset=offset,
        path=path if isinstance(path, str) else None,
        until=_time(data.get("scheduled_publish_time") or publishing.get("publish_time")),
        message=_message(uploading, processing, publishing),
    )
    return look


def _seen(
    word: str,
    uploading: dict[str, Any],
    processing: dict[str, Any],
    publishing: dict[str, Any],
    data: dict[str, Any],
) -> Seen:
    if word == "expired":
        return Seen.BROKEN
    if word == "upload_failed" or uploading.get("status") == "error":
        return Seen.BROKEN
    if "error" in (word, processing.get("status"), publishing.get("status")):
        return Seen.REJECTED
    how = publishing.get("publish_status")
    if publishing.get("status") in _COMPLETE and how in ("published", None):
        return Seen.PUBLISHED
    if how == "scheduled":
        return Seen.SCHEDULED
    if not publishing and word == "ready" and data.get("published") is True:
        return Seen.PUBLISHED
    if word == "uploading" or uploading.get("status") in ("not_started", "in_progress"):
        return Seen.UPLOADING
    if word == "processing" or processing.get("status") == "in_progress":
        return Seen.PROCESSING
    if word == "ready" or processing.get("status") in _COMPLETE:
        # "published" and not complete: it is about to be.
        return Seen.PROCESSING if how == "published" else Seen.READY
    if word == "upload_complete":
        return Seen.UPLOADED
    return Seen.UNKNOWN


def _phase(status: dict[str, Any], name: str) -> dict[str, Any]:
    found = status.get(name)
    return found if isinstance(found, dict) else {}


def _message(*phases: dict[str, Any]) -> str:
    """The first error of a phase; Meta writes "error" as well as "errors"."""
    for phase in phases:
        errors = phase.get("errors") or phase.get("error")
        first = errors[0] if isinstance(errors, list) and errors else errors
        if isinstance(first, dict) and first.get("message"):
            return str(first["message"])
    return ""


def _time(value: object) -> datetime | None:
    """Seconds since 1970, or a text as ``2026-11-21T10:00:00+0000``."""
    if (seconds := as_int(value)) is not None:
        return datetime.fromtimestamp(seconds, UTC)
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
