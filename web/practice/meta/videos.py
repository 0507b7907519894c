"""The stand-in's videos of Pages, Reels among them: what people see, and what hangs from them.

A *video* has its id from the start of its upload on (uploads.py); it becomes one post at most.
Source: platforms.md §2.2, §2.3.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from web.practice.ground import new_number
from web.practice.meta.meta import Call, Edge, Edges, missing, pick, stamp
from web.practice.meta.refusal import Refusal
from web.practice.meta.video_state import as_of, is_public, shape_of

if TYPE_CHECKING:
    from web.practice.meta.meta import Meta

# Source: …/guides/reels-publishing: "more than 10 minutes, less than 29 days"; …/page/videos: up to
# 6 months.
AHEAD = timedelta(minutes=10)
REEL_AHEAD, VIDEO_AHEAD = timedelta(days=29), timedelta(days=180)


def published(meta: Meta) -> list[dict[str, Any]]:
    """What the public sees, in the order of its making."""
    at = now()
    return [video for kept in meta.ground.all("video") if is_public(video := as_of(kept, at))]


def time_ahead(call: Call, most: timedelta) -> str:
    """``scheduled_publish_time``, seconds since 1970. Raises Refusal unless it is ahead enough."""
    text = call.need("scheduled_publish_time")
    when = datetime.fromtimestamp(int(text), now().tzinfo) if text.isdecimal() else None
    if when is None or not AHEAD < when - now() < most:
        raise Refusal(100, None, "(#100) The specified scheduled publish time is invalid.")
    return when.isoformat()


def _get(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    if meta.ground.take_fault("video.get", "blind") is not None:
        return {"id": video["id"], "status": {"video_status": "unknown"}}
    shape = shape_of(as_of(video, now()))
    return pick(shape, call.params.get("fields", "id,description,updated_time"))


def _update(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    wants = call.params.get("published")
    later = call.params.get("scheduled_publish_time")
    at = time_ahead(call, VIDEO_AHEAD) if later else None
    current = as_of(video, now())
    if not current["finished_at"]:
        raise missing(video["id"])

    def change(video: dict[str, Any]) -> dict[str, Any]:
        changed = as_of(video, now())
        changed["title"] = call.params.get("name", changed["title"])
        changed["description"] = call.params.get("description", changed["description"])
        if at is not None and not is_public(changed):
            changed |= {"how": "scheduled", "scheduled_at": at}
        elif wants == "true" and changed["how"] != "published":
            ready = max(stamp(), changed["ready_at"])
            changed |= {"how": "published", "published_at": ready, "scheduled_at": None}
        return changed

    meta.ground.change("video", video["id"], change)
    return {"success": True}


def _delete(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    remove(meta, video["id"])
    return {"success": True}


def remove(meta: Meta, id: str) -> bool:
    """Row first, then the file: at worst an unreferenced file stays for `Meta.begin`."""
    gone = meta.ground.remove("video", id)
    meta.file(id).unlink(missing_ok=True)
    return gone


def _check_owner(call: Call, video: dict[str, Any]) -> None:
    if call.caller.page != video["page"]:
        raise missing(video["id"])


# What hangs from it


def put_cover(meta: Meta, id: str, data: bytes) -> None:
    if not data.startswith(b"\xff\xd8") or len(data) > 10_000_000:
        raise Refusal(100, None, "(#100) Invalid image")
    digest = hashlib.sha256(data).hexdigest()
    meta.ground.change("video", id, lambda video: {**video, "cover_sha256": digest})


def _thumbnails(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    if "source" not in call.files:
        raise Refusal(100, None, "(#100) The parameter source is required")
    put_cover(meta, video["id"], call.files["source"][1])
    return {"success": True}


def _captions(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    name, data = call.files.get("captions_file", ("", b""))
    locale = name.removesuffix(".srt").rpartition(".")[2]
    if not name.endswith(f".{locale}.srt") or b" --> " not in data:
        raise Refusal(100, None, "(#100) Captions are a file named <name>.<locale>.srt")
    entry = {"locale": locale, "text": data.decode("utf-8", "replace")}
    meta.ground.change(
        "video", video["id"], lambda video: {**video, "captions": [*video["captions"], entry]}
    )
    return {"success": True}


def _list_comments(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    return {"data": list(video["comments"])}


def _comment(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    entry = {
        "id": f"{video['id']}_{new_number()}",
        "message": call.need("message"),
        "from": {"id": call.caller.page, "name": "Practice Page"},
    }
    meta.ground.change(
        "video", video["id"], lambda video: {**video, "comments": [*video["comments"], entry]}
    )
    return {"id": entry["id"]}


def _insights(meta: Meta, call: Call, video: dict[str, Any]) -> dict[str, Any]:
    _check_owner(call, video)
    name = "blue_reels_play_count" if video["kind"] == "reel" else "total_video_views"
    value = shape_of(as_of(video, now()))["views"]
    return {"data": [{"name": name, "period": "lifetime", "values": [{"value": value}]}]}


EDGES: Edges = {
    ("GET", "video", ""): Edge("video.get", _get),
    ("POST", "video", ""): Edge("video.update", _update),
    ("DELETE", "video", ""): Edge("video.delete", _delete),
    ("POST", "video", "thumbnails"): Edge("thumbnails", _thumbnails),
    ("POST", "video", "captions"): Edge("captions", _captions),
    ("GET", "video", "comments"): Edge("comments.get", _list_comments),
    ("POST", "video", "comments"): Edge("comments", _comment),
    ("GET", "video", "video_insights"): Edge("insights", _insights),
}
