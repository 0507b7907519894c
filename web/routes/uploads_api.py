"""Upload grants for scripts, the word that an upload is complete, and the form without script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from litestar.response import Redirect

from appliance import access
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.models import Role, Source, Upload, User, Video, Visibility
from appliance.states import UploadState
from appliance.text import clean_line, describe_size
from storage.background import in_thread
from storage.uploads import Held, NewUpload, Store, UploadBusy, UploadGone
from web.auth import PUBLIC, needs, principal
from web.errors import PROBLEM
from web.upload_body import Body, BodyCut, BodyStalled
from web.upload_form import announced_bytes, sender_of, take_form
from web.upload_requests import upload_path

UPLOAD = needs(Role.EDITOR, Scope.UPLOAD)


class UploadWanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    filename: str
    file_size: int
    """In bytes."""
    content_type: str
    """video/…, audio/… or application/octet-stream"""
    title: str | None = None
    """Default: the file's name without its ending."""
    visibility: Visibility | None = None


class UploadDone(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    success: bool = True
    """false: the sending failed, and will not go on."""


@dataclass(frozen=True)
class UploadGrant:
    """``upload_url`` takes exactly this file, by tus or by one PUT, without signing in."""

    video_id: str
    upload_url: str
    expires_in: int
    status_url: str


@dataclass(frozen=True)
class UploadResult:
    video_id: str
    state: str
    status_url: str


@post("/api/v1/uploads", opt=UPLOAD, sync_to_thread=True, tags=["uploads"])
def grant_upload(
    request: Request[Any, Any, State], data: JSONBody[UploadWanted]
) -> Response[UploadGrant]:
    """An address to send one file to. Every byte that arrives prolongs its life."""
    state = request.app.state
    asker = principal(request)
    check_wanted(data, int(state.settings.max_upload_bytes))
    new = NewUpload(
        length=data.file_size,
        filename=data.filename,
        content_type=data.content_type,
        title=data.title,
        visibility=data.visibility,
        source=Source.API,
    )
    with database.connection_context():
        created = Store(state.settings, state.layout).create(asker.user, new)
    base_url = state.settings.base_url
    return Response(
        UploadGrant(
            video_id=created.video_id,
            upload_url=base_url + upload_path(created.upload_id, created.token),
            expires_in=round((created.expires_at - now()).total_seconds()),
            status_url=_status_url(base_url, created.video_id),
        ),
        status_code=201,
    )


def check_wanted(wanted: UploadWanted, max_bytes: int) -> None:
    """Whether such a file may come. Raises InvalidInput; pure."""
    if not clean_line(wanted.filename):
        raise InvalidInput("The file needs a name.", field="filename")
    if not 0 < wanted.file_size <= max_bytes:
        raise InvalidInput(
            f"The file must have 1 byte to {describe_size(max_bytes)}.", field="file_size"
        )
    kind = wanted.content_type.partition(";")[0].strip().lower()
    if not kind.startswith(("video/", "audio/")) and kind != "application/octet-stream":
        raise InvalidInput(
            "Only videos are taken: the type must be video/…, audio/… or application/octet-stream.",
            field="content_type",
        )


@post(
    "/api/v1/videos/{video_id:str}/upload/complete",
    opt=UPLOAD,
    sync_to_thread=True,
    status_code=200,
    tags=["uploads"],
)
def complete_upload(
    request: Request[Any, Any, State], video_id: FromPath[str], data: JSONBody[UploadDone]
) -> Response[UploadResult]:
    """Says that all bytes were sent, or that they won't be. Safe to repeat.

    409 with ``offset`` and ``length`` while bytes are missing: send them, then ask again.
    """
    state = request.app.state
    store = Store(state.settings, state.layout)
    with database.connection_context():
        video, upload = _of_sender(principal(request).user, video_id)
        if upload.state is not UploadState.FAILED or data.success:
            answer = _settle(store, upload, success=data.success)
            if answer is not None:
                return answer
        result = UploadResult(
            video_id=video_id,
            state=Video.get_by_id(video.id).state.value,
            status_url=_status_url(state.settings.base_url, video_id),
        )
    return Response(result, status_code=200)


def _of_sender(user: User, video_id: str) -> tuple[Video, Upload]:
    """A video that this user is sending. Raises NotFound for everybody else's."""
    video = access.get_video(user, video_id)
    uploads = access.visible_uploads(user).where(Upload.video == video)
    upload = uploads.order_by(Upload.id.desc()).first()
    if upload is None:
        raise NotFound("There is no such upload.")
    return video, upload


def _settle(store: Store, upload: Upload, *, success: bool) -> Response[Any] | None:
    """Finish or fail it; an answer when bytes are missing. Raises Conflict."""
    try:
        held = store.hold(upload)
    except UploadBusy:
        return _missing("Bytes are still arriving.", upload.durable_offset, upload.length)
    except UploadGone as exc:
        raise Conflict(str(exc), code=exc.code) from exc
    try:
        return _settle_held(store, held, success=success)
    finally:
        held.close()


def _settle_held(store: Store, held: Held, *, success: bool) -> Response[Any] | None:
    if not success:
        if held.row.state is not UploadState.RECEIVING:
            raise Conflict("All bytes of this file are here; it can't fail any more.")
        store.fail(held)
    elif held.all_here:
        store.finish(held)
    else:
        return _missing(
            f"{held.offset} of {held.row.length} bytes are here.", held.offset, held.row.length
        )
    return None


def _missing(what: str, offset: int, length: int | None) -> Response[Any]:
    """Source: RFC 9457, with the offset as an extension member."""
    document = {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": f"{what} Send the rest, then say complete again.",
        "code": "bytes_missing",
        "offset": offset,
        "length": length,
    }
    return Response(document, status_code=409, media_type=PROBLEM)


def _status_url(base_url: str, video_id: str) -> str:
    return f"{base_url}/api/v1/videos/{video_id}/status"


@post(
    "/upload/{capability:str}",
    opt={**PUBLIC, "exclude_from_csrf": True},
    request_max_body_size=None,
    include_in_schema=False,
)
async def upload_form(request: Request[Any, Any, State], capability: FromPath[str]) -> Redirect:
    """The form of the upload page, sent by a browser without script; streamed to disk."""
    state = request.app.state
    user = await in_thread(lambda: sender_of(state.vault, capability))
    try:
        made = await take_form(
            Store(state.settings, state.layout),
            user,
            request.headers.get("content-type", ""),
            announced_bytes(request.headers),
            Body(request.receive),
        )
    except (BodyCut, BodyStalled) as exc:
        raise InvalidInput("The connection was cut before the whole file was here.") from exc
    return Redirect(f"/videos/{made[0]}" if len(made) == 1 else "/", status_code=303)
