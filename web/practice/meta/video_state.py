"""What time makes of a video of the stand-in, and how Meta tells of it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

# Of an upload that nobody finishes. Meta has the word "expired"; how long it takes isn't written.
UPLOAD_LIFETIME = timedelta(hours=48)


def as_of(video: dict[str, Any], at: datetime) -> dict[str, Any]:
    """A copy in which what was scheduled for before ``at`` is out."""
    scheduled = video["scheduled_at"]
    waits = video["how"] == "scheduled" and not video["error"]
    if waits and datetime.fromisoformat(scheduled) <= at:
        published = max(scheduled, video["ready_at"])
        return {**video, "how": "published", "published_at": published, "at": at.isoformat()}
    return {**video, "at": at.isoformat()}


def is_public(video: dict[str, Any]) -> bool:
    """``video``: as `as_of` gave it."""
    if video["how"] != "published" or video["error"] or not video["finished_at"]:
        return False
    return bool(video["ready_at"] <= video["at"])


def shape_of(video: dict[str, Any]) -> dict[str, Any]:
    """All fields of the node. ``video``: as `as_of` gave it."""
    public = is_public(video)
    way = "reel" if video["kind"] == "reel" else "watch"
    views = sum(ord(digit) for digit in video["id"])  # some number, the same each time
    return {
        "id": video["id"],
        "title": video["title"],
        "description": video["description"],
        "status": _status(video),
        "published": public,
        "permalink_url": f"/{way}/{video['id']}/" if video["finished_at"] else None,
        "scheduled_publish_time": _seconds(video["scheduled_at"])
        if video["how"] == "scheduled"
        else None,
        "views": views if public else 0,
        "likes": {"data": [], "summary": {"total_count": views % 7}},
        "comments": {"data": [], "summary": {"total_count": len(video["comments"])}},
    }


def _status(video: dict[str, Any]) -> dict[str, Any]:
    """Source: …/guides/reels-publishing, "Get the status"; spelled as there."""
    whole = video["size"] and video["offset"] >= video["size"]
    if not video["finished_at"]:
        began = datetime.fromisoformat(video["created_at"])
        expired = datetime.fromisoformat(video["at"]) - began > UPLOAD_LIFETIME
        word = "upload_complete" if whole else "uploading"
        return {
            "video_status": "expired" if expired else word,
            "uploading_phase": {
                "status": "complete" if whole else "in_progress",
                "bytes_transfered": video["offset"],
            },
            "processing_phase": {"status": "not_started"},
            "publishing_phase": {"status": "not_started"},
        }
    uploaded = {"status": "complete", "bytes_transfered": video["offset"]}
    if video["ready_at"] > video["at"]:
        return {
            "video_status": "processing",
            "uploading_phase": uploaded,
            "processing_phase": {"status": "in_progress"},
            "publishing_phase": {"status": "not_started"},
        }
    if video["error"]:
        return {
            "video_status": "error",
            "uploading_phase": uploaded,
            "processing_phase": {"status": "error", "error": {"message": video["error"]}},
            "publishing_phase": {"status": "not_started"},
        }
    return {
        "video_status": "ready",
        "uploading_phase": uploaded,
        "processing_phase": {"status": "complete"},
        "publishing_phase": _publishing(video),
    }


def _publishing(video: dict[str, Any]) -> dict[str, Any]:
    match video["how"]:
        case "published":
            when = _seconds(video["published_at"])
            return {"status": "complete", "publish_status": "published", "publish_time": when}
        case "scheduled":
            when = _seconds(video["scheduled_at"])
            return {"status": "not_started", "publish_status": "scheduled", "publish_time": when}
    return {"status": "not_started", "publish_status": "draft"}


def _seconds(text: str | None) -> int | None:
    return int(datetime.fromisoformat(text).timestamp()) if text else None
