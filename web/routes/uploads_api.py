"""Upload grants for scripts, the word that an upload is complete, and the form without script."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from litestar.response import Redirect

from appliance.access import Scope
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput
from appliance.models import Role
from storage.background import in_thread
from storage.uploads import Store
from web.auth import PUBLIC, needs, principal
from web.upload_body import Body, BodyCut, BodyStalled, BodyTakenOver
from web.upload_completion import (
    UploadResult,
    complete,
    find,
    give_up,
    result_of,
)
from web.upload_form import announced_bytes, sender_of, take_form
from web.upload_grants import (
    UploadGrant,
    UploadWanted,
    make_grant,
    read_sha256,
    status_url,
)

UPLOAD = needs(Role.EDITOR, Scope.UPLOAD)


class UploadDone(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    success: bool = True
    """false: the sending failed, and will not go on."""
    sha256: str | None = None
    """Of the whole file, in hex."""


@post("/api/v1/uploads", opt=UPLOAD, sync_to_thread=True, tags=["uploads"])
def grant_upload(
    request: Request[Any, Any, State], data: JSONBody[UploadWanted]
) -> Response[UploadGrant]:
    """An address to send one file to. Every byte that arrives prolongs its life."""
    state = request.app.state
    with database.connection_context():
        store = Store(state.settings, state.layout)
        grant = make_grant(store, principal(request).user, data)
    return Response(grant, status_code=201)


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
    sha256 = None if data.sha256 is None else read_sha256(data.sha256)
    with database.connection_context():
        video, upload = find(principal(request).user, video_id)
        if data.success:
            complete(store, upload, sha256)
        else:
            give_up(store, upload)
        result = result_of(video, status_url(state.settings.base_url, video_id))
    return Response(result, status_code=200)


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
    body = Body(request.receive)
    try:
        made = await take_form(
            state.desk,
            f"user {user.id}",
            user,
            request.headers.get("content-type", ""),
            announced_bytes(request.headers),
            body,
        )
    except (BodyCut, BodyStalled, BodyTakenOver) as exc:
        raise InvalidInput("The connection was cut before the whole file was here.") from exc
    except ApplianceError:
        await body.linger()  # else the browser shows a broken connection instead of the reason
        raise
    return Redirect(f"/videos/{made[0]}" if len(made) == 1 else "/", status_code=303)
