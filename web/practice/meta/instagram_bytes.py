"""The upload host's part for Instagram: the bytes of a container, resumable.

Source: developers.facebook.com/docs/instagram-platform/content-publishing/resumable-uploads, read
2026-11; its errors have a shape of their own, seen by clients.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath

from web.practice.bytes_in import store_body
from web.practice.fetcher import Refusal as CoverRefusal
from web.practice.meta import people
from web.practice.meta.instagram_store import CONTAINER, FETCH, as_of_now
from web.practice.meta.meta import OPT, meta_of
from web.practice.meta.refusal import AFTER, BEFORE, misbehave
from web.practice.mp4 import complaint_of

if TYPE_CHECKING:
    from web.practice.ground import Fault
    from web.practice.meta.meta import Meta

ENDPOINT = "ig.bytes"
# Source: …/instagram-graph-api/reference/ig-user/media, read 2026-11; not 300 MiB.
MAX_BYTES = 300_000_000
UNFIT = 2207026

Raw = Request[Any, Any, State]


@post(
    "/ig-api-upload/{version:str}/{id:str}",
    opt=OPT,
    status_code=200,
    include_in_schema=False,
    request_max_body_size=None,
)
async def take_bytes(request: Raw, version: FromPath[str], id: FromPath[str]) -> Response[Any]:
    """From ``offset`` on to the end of the file, ``file_size`` bytes in all."""
    meta = meta_of(request)
    account = await anyio.to_thread.run_sync(_account, meta, request)
    if not account:
        return _no("NotAuthorizedError", "User not authorized to perform this request")
    await anyio.to_thread.run_sync(meta.note, request, ENDPOINT)
    fault = meta.ground.take_fault(ENDPOINT, *BEFORE, *AFTER)
    keep = _bytes_before(fault)
    if fault is not None and fault.kind in BEFORE and keep is None:
        return _misbehave(fault)
    container = await anyio.to_thread.run_sync(_find, meta, account, id)
    if isinstance(container, Response):
        return container
    offset = request.headers.get("offset", "")
    size = request.headers.get("file_size", "")
    if not offset.isdecimal() or not size.isdecimal():
        return _no("ParameterValidationError", "Header Offset not convertable to unsigned long")
    if int(offset) != container["received"]:
        return _no("OffsetInvalidError", "The offset isn't where the upload stands.")
    if int(size) > MAX_BYTES or int(size) == 0:
        return _no("ProcessingFailedError", "The file is empty or too large.")
    if request.headers.get("content-length") != str(int(size) - int(offset)):
        return _no("PartialRequestError", "The request doesn't have the rest of the file.")
    if _free(meta) < int(size):
        return _no("ProcessingFailedError", "The stand-in has no room left on the disk.")
    if not await _store(request, meta, container, int(offset), int(size), keep):
        return _no("PartialRequestError", "Another request brings these bytes.", retriable=True)
    if fault is not None and (fault.kind in BEFORE or keep is not None):
        return _misbehave(fault)
    await anyio.to_thread.run_sync(_look_into, meta, id)
    if fault is not None:
        return _misbehave(fault)
    return Response({"success": True, "message": "Upload successful."})


def _account(meta: Meta, request: Raw) -> str:
    """Whose token it is; "": nobody's."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    caller = people.look_up(meta.ground, token) if kind == "OAuth" else None
    page = meta.ground.get("page", caller.page) if caller is not None and caller.page else None
    return str(page.get("instagram") or "") if page is not None else ""


def _find(meta: Meta, account: str, id: str) -> dict[str, Any] | Response[Any]:
    found = meta.ground.get(CONTAINER, id)
    mine = found is not None and found["account"] == account
    if found is None or not mine or found["video_url"]:
        return _no("ProcessingFailedError", "There is no such upload.")
    if as_of_now(found)["status_code"] != "IN_PROGRESS":
        return _no("ProcessingFailedError", "This upload has ended.")
    turn = meta.ground.change(CONTAINER, id, lambda c: {**c, "turn": c["turn"] + 1})
    return turn or found


async def _store(
    request: Raw, meta: Meta, container: dict[str, Any], offset: int, size: int, keep: int | None
) -> bool:
    """Take what comes, or the first ``keep`` bytes; False: another request took over."""
    at = await store_body(request, meta.file(container["id"]), offset, keep)
    mine = container["turn"]

    def arrived(now_is: dict[str, Any]) -> dict[str, Any] | None:
        return {**now_is, "received": at, "length": size} if now_is["turn"] == mine else None

    changed = meta.ground.change(CONTAINER, container["id"], arrived)
    return changed is not None


def _look_into(meta: Meta, id: str) -> None:
    """All bytes are there: into the file, as after a fetch."""
    containers = meta.instagram.containers
    found = meta.ground.get(CONTAINER, id)
    if found is None or found["received"] < found["length"]:
        return
    place = containers.file(id)
    if found["cover_url"]:
        try:
            meta.instagram.fetcher.fetch_cover(id, found["cover_url"])
        except CoverRefusal as exc:
            containers.settle(id, "ERROR", f"Error: {exc}", error_subcode=exc.subcode)
            return
    if meta.ground.take_fault(FETCH, "reject") is not None:
        containers.settle(id, "ERROR", "Told to reject it.", error_subcode=UNFIT)
    elif (why := complaint_of(place)) is not None:
        containers.settle(id, "ERROR", f"The format isn't supported: {why}.", error_subcode=UNFIT)
    else:
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = place.stat().st_size
        containers.settle(id, "FINISHED", "Finished", sha256=digest, size_bytes=size)


def _free(meta: Meta) -> int:
    stat = os.statvfs(meta.files)
    return stat.f_bavail * stat.f_frsize - meta.settings.reserve_bytes()


def _bytes_before(fault: Fault | None) -> int | None:
    """A connection that breaks with a number breaks after so many bytes have arrived."""
    if fault is None or fault.kind not in ("break_before", "lose_before", "lose"):
        return None
    return int(fault.value) if fault.value.isdecimal() else None


def _misbehave(fault: Fault) -> Response[Any]:
    if fault.kind == "refuse":
        retriable = fault.value != "ProcessingFailedError"
        return _no(fault.value or "ProcessingFailedError", "(told to refuse)", retriable=retriable)
    if fault.kind == "expire":
        return _no("NotAuthorizedError", "User not authorized to perform this request")
    return misbehave(fault)


def _no(kind: str, message: str, *, retriable: bool = False) -> Response[Any]:
    debug = {"retriable": retriable, "type": kind, "message": message}
    return Response({"debug_info": debug}, status_code=400)
