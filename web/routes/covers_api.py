"""Covers of single posts: chosen before the post is made, by a moment or a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.openapi.spec import Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath

from appliance import access
from appliance.access import Scope
from appliance.db import database
from appliance.errors import InvalidInput, TooLarge
from appliance.ids import new_id
from appliance.models import Role
from storage.background import disk_work, in_thread
from storage.budget import require_room
from storage.media import make_folder
from tasks.poster import choosing, covers
from tasks.poster.brought import MAX_BYTES
from web.auth import needs, principal
from web.picture_body import is_picture, picture_or, receive_picture, said_bytes

if TYPE_CHECKING:
    from pathlib import Path

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.POST)
AnyRequest = Request[Any, Any, State]
_WORDS_BYTES = 10_000


class CoverMoment(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    at_s: float
    """A moment of the film, in seconds."""


@dataclass(frozen=True)
class CoverShape:
    """``cover_id`` is the option ``cover`` of a post. ``state``: making, ready, failed."""

    cover_id: str
    url: str
    state: str
    error: str | None


@dataclass
class _CoverOperation(Operation):
    """Says what the body may be; the handler reads it itself."""

    def __post_init__(self) -> None:
        self.request_body = picture_or(
            {"at_s": Schema(type=OpenAPIType.NUMBER, description="A moment, in seconds.")},
            required=["at_s"],
        )


@post(
    "/api/v1/videos/{video_id:str}/covers",
    opt=WRITE,
    tags=["posts"],
    summary="Choose the cover of a post",
    status_code=202,
    operation_class=_CoverOperation,
    request_max_body_size=None,  # bounded below, with a sentence
)
async def choose_cover(request: AnyRequest, video_id: FromPath[str]) -> CoverShape:
    """``{"at_s": 12.3}``, or a picture as the body. It is made at once; ``cover_id`` goes into the
    option ``cover`` of the accounts that shall have it."""
    if is_picture(request):
        return await _take_picture(request, video_id)
    moment = await _read_moment(request)
    return await in_thread(lambda: _ask(request, video_id, at_s=moment.at_s))


@get(
    "/api/v1/videos/{video_id:str}/covers/{cover_id:str}",
    opt=READ,
    tags=["posts"],
    summary="Is a cover made?",
    sync_to_thread=True,
)
def show_cover(request: AnyRequest, video_id: FromPath[str], cover_id: FromPath[str]) -> CoverShape:
    """``state`` failed says why in ``error``."""
    with database.connection_context():
        return _shape(request, video_id, cover_id)


async def _read_moment(request: AnyRequest) -> CoverMoment:
    if said_bytes(request) > _WORDS_BYTES:
        raise TooLarge("That is more than a choice of a cover can be.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _WORDS_BYTES:
            raise TooLarge("That is more than a choice of a cover can be.")
    try:
        return msgspec.json.decode(bytes(body), type=CoverMoment)
    except msgspec.DecodeError as exc:  # of which ValidationError is one
        raise InvalidInput("Say the cover as a picture, or as {“at_s”: 12.3}.") from exc


async def _take_picture(request: AnyRequest, video_id: str) -> CoverShape:
    brought = new_id()
    file = await in_thread(lambda: _prepare(request, video_id, brought))
    taken = False
    try:
        await receive_picture(request, file)
        shape = await in_thread(lambda: _ask(request, video_id, brought=brought))
        taken = True
        return shape
    finally:
        if not taken:
            await disk_work(lambda: file.unlink(missing_ok=True))


def _prepare(request: AnyRequest, video_id: str, brought: str) -> Path:
    video = access.get_video(principal(request).user, video_id)
    choosing.require_choosable(video)
    require_room(request.app.state.settings, MAX_BYTES)
    layout = request.app.state.layout
    make_folder(layout.video(video.public_id))
    return choosing.picture_path(layout, video, brought)


def _ask(
    request: AnyRequest, video_id: str, *, at_s: float | None = None, brought: str | None = None
) -> CoverShape:
    video = access.get_video(principal(request).user, video_id)
    cover = covers.new_cover(video, at_s=at_s, brought=brought)
    return _shape(request, video_id, cover)


def _shape(request: AnyRequest, video_id: str, cover_id: str) -> CoverShape:
    video = access.get_video(principal(request).user, video_id)
    state = covers.state_of(video, cover_id, request.app.state.layout)
    base_url = request.app.state.settings.base_url
    return CoverShape(
        cover_id=cover_id,
        url=f"{base_url}/media/{video.public_id}/cover-{cover_id}.jpg",
        state=state.state,
        error=state.error or None,
    )
