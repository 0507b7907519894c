"""Choose the poster of a video: a moment, a picture, or what the box finds best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, post, put
from litestar.datastructures import State
from litestar.openapi.spec import Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from litestar.response import Redirect

from appliance import access
from appliance.access import Scope
from appliance.errors import InvalidInput
from appliance.models import Job, Role, User, Video
from storage.background import in_thread
from tasks.poster import choosing
from web.auth import needs, principal
from web.picture_body import (
    bring_picture,
    is_picture,
    kind_of,
    picture_or,
    read_words,
    require_few_words,
)
from web.rendition_shapes import PosterShape, load_poster

if TYPE_CHECKING:
    pass

CHANGE = needs(Role.EDITOR)
WRITE = needs(Role.EDITOR, Scope.WRITE)


class PosterChoiceBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of the two: a moment of the film in seconds, or back to what the box finds best."""

    at_s: float | None = None
    auto: bool = False


@dataclass
class _PosterOperation(Operation):
    """Says what the body may be; the handler reads it itself."""

    def __post_init__(self) -> None:
        self.request_body = picture_or(
            {
                "at_s": Schema(type=OpenAPIType.NUMBER, description="A moment, in seconds."),
                "auto": Schema(type=OpenAPIType.BOOLEAN, description="What the box finds best."),
            }
        )


@put(
    "/api/v1/videos/{video_id:str}/poster",
    opt=WRITE,
    tags=["videos"],
    summary="Choose the poster",
    status_code=202,
    operation_class=_PosterOperation,
    request_max_body_size=None,  # bounded below, with a sentence
)
async def choose_poster(
    request: Request[None, None, State], video_id: FromPath[str]
) -> PosterShape:
    """``{"at_s": 12.3}``, ``{"auto": true}``, or a picture as the body. The old poster stays until
    the new one is there; ``version`` goes up then."""
    return await _choose(request, video_id)


@post(
    "/videos/{video_id:str}/poster",
    opt=CHANGE,
    status_code=202,
    include_in_schema=False,
    request_max_body_size=None,
)
async def choose_poster_form(
    request: Request[Any, Any, State], video_id: FromPath[str]
) -> Redirect | Response[PosterShape]:
    """The same as a form (``at_s`` or ``auto``), or a picture by script."""
    chosen = await _choose(request, video_id)
    if is_picture(request):
        return Response(chosen, status_code=202)
    return Redirect(f"/videos/{video_id}", status_code=303)


async def _choose(request: Request[Any, Any, State], video_id: str) -> PosterShape:
    user = principal(request).user
    if is_picture(request):
        await bring_picture(
            request, video_id, lambda brought: _ask(request, user, video_id, brought=brought)
        )
    else:
        wish = await _read_wish(request)
        if (wish.at_s is None) is not wish.auto:
            raise InvalidInput("Say a moment, or that the box shall choose.", field="at_s")
        await in_thread(lambda: _ask(request, user, video_id, at_s=wish.at_s))
    return await in_thread(lambda: _shape(request, user, video_id))


async def _read_wish(request: Request[Any, Any, State]) -> PosterChoiceBody:
    if kind_of(request) == "application/x-www-form-urlencoded":
        require_few_words(request)
        form = await request.form()
        words: dict[str, Any] = {"auto": form.get("auto") in ("1", "true", "on")}
        if str(form.get("at_s") or "").strip():
            words["at_s"] = _number(str(form.get("at_s")))
        return PosterChoiceBody(**words)
    otherwise = "Say the poster as a picture, as {“at_s”: 12.3} or as {“auto”: true}."
    return await read_words(request, PosterChoiceBody, otherwise=otherwise)


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError as exc:
        raise InvalidInput("Write the moment as seconds, such as 12.5.", field="at_s") from exc


def _ask(
    request: Request[Any, Any, State],
    user: User,
    video_id: str,
    *,
    at_s: float | None = None,
    brought: str | None = None,
) -> Job:
    video = access.get_video(user, video_id)
    layout = request.app.state.layout
    return choosing.choose(video, user, layout, at_s=at_s, brought=brought)


def _shape(request: Request[Any, Any, State], user: User, video_id: str) -> PosterShape:
    video: Video = access.get_video(user, video_id)
    return load_poster(video, request.app.state.settings.base_url)
