"""What is made of a video: list it, have it made, take it away."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from appliance import access
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role, Video
from storage.public_links import PublicLinks
from tasks import asking
from web.auth import needs, principal
from web.rendition_shapes import RenditionList, RenditionShape, load_rendition, load_renditions

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.WRITE)


class When(StrEnum):
    NOW = "now"
    NIGHT = "night"


class Wish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``when``: "now", before all that nobody waits for; "night", within the hours of
    ``night_hours``."""

    when: When = When.NOW


@get(
    "/api/v1/videos/{video_id:str}/renditions",
    opt=READ,
    tags=["videos"],
    summary="All that is made of a video, or can be",
    sync_to_thread=True,
)
def list_renditions(request: Request[None, None, State], video_id: FromPath[str]) -> RenditionList:
    with database.connection_context():
        video = access.get_video(principal(request).user, video_id)
        return load_renditions(video, links=_links(request), base_url=_base_url(request))


@post(
    "/api/v1/videos/{video_id:str}/renditions/{profile:str}",
    opt=WRITE,
    tags=["videos"],
    summary="Make a rendition, or make it anew",
    status_code=202,
    sync_to_thread=True,
)
def make_rendition(
    request: Request[None, None, State],
    video_id: FromPath[str],
    profile: FromPath[str],
    data: JSONBody[Wish | None] = None,
) -> RenditionShape:
    """One that is there and up to date stays as it is: then ``job_id`` is null."""
    user = principal(request).user
    at_night = data is not None and data.when is When.NIGHT
    with database.connection_context():
        asking.ask(access.get_video(user, video_id), profile, user, at_night=at_night)
        return _one(request, access.get_video(user, video_id), profile)


@delete(
    "/api/v1/videos/{video_id:str}/renditions/{profile:str}",
    opt=WRITE,
    tags=["videos"],
    summary="Take a rendition away that was made on demand",
    sync_to_thread=True,
)
def remove_rendition(
    request: Request[None, None, State], video_id: FromPath[str], profile: FromPath[str]
) -> None:
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        asking.remove(video, profile, user, request.app.state.layout)


def _one(request: Request[None, None, State], video: Video, profile: str) -> RenditionShape:
    return load_rendition(video, profile, links=_links(request), base_url=_base_url(request))


def _links(request: Request[None, None, State]) -> PublicLinks:
    return PublicLinks(request.app.state.settings, request.app.state.vault)


def _base_url(request: Request[None, None, State]) -> str:
    return str(request.app.state.settings.base_url)
