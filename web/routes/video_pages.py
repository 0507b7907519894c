"""The page of one video, and what is done there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Template

from appliance import access, videos
from appliance.db import database
from appliance.errors import Forbidden, InvalidInput
from appliance.models import Role, User, Video, Visibility
from tasks import asking, restarts, trash
from web import video_view
from web.auth import needs, principal
from web.forms import FormData, text

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)


@dataclass
class TextForm:
    """What stands in the form; a field that isn't sent stays as it is."""

    title: str | None = None
    description: str | None = None
    visibility: str | None = None
    tags: str | None = None


@get("/videos/{video_id:str}", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def show(
    request: Request[Any, Any, State],
    video_id: FromPath[str],
    play: FromQuery[str] = "",
    activity: FromQuery[int] = 0,
) -> Template:
    """``play``: the version to play; ``activity``: how many lines of what happened."""
    return _page(request, video_id, play=play, activities=activity)


def _page(
    request: Request[Any, Any, State],
    video_id: str,
    *,
    play: str = "",
    activities: int = 0,
    **context: Any,
) -> Template:
    user = principal(request).user
    with database.connection_context():
        view = video_view.load(
            user,
            request.app.state.layout,
            video_id,
            zone=user.time_zone,
            play=play,
            activities=activities,
        )
    here = f"/videos/{view.card.id}"
    # Where the page renews itself from: with as much of what happened as was asked for.
    renew = f"{here}?activity={activities}" if activities > 0 else here
    return Template(
        "videos/show.html",
        context={"video": view, "renew": renew, "typed": None, "problems": {}, **context},
        status_code=422 if context else 200,
    )


@post("/videos/{video_id:str}/edit", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def edit(
    request: Request[Any, Any, State], video_id: FromPath[str], data: URLEncodedBody[TextForm]
) -> Redirect | Template:
    user = principal(request).user
    try:
        with database.connection_context():
            video = access.get_video(user, video_id)
            videos.edit(
                video,
                actor=user,
                title=data.title,
                description=data.description,
                visibility=_visibility(user, video, data.visibility),
                tag_names=None if data.tags is None else data.tags.split(","),
            )
    except InvalidInput as exc:
        return _page(request, video_id, typed=data, problems={exc.field or "": exc.message})
    return Redirect(f"/videos/{video_id}", status_code=303)


def _visibility(user: User, video: Video, wanted: str | None) -> Visibility | None:
    if wanted is None or wanted == video.visibility:
        return None
    if wanted not in list(Visibility):
        raise InvalidInput("Choose who may see this video.", field="visibility")
    if not access.may_delete(user, video):
        raise Forbidden("Only its owner and admins change who sees a video.")
    return Visibility(wanted)


@post("/videos/{video_id:str}/delete", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def delete(request: Request[Any, Any, State], video_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        trash.throw_away(access.get_video(user, video_id), user, request.app.state.layout)
    return Redirect(f"/?trashed={video_id}", status_code=303)


@post("/videos/{video_id:str}/restore", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def restore(request: Request[Any, Any, State], video_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id, trashed=True)
        state = request.app.state
        trash.take_out(video, user, state.layout, state.settings)
    return Redirect(f"/videos/{video_id}", status_code=303)


@post("/videos/{video_id:str}/retry", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry(request: Request[Any, Any, State], video_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        restarts.retry_video(access.get_video(user, video_id), user)
    return Redirect(f"/videos/{video_id}", status_code=303)


@post(
    "/videos/{video_id:str}/renditions/{profile:str}/delete",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def delete_rendition(
    request: Request[Any, Any, State], video_id: FromPath[str], profile: FromPath[str]
) -> Redirect:
    """One that was made on demand."""
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        asking.remove(video, profile, user, request.app.state.layout)
    return Redirect(f"/videos/{video_id}#versions", status_code=303)


@post(
    "/videos/{video_id:str}/keep-original",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def keep_original(
    request: Request[Any, Any, State], video_id: FromPath[str], data: FormData
) -> Redirect:
    """``keep``: "yes", or "no" to leave it to the policy for originals."""
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        videos.keep_original(video, actor=user, keep=text(data, "keep") == "yes")
    return Redirect(f"/videos/{video_id}#versions", status_code=303)
