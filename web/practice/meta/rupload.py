"""The stand-in's upload host: one stream of bytes from an offset on. Source: platforms.md §2.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath

from web.practice.meta import people
from web.practice.meta.meta import OPT, meta_of
from web.practice.meta.uploads import arrived

if TYPE_CHECKING:
    from web.practice.meta.meta import AnyRequest, Meta

STEP_BYTES = 1024 * 1024
MOST_BYTES = 10_000_000_000


@post(
    "/video-upload/{version:str}/{video_id:str}",
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=None,
)
async def take_bytes(
    request: Request[Any, Any, State], version: FromPath[str], video_id: FromPath[str]
) -> Response[Any]:
    """Of a Reel. The bytes of whoever may send are read, whatever the answer is: the other side
    sends them anyway, and hears it afterwards."""
    meta = meta_of(request)
    refusal = await anyio.to_thread.run_sync(_check, meta, request, video_id)
    if refusal is not None and refusal.status_code != 400:
        return refusal
    came = bytearray()
    written = offset = int(request.headers["offset"]) if refusal is None else 0
    size = int(request.headers["file_size"]) if refusal is None else 0
    # What is cut off is decided afterwards; until then the bytes lie where they belong.
    async for piece in request.stream():
        came += piece[: max(0, size - written - len(came))]
        if len(came) >= STEP_BYTES:
            await anyio.to_thread.run_sync(_write, meta, video_id, written, bytes(came))
            written += len(came)
            came.clear()
    if came:
        await anyio.to_thread.run_sync(_write, meta, video_id, written, bytes(came))
        written += len(came)

    def do(cut: int | None) -> dict[str, Any] | Response[Any]:
        if refusal is not None:
            return refusal
        there = written if cut is None else min(written, offset + cut)
        with meta.file(video_id).open("r+b") as file:
            file.truncate(there)
        arrived(meta, video_id, there, size)
        if there < size:
            return _refuse(400, "PartialRequestError", "Less arrived than announced.")
        return {"success": True}

    bytes_came = written - offset

    def answer() -> Response[Any]:
        return meta.answer(request, "reels.bytes", do, bytes=bytes_came)

    return await anyio.to_thread.run_sync(answer)


def _check(meta: Meta, request: AnyRequest, video_id: str) -> Response[Any] | None:
    """What is wrong with the request before a byte is looked at; None: nothing."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    caller = people.look_up(meta.ground, token)
    if kind != "OAuth" or caller is None:
        return _refuse(401, "NotAuthorizedError", "Authorization must be OAuth and a token.")
    video = meta.ground.get("video", video_id)
    if video is None or video["page"] != caller.page or video["kind"] != "reel":
        return _refuse(404, "VideoNotFoundError", "There is no such upload.")
    offset, size = request.headers.get("offset", ""), request.headers.get("file_size", "")
    if not offset.isdecimal() or not size.isdecimal() or not 0 < int(size) <= MOST_BYTES:
        return _refuse(400, "HeaderInvalidError", "The headers offset and file_size are numbers.")
    if not meta.has_room(int(size)):
        return _refuse(400, "ProcessingFailedError", "The stand-in has no room on the disk.")
    if int(offset) != video["offset"] or (video["size"] and int(size) != video["size"]):
        return _refuse(400, "OffsetInvalidError", "Another offset is wanted.")
    return None


def _write(meta: Meta, video_id: str, offset: int, data: bytes) -> None:
    with meta.file(video_id).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _refuse(status: int, kind: str, message: str) -> Response[Any]:
    """The upload host's own shape of errors."""
    info = {"retriable": status < 500, "type": kind, "message": message}
    return Response({"debug_info": info}, status_code=status)
