"""Files of videos, for people who are signed in and for their scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, route
from litestar.datastructures import State
from litestar.enums import HttpMethod
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp

from appliance import access
from appliance.access import Scope
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Rendition, Role, Video
from appliance.states import RenditionState
from storage.media_types import RENDITION_FILES, is_other_file, original_type
from tasks.storyboard.index import to_vtt
from web.auth import needs, principal
from web.rendition_shapes import version_of
from web.sendfile import SendFile, content_disposition

if TYPE_CHECKING:
    from pathlib import Path

    from storage.layout import Layout

_READ = [HttpMethod.GET, HttpMethod.HEAD]
_FOR_EVER = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"
_PROFILES = {file.name: profile for profile, file in RENDITION_FILES.items()}
_NONE = "A video has no such file."


@dataclass(frozen=True)
class _Found:
    """``version``: of its content; None: it is never said in addresses."""

    path: Path
    media_type: str
    saved_as: str
    version: int | None = None


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
    """``original``, ``poster.webp`` or a rendition; ``?download=1`` saves instead of showing.

    ``v``: the version of the content; an address that has it never changes its content.
    """
    with database.connection_context():
        video = access.get_video(principal(request).user, video_id)
        found = _find(video, name, request.app.state.layout)
    return SendFile(
        found.path,
        found.media_type,
        disposition=content_disposition("attachment" if download else "inline", found.saved_as),
        cache_control=_caching(v, found.version),
    )


def _find(video: Video, name: str, layout: Layout) -> _Found:
    if name == "original":
        if video.original_removed_at is not None:
            raise NotFound(
                "The original of this video was removed to save space. Its versions are there.",
                code="original_removed",
            )
        path = layout.original(video.public_id)
        return _Found(path, original_type(video)[0], video.filename)
    if name == "poster.webp":
        path = layout.poster(video.public_id)
        return _Found(path, "image/webp", f"{video.title}.webp", video.poster_version)
    if name.startswith("cover-") and is_other_file(name):  # one never changes
        path = layout.video(video.public_id) / name
        return _Found(path, "image/jpeg", f"{video.title}.jpg", version=1)
    if name not in _PROFILES:
        raise NotFound(_NONE)
    profile = _PROFILES[name]
    rendition = ready_rendition(video, profile)
    file = RENDITION_FILES[profile]
    saved_as = f"{video.title}.{file.ending}" if profile == "social" else f"{video.title}.{name}"
    return _Found(
        layout.rendition(video.public_id, profile), file.media_type, saved_as, version_of(rendition)
    )


def ready_rendition(video: Video, profile: str) -> Rendition:
    """Raises NotFound when there is none, or none yet."""
    rendition: Rendition | None = Rendition.get_or_none(
        Rendition.video == video,
        Rendition.profile == profile,
        Rendition.state == RenditionState.READY,
    )
    if rendition is None:
        raise NotFound("This file is not here. It may not be made yet.")
    return rendition


def _caching(asked: int | None, current: int | None) -> str:
    """For ever only under its own version: a page that is older must not keep the newer file."""
    return _FOR_EVER if asked is not None and asked == current else _ASK_AGAIN


@route(
    "/media/{video_id:str}/storyboard.vtt",
    http_method=_READ,
    opt=needs(Role.VIEWER, Scope.READ),
    sync_to_thread=True,
    include_in_schema=False,
)
def storyboard_index(
    request: Request[Any, Any, State], video_id: FromPath[str], v: FromQuery[int | None] = None
) -> Response[str]:
    """Which part of ``storyboard.webp`` belongs to which seconds, as WebVTT."""
    with database.connection_context():
        video = access.get_video(principal(request).user, video_id)
        rendition = ready_rendition(video, "storyboard")
    version = version_of(rendition)
    text = to_vtt(rendition.facts or {}, f"storyboard.webp?v={version}", video.duration_s or 0.0)
    return Response(
        text,
        media_type="text/vtt",
        headers={"Cache-Control": _caching(v, version)},
    )
