"""How videos come to the stand-in's Pages: in phases, as Page videos in pieces or as Reels.

Source: platforms.md §2.2, §2.3.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from web.practice.ground import new_number
from web.practice.meta.meta import Call, Edge, Edges, missing, stamp
from web.practice.meta.refusal import Refusal
from web.practice.meta.videos import (
    REEL_AHEAD,
    VIDEO_AHEAD,
    published,
    put_cover,
    remove,
    time_ahead,
)
from web.practice.mp4 import complaint_of

if TYPE_CHECKING:
    from web.practice.meta.meta import Meta

REELS_A_DAY = 30
WRONG_OFFSET = 1363037
UPLOAD_TROUBLE = 6000


def begin(meta: Meta, page: str, kind: str, size: int) -> dict[str, Any]:
    video: dict[str, Any] = {
        "id": new_number(),
        "kind": kind,
        "page": page,
        "session": new_number() if kind == "video" else "",
        "size": size,  # 0: not known yet
        "offset": 0,
        "created_at": stamp(),
        "finished_at": None,
        "ready_at": None,
        "error": None,
        "how": None,  # published, scheduled, draft
        "scheduled_at": None,
        "published_at": None,
        "title": "",
        "description": "",
        "sha256": "",
        "cover_sha256": "",
        "captions": [],
        "comments": [],
    }
    meta.ground.put("video", video["id"], video)
    meta.file(video["id"]).touch()
    return video


def store(meta: Meta, video: dict[str, Any], offset: int, data: bytes) -> dict[str, Any]:
    """Put ``data`` where it belongs; the video as it is then."""
    place = meta.file(video["id"])
    with place.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.truncate()
    return arrived(meta, video["id"], offset + len(data))


def arrived(meta: Meta, id: str, offset: int, size: int | None = None) -> dict[str, Any]:
    """So many bytes are there now."""

    def move(video: dict[str, Any]) -> dict[str, Any]:
        whole = size if size is not None else video["size"]
        digest = ""
        if whole and offset >= whole:
            with meta.file(id).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {**video, "offset": offset, "size": whole, "sha256": digest}

    return meta.ground.change("video", id, move) or {}


def _start_video(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    size = call.need("file_size")
    if not size.isdecimal() or not 0 < int(size) <= 10_000_000_000:
        raise Refusal(100, None, "(#100) Param file_size must be a positive number")
    if not meta.has_room(int(size)):
        raise Refusal(382, None, "The stand-in has no room left on the disk.")
    video = begin(meta, page["id"], "video", int(size))
    return {"upload_session_id": video["session"], "video_id": video["id"], **_next(meta, video)}


def _next(meta: Meta, video: dict[str, Any]) -> dict[str, str]:
    """The piece that is wanted now; strings, as Meta sends them."""
    end = min(video["size"], video["offset"] + meta.piece_bytes)
    return {"start_offset": str(video["offset"]), "end_offset": str(end)}


def _transfer(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    video = _of_session(meta, call, page)
    start = call.need("start_offset")
    if "video_file_chunk" not in call.files:
        raise Refusal(100, None, "(#100) The parameter video_file_chunk is required")
    data = call.files["video_file_chunk"][1]
    wanted = _next(meta, video)
    length = int(wanted["end_offset"]) - int(wanted["start_offset"])
    if start != wanted["start_offset"] or len(data) != length or video["finished_at"]:
        message = "The start offset is incorrect."
        raise Refusal(6001, WRONG_OFFSET, message, error_data=wanted)
    data = data if call.cut is None else data[: call.cut]
    return _next(meta, store(meta, video, int(start), data))


def _of_session(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    session = call.need("upload_session_id")
    for video in meta.ground.all("video"):
        if video["session"] == session and video["page"] == page["id"]:
            return video
    raise Refusal(UPLOAD_TROUBLE, None, "There was a problem uploading your video file.")


def _cancel(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    remove(meta, _of_session(meta, call, page)["id"])
    return {"success": True}


def _finish_video(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    video = _of_session(meta, call, page)
    public = call.is_true("published", default=True)
    if call.params.get("scheduled_publish_time"):
        if public:
            raise Refusal(100, None, "(#100) A scheduled video can't be published")
        how, at = "scheduled", time_ahead(call, VIDEO_AHEAD)
    else:
        how, at = ("published" if public else "draft"), None
    finish(meta, video, call, how, at)
    if "thumb" in call.files:
        put_cover(meta, video["id"], call.files["thumb"][1])
    return {"success": True}


def _start_reel(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    video = begin(meta, page["id"], "reel", 0)
    host = f"{meta.base}/video-upload/{meta.settings.graph_version}/{video['id']}"
    return {"video_id": video["id"], "upload_url": host}


def _finish_reel(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    video = meta.ground.get("video", call.need("video_id"))
    if video is None or video["page"] != page["id"] or video["kind"] != "reel":
        raise missing(call.params["video_id"])
    state = call.params.get("video_state", "PUBLISHED")
    if state not in ("PUBLISHED", "SCHEDULED", "DRAFT"):
        raise Refusal(100, None, "(#100) Param video_state must be one of those documented")
    at = time_ahead(call, REEL_AHEAD) if state == "SCHEDULED" else None
    recent = (now() - timedelta(hours=24)).isoformat()
    mine = [v for v in published(meta) if v["page"] == page["id"] and v["kind"] == "reel"]
    if sum((video["published_at"] or "") > recent for video in mine) >= REELS_A_DAY:
        raise Refusal(613, None, "(#613) Reels published by API in 24 hours: limit reached")
    finish(meta, video, call, state.lower(), at)
    return {"success": True, "post_id": f"{page['id']}_{video['id']}"}


def finish(
    meta: Meta, video: dict[str, Any], call: Call, how: str, scheduled_at: str | None
) -> None:
    """The end of an upload; one video is finished once. Raises Refusal."""
    if not video["size"] or video["offset"] < video["size"]:
        raise Refusal(UPLOAD_TROUBLE, None, "The video has not been uploaded completely.")
    slow_s, why = meta.take_processing()
    broken = why or complaint_of(meta.file(video["id"]))

    def end(video: dict[str, Any]) -> dict[str, Any] | None:
        if video["finished_at"]:
            return None
        ready = (now() + timedelta(seconds=slow_s)).isoformat()
        return {
            **video,
            "title": call.params.get("title", ""),
            "description": call.params.get("description", ""),
            "how": how,
            "scheduled_at": scheduled_at,
            "finished_at": stamp(),
            "ready_at": ready,
            "published_at": ready if how == "published" and not broken else None,
            "error": f"The video can't be used: {broken}" if broken else None,
        }

    if meta.ground.change("video", video["id"], end) is None:
        raise Refusal(100, None, "(#100) The video was published already")


def _phase_of(edge: str, known: tuple[str, ...]) -> Any:
    def name(call: Call) -> str:
        phase = call.params.get("upload_phase", "")
        return f"{edge}.{phase if phase in known else known[0]}"

    return name


def _videos(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    does = {
        "start": _start_video,
        "transfer": _transfer,
        "finish": _finish_video,
        "cancel": _cancel,
    }
    if (do := does.get(call.params.get("upload_phase", ""))) is None:
        raise Refusal(100, None, "(#100) The stand-in takes videos in phases only")
    return do(meta, call, page)


def _reels(meta: Meta, call: Call, page: dict[str, Any]) -> dict[str, Any]:
    does = {"start": _start_reel, "finish": _finish_reel}
    if (do := does.get(call.params.get("upload_phase", ""))) is None:
        raise Refusal(100, None, "(#100) Param upload_phase must be start or finish")
    return do(meta, call, page)


EDGES: Edges = {
    ("POST", "page", "videos"): Edge(
        _phase_of("videos", ("start", "transfer", "finish", "cancel")), _videos
    ),
    ("POST", "page", "video_reels"): Edge(_phase_of("reels", ("start", "finish")), _reels),
}
