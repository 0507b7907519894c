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
from appliance.models import Role
from storage.background import in_thread
from tasks.poster import covers
from web.auth import needs, principal
from web.picture_body import bring_picture, is_picture, picture_or, read_words

if TYPE_CHECKING:
    pass

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.POST)
AnyRequest = Request[Any, Any, State]


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
        return await bring_picture(
            request, video_id, lambda brought: _ask(request, video_id, brought=brought)
        )
    otherwise = "Say the cover as a picture, or as {“at_s”: 12.3}."
    moment = await read_words(request, CoverMoment, otherwise=otherwise)
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
