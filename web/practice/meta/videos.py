"""The stand-in's Page videos and Reels: uploads, what becomes of them, and what people see.

Both are one kind of thing, a *video*, with an id from the start of its upload on; it becomes one
post at most. Source: platforms.md §2.2, §2.3.
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
from web.practice.mp4 import complaint_of

if TYPE_CHECKING:
    from web.practice.meta.meta import Meta

REELS_A_DAY = 30
# Source: …/guides/reels-publishing: "more than 10 minutes, less than 29 days"; …/page/videos: up to
# 6 months.
AHEAD = timedelta(minutes=10)
REEL_AHEAD, VIDEO_AHEAD = timedelta(days=29), timedelta(days=180)
WRONG_OFFSET = 1363037
UPLOAD_TROUBLE = 6000


def published(meta: Meta) -> list[dict[str, Any]]:
    """What the public sees, in the order of its making."""
    at = now()
    return [video for kept in meta.ground.all("video") if is_public(video := as_of(kept, at))]


# Uploading


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
        how, at = "scheduled", _ahead(call, VIDEO_AHEAD)
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
    at = _ahead(call, REEL_AHEAD) if state == "SCHEDULED" else None
    recent = stamp_before(timedelta(hours=24))
    mine = [v for v in published(meta) if v["page"] == page["id"] and v["kind"] == "reel"]
    if sum((video["published_at"] or "") > recent for video in mine) >= REELS_A_DAY:
        raise Refusal(613, None, "(#613) Reels published by API in 24 hours: limit reached")
    finish(meta, video, call, state.lower(), at)
    return {"success": True, "post_id": f"{page['id']}_{video['id']}"}


def stamp_before(span: timedelta) -> str:
    return (now() - span).isoformat()


def _ahead(call: Call, most: timedelta) -> str:
    """``scheduled_publish_time``, seconds since 1970. Raises Refusal unless it is ahead enough."""
    text = call.need("scheduled_publish_time")
    when = datetime.fromtimestamp(int(text), now().tzinfo) if text.isdecimal() else None
    if when is None or not AHEAD < when - now() < most:
        raise Refusal(100, None, "(#100) The specified scheduled publish time is invalid.")
    return when.isoformat()


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


# The video itself


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
    at = _ahead(call, VIDEO_AHEAD) if later else None
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
    ("GET", "video", ""): Edge("video.get", _get),
    ("POST", "video", ""): Edge("video.update", _update),
    ("DELETE", "video", ""): Edge("video.delete", _delete),
    ("POST", "video", "thumbnails"): Edge("thumbnails", _thumbnails),
    ("POST", "video", "captions"): Edge("captions", _captions),
    ("GET", "video", "comments"): Edge("comments.get", _list_comments),
    ("POST", "video", "comments"): Edge("comments", _comment),
    ("GET", "video", "video_insights"): Edge("insights", _insights),
}
