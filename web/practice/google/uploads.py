"""Uploads: the resumable protocol, covers, captions. Source: platforms.md §1.2 and §1.4."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from litestar import Request, Response, post, put
from litestar.datastructures import State
from litestar.response import Stream

from web.practice.bytes_in import store_body
from web.practice.google.google import (
    AFTER,
    BEFORE,
    OPT,
    Caller,
    Refusal,
    body_of,
    google_of,
    misbehave,
    new_id,
    refuse,
    stamp,
)
from web.practice.google.resources import (
    check_parts,
    check_snippet,
    check_status,
    shape,
    when_done,
)

if TYPE_CHECKING:
    from web.practice.google.google import Google

# Pieces that aren't the last have this for a factor, and nothing smaller is kept of a cut one.
STEP_BYTES = 262_144
_RANGE = re.compile(r"bytes (?:\*|(\d+)-(\d+))/(\d+)")

Raw = Request[Any, Any, State]


@post("/upload/youtube/v3/videos", opt=OPT, status_code=200, include_in_schema=False)
async def begin_upload(request: Raw) -> Response[Any]:
    """A session: what the video will be called, and how many bytes will come."""
    google = google_of(request)
    raw = await google.body(request)

    def do(caller: Caller) -> Response[Any]:
        query = request.query_params
        if query.get("uploadType") != "resumable":
            raise Refusal("badRequest", "The stand-in only takes resumable uploads.")
        body = body_of(raw, request)
        check_parts(query.get("part", ""), body)
        length = request.headers.get("x-upload-content-length", "")
        kind = request.headers.get("x-upload-content-type", "")
        if not length.isdecimal() or int(length) == 0:
            raise Refusal("mediaBodyRequired", "The request does not include the video content.")
        if not (kind.startswith("video/") or kind == "application/octet-stream"):
            raise Refusal("badContent", f"The type {kind!r} is not supported.")
        free = shutil.disk_usage(google.files).free - google.settings.reserve_bytes()
        if free < int(length):
            raise Refusal("backendError", "The stand-in has no room left on the disk.")
        session: dict[str, Any] = {
            "id": new_id(32),
            "channel": caller.channel,
            "length": int(length),
            "type": kind,
            "snippet": check_snippet(body.get("snippet") or {}),
            "status": check_status(body.get("status") or {}),
            "notify": query.get("notifySubscribers", "true") == "true",
            "received": 0,
            "turn": 0,
            "video": None,
            "locked": google.ground.take_fault("videos.insert", "lock_private") is not None,
        }
        google.part(session["id"]).touch()
        google.ground.put("session", session["id"], session)
        uri = f"{google.base}/upload/youtube/v3/videos?uploadType=resumable"
        location = {"Location": f"{uri}&upload_id={session['id']}"}
        return Response("", headers=location, media_type="text/plain")

    return await anyio.to_thread.run_sync(
        lambda: google.answer(request, "videos.insert", do, body=_readable(raw))
    )


@put(
    "/upload/youtube/v3/videos",
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=None,  # the length has to be the announced one
)
async def take_bytes(request: Raw) -> Response[Any]:
    """Bytes from an offset on, or the question how many there are."""
    google = google_of(request)
    session_id = request.query_params.get("upload_id", "")
    said = request.headers.get("content-range", "")
    asks = said.startswith("bytes */")
    endpoint = "upload.status" if asks else "upload.bytes"
    # The address of a session is as good as a token; without one nothing is noted.
    session = await anyio.to_thread.run_sync(google.ground.get, "session", session_id)
    if session is None:
        return refuse("notFound", "The upload session was not found.", 404)
    await anyio.to_thread.run_sync(google.note, request, endpoint)
    fault = google.ground.take_fault(endpoint, *BEFORE, *AFTER, "blind")
    if fault is not None and fault.kind == "blind":
        return refuse("notFound", "The session is gone.", 404)
    if fault is not None and fault.kind == "refuse":
        google.ground.remove("session", session_id)
        return refuse("notFound", "The session is gone (told to lose it).", 404)
    breaks = fault is not None and fault.kind in ("break_before", "lose_before")
    if fault is not None and fault.kind in BEFORE and (asks or not breaks):
        return misbehave(fault)
    if not asks and session["video"] is None:
        keep = int(fault.value or 0) if breaks and fault is not None else None
        answer = await _store(request, google, session, said, keep)
        if answer is not None:
            return answer
        if breaks and fault is not None:
            return misbehave(fault)
    answer = await anyio.to_thread.run_sync(_so_far, google, session_id)
    return misbehave(fault) if fault is not None else answer


async def _store(
    request: Raw, google: Google, session: dict[str, Any], said: str, keep: int | None
) -> Response[Any] | None:
    """Take what comes; a refusal, or None. ``keep``: break off after so many bytes."""
    length = int(request.headers.get("content-length") or -1)
    offset = 0
    if said:
        match = _RANGE.fullmatch(said)
        if match is None or int(match[3]) != session["length"]:
            return refuse("badRequest", f"Content-Range {said!r} is wrong.")
        offset, last = int(match[1]), int(match[2])
        whole = last + 1 == session["length"]
        if last + 1 - offset != length or (not whole and length % STEP_BYTES):
            return refuse("badRequest", "The length doesn't fit the range.")
    elif length != session["length"]:
        return refuse("badRequest", "The length isn't the one that was announced.")
    if offset != session["received"]:
        return None  # a gap or an overlap isn't stored: the answer says how much there is
    turn = google.ground.change("session", session["id"], lambda s: {**s, "turn": s["turn"] + 1})
    if turn is None:
        return refuse("notFound", "The upload session was not found.", 404)
    at = await store_body(request, google.part(session["id"]), offset, keep)
    if at < session["length"]:
        at -= (at - offset) % STEP_BYTES
    mine = turn["turn"]

    def arrived(now_is: dict[str, Any]) -> dict[str, Any] | None:
        return {**now_is, "received": at} if now_is["turn"] == mine else None

    google.ground.change("session", session["id"], arrived)
    return None


def _so_far(google: Google, session_id: str) -> Response[Any]:
    """308 and how much has arrived; or the video, once and again."""
    session = google.ground.get("session", session_id)
    if session is None:
        return refuse("notFound", "The upload session was not found.", 404)
    received = session["received"]
    if session["video"] is None and received < session["length"]:
        headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
        return Stream(iter([b""]), status_code=308, headers={**headers, "content-length": "0"})
    if session["video"] is None:
        session = _finish(google, session)
    video = google.ground.get("video", session["video"])
    if video is None:
        return refuse("notFound", "The video was deleted.", 404)
    return Response(shape(video, ("snippet", "status")), status_code=201)


def _finish(google: Google, session: dict[str, Any]) -> dict[str, Any]:
    """All bytes are there: one video for a session, however often somebody asks."""
    id = new_id()

    def take(now_is: dict[str, Any]) -> dict[str, Any] | None:
        return {**now_is, "video": id} if now_is["video"] is None else None

    part = google.part(session["id"])
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    slow = google.ground.take_fault("processing", "slow")
    reject = google.ground.take_fault("processing", "reject")
    taken = google.ground.change("session", session["id"], take)
    if taken is None:  # another request was faster
        return google.ground.get("session", session["id"]) or session
    os.replace(part, google.file(id))
    video = {
        "id": id,
        "channel": session["channel"],
        "snippet": session["snippet"],
        "status": session["status"],
        "notified": session["notify"],
        "type": session["type"],
        "size_bytes": session["length"],
        "sha256": digest,
        "uploaded_at": stamp(),
        "busy_until": when_done(float(slow.value or 5) if slow else 0.0),
        "rejected": (reject.value or "invalidFile") if reject else None,
        "locked": session["locked"],
        "was_public": session["status"]["privacyStatus"] == "public" and not session["locked"],
        "cover_sha256": None,
    }
    google.ground.put("video", id, video)
    return taken


@post("/upload/youtube/v3/thumbnails/set", opt=OPT, status_code=200, include_in_schema=False)
async def set_thumbnail(request: Raw) -> Response[Any]:
    google = google_of(request)
    raw = await google.body(request)

    def do(caller: Caller) -> dict[str, Any]:
        id = request.query_params.get("videoId", "")
        if not request.headers.get("content-type", "").startswith("image/") or not raw:
            raise Refusal("mediaBodyRequired", "The request does not include the image content.")
        if not raw.startswith((b"\xff\xd8", b"\x89PNG")):
            raise Refusal("invalidImage", "The provided image content is invalid.")

        def change(video: dict[str, Any]) -> dict[str, Any] | None:
            if video["channel"] != caller.channel:
                return None
            return {**video, "cover_sha256": hashlib.sha256(raw).hexdigest()}

        if google.ground.change("video", id, change) is None:
            raise Refusal("videoNotFound", "The video can't be found.")
        return {"kind": "youtube#thumbnailSetResponse", "items": [{}]}

    return await anyio.to_thread.run_sync(
        lambda: google.answer(request, "thumbnails.set", do, size_bytes=len(raw))
    )


@post("/upload/youtube/v3/captions", opt=OPT, status_code=200, include_in_schema=False)
async def insert_captions(request: Raw) -> Response[Any]:
    """``uploadType=multipart``: a JSON part and one with the captions."""
    google = google_of(request)
    raw = await google.body(request)

    def do(caller: Caller) -> dict[str, Any]:
        snippet, text = _parts(raw, request)
        video = google.ground.get("video", snippet.get("videoId", ""))
        if video is None or video["channel"] != caller.channel:
            raise Refusal("videoNotFound", "The video can't be found.")
        if not snippet.get("language") or "name" not in snippet:
            raise Refusal("invalidMetadata", "The metadata needs a language and a name.")
        same = ("videoId", "language", "name")
        for other in google.ground.all("caption"):
            if all(other["snippet"][key] == snippet[key] for key in same):
                raise Refusal("captionExists", "The video has a caption track of that name.")
        id = new_id(20)
        caption = {"id": id, "snippet": snippet, "text": text}
        google.ground.put("caption", id, caption)
        return {"kind": "youtube#caption", "id": id, "snippet": snippet}

    return await anyio.to_thread.run_sync(lambda: google.answer(request, "captions.insert", do))


def _parts(raw: bytes, request: Raw) -> tuple[dict[str, Any], str]:
    """Of a multipart/related body. Raises Refusal. Source: RFC 2387."""
    kind = request.headers.get("content-type", "")
    match = re.fullmatch(r'multipart/related; ?boundary="?([^";]+)"?', kind)
    if match is None:
        raise Refusal("badContent", "The body must be multipart/related.")
    pieces = raw.split(b"--" + match[1].encode())
    if len(pieces) != 4 or pieces[3].strip() != b"--":
        raise Refusal("badContent", "The body must have two parts.")
    (head, meta), (_, text) = (piece.strip(b"\r\n").split(b"\r\n\r\n", 1) for piece in pieces[1:3])
    if b"application/json" not in head.lower():
        raise Refusal("badContent", "The first part must be JSON.")
    body = json.loads(meta)
    return dict(body.get("snippet") or {}), text.decode("utf-8", "replace")


def _readable(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
