"""Files of videos, for people who are signed in and for their scripts."""

from __future__ import annotations

from typing import Any

from litestar import Request, route
from litestar.datastructures import State
from litestar.enums import HttpMethod
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp

from appliance import access
from appliance.access import Scope
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Role
from storage.media_types import original_type
from web.auth import needs, principal
from web.sendfile import SendFile, content_disposition

_READ = [HttpMethod.GET, HttpMethod.HEAD]
_FOR_EVER = "private, max-age=31536000, immutable"


@route(
    "/media/{video_id:str}/{name:str}",
    http_method=_READ,
    opt=needs(Role.VIEWER, Scope.READ),
    sync_to_thread=True,
    include_in_schema=False,
)
def media_file(
    request: Request[Any, Any, State],
    video_id: FromPath[str],
    name: FromPath[str],
    download: FromQuery[bool] = False,
    v: FromQuery[int | None] = None,
) -> ASGIApp:
    """``original``, ``social.mp4`` or ``poster.webp``; ``?download=1`` saves instead of showing.

    ``v``: the poster's version; an address that has it never changes its content.
    """
    layout = request.app.state.layout
    with database.connection_context():
        video = access.get_video(principal(request).user, video_id)
    if name == "original":
        path, media_type, saved_as = (
            layout.original(video_id),
            original_type(video)[0],
            video.filename,
        )
    elif name == "social.mp4":
        path, media_type, saved_as = (
            layout.rendition(video_id, "social"),
            "video/mp4",
            f"{video.title}.mp4",
        )
    elif name == "poster.webp":
        path, media_type, saved_as = layout.poster(video_id), "image/webp", f"{video.title}.webp"
    else:
        raise NotFound("A video has no such file.")
    return SendFile(
        path,
        media_type,
        disposition=content_disposition("attachment" if download else "inline", saved_as),
        cache_control=_FOR_EVER if v is not None else "private, no-cache",
    )
