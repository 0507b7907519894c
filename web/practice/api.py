"""The practice platform's API. Shapes and errors follow Instagram's (platforms.md §3)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, delete, get, post, put
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from appliance import access, tokens
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from tasks.publish.publishers.practice import ALREADY_PUBLISHED, NOT_READY
from web.auth import PUBLIC
from web.practice.cut_off import CutOff
from web.practice.faults import FAULTS

if TYPE_CHECKING:
    from web.practice.platform import Practice
    from web.practice.store import Media

# The platform has its own sign-in: whoever has its token. Forms of other sites can't send one.
OPT: dict[str, Any] = {**PUBLIC, "exclude_from_csrf": True}
GONE = 2207006
BAD_REQUEST, NO_SUCH_MEDIA, MEDIA_NOT_READY = 100, 24, 9007
MAX_TITLE_CHARS, MAX_CAPTION_CHARS, CAPTION_TOO_LONG = 100, 2200, 2207010

AnyRequest = Request[Any, Any, State]


@post("/media", opt=OPT, sync_to_thread=True, status_code=200, include_in_schema=False)
def create_container(request: AnyRequest, data: JSONBody[dict[str, Any]]) -> Response[Any]:
    """Take the address of a video; like Instagram, says yes before having looked at it."""
    practice = _practice(request)
    if refusal := _turned_away(request, practice):
        return refusal
    url, title, caption = (str(data.get(name) or "") for name in ("video_url", "title", "caption"))
    if not url:
        return _error(400, "The parameter video_url is required.", BAD_REQUEST)
    if len(title) > MAX_TITLE_CHARS or len(caption) > MAX_CAPTION_CHARS:
        return _error(400, "The title or the caption is too long.", 36004, CAPTION_TOO_LONG)
    slow_s = practice.store.take_fault("slow") or 0.0
    media_id = practice.store.create(video_url=url, title=title, caption=caption, slow_s=slow_s)
    practice.fetcher.fetch_soon(media_id)
    if practice.store.take_fault("lose_create") is not None:
        return CutOff()
    return Response({"id": media_id})


@post("/media_publish", opt=OPT, sync_to_thread=True, status_code=200, include_in_schema=False)
def publish(request: AnyRequest, data: JSONBody[dict[str, Any]]) -> Response[Any]:
    practice = _practice(request)
    if refusal := _turned_away(request, practice):
        return refusal
    store = practice.store
    if store.take_fault("refuse_publish") is not None:
        return _error(400, "The post breaks a rule of the platform (told to refuse).", 25, 2207050)
    if store.take_fault("break_before_publish") is not None:
        return _error(500, "An unknown error has occurred.", 1)
    media_id = str(data.get("creation_id") or "")
    found = store.get(media_id)
    if found is None or found.status_code in ("EXPIRED", "ERROR"):
        return _error(400, "The media can't be found.", NO_SUCH_MEDIA, GONE)
    post_id = store.publish(found.id)
    if post_id is None:
        if (now_is := store.get(found.id)) is not None and now_is.status_code == "PUBLISHED":
            return _error(400, "The media is published already.", 9007, ALREADY_PUBLISHED)
        return _error(400, "The media isn't ready yet.", MEDIA_NOT_READY, NOT_READY)
    if store.take_fault("break_after_publish") is not None:
        return _error(500, "An unknown error has occurred.", 1)
    if store.take_fault("lose_publish") is not None:
        return CutOff()
    return Response({"id": post_id, "permalink": practice.permalink(post_id)})


@get("/media", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_media(request: AnyRequest) -> Response[Any]:
    """What was handed over, newest first."""
    practice = _practice(request)
    if refusal := _turned_away(request, practice):
        return refusal
    items = [_shape(media, practice) for media in practice.store.newest()]
    return Response({"items": items, "next_cursor": None})


@get("/media/{media_id:str}", opt=OPT, sync_to_thread=True, include_in_schema=False)
def show_media(
    request: AnyRequest, media_id: FromPath[str], fields: FromQuery[str] = ""
) -> Response[Any]:
    practice = _practice(request)
    if refusal := _turned_away(request, practice):
        return refusal
    found = practice.store.get(media_id)
    if found is None:
        return _error(404, "The media can't be found.", NO_SUCH_MEDIA, GONE)
    if found.post_id and practice.store.take_fault("cannot_tell") is not None:
        return Response({"id": found.id, "status_code": "UNKNOWN"})
    shape = _shape(found, practice)
    # "post_id" beyond what was asked for: Instagram leaves open how else to find it.
    wanted = {*fields.split(","), "id", "post_id", "error_subcode"} if fields else set(shape)
    return Response({name: value for name, value in shape.items() if name in wanted})


@delete(
    "/media/{media_id:str}", opt=OPT, sync_to_thread=True, status_code=200, include_in_schema=False
)
def remove_media(request: AnyRequest, media_id: FromPath[str]) -> Response[Any]:
    practice = _practice(request)
    if refusal := _turned_away(request, practice):
        return refusal
    if not practice.store.delete(media_id):
        return _error(404, "The media can't be found.", NO_SUCH_MEDIA, GONE)
    return Response({"success": True})


@get("/faults", opt=OPT, sync_to_thread=True, include_in_schema=False)
def list_faults(request: AnyRequest) -> Response[Any]:
    practice = _practice(request)
    if not _knows_us(request, practice):
        return _unknown_token()
    return Response(practice.store.faults())


@put("/faults", opt=OPT, sync_to_thread=True, status_code=200, include_in_schema=False)
def set_faults(request: AnyRequest, data: JSONBody[dict[str, float]]) -> Response[Any]:
    """``{name: value}`` replaces what was set; {} clears all."""
    practice = _practice(request)
    if not _knows_us(request, practice):
        return _unknown_token()
    if unknown := sorted(set(data) - set(FAULTS)):
        return _error(400, f"There is no fault “{unknown[0]}”.", BAD_REQUEST)
    practice.set_faults(data)
    return Response(practice.store.faults())


def _practice(request: AnyRequest) -> Practice:
    practice: Practice = request.app.state.practice
    return practice


def _turned_away(request: AnyRequest, practice: Practice) -> Response[Any] | None:
    """The answer to who isn't let in now."""
    if not _knows_us(request, practice):
        return _unknown_token()
    if practice.store.take_fault("expire_token") is not None:
        return _error(401, "The session has expired.", 190, 463)
    pause_s = practice.store.take_fault("throttle")
    if pause_s is not None:
        answer = _error(429, "Too many calls.", 4)
        answer.headers["Retry-After"] = str(max(1, round(pause_s)))
        return answer
    return None


def _knows_us(request: AnyRequest, practice: Practice) -> bool:
    """The platform's own token, or (to look around by hand) an admin's of the appliance."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        return False
    if hmac.compare_digest(token.strip().encode(), practice.token.encode()):
        return True
    with database.connection_context():
        row = tokens.find(token.strip())
        wanted = Scope.READ if request.method == "GET" else Scope.ADMIN
        return row is not None and wanted in row.scopes and access.at_least(row.user, Role.ADMIN)


def _unknown_token() -> Response[Any]:
    return _error(401, "The access token can't be read.", 190, 467)


def _error(status: int, message: str, code: int, subcode: int | None = None) -> Response[Any]:
    error = {"message": message, "type": "OAuthException", "code": code, "error_subcode": subcode}
    return Response({"error": error}, status_code=status)


def _shape(media: Media, practice: Practice) -> dict[str, Any]:
    return {
        "id": media.id,
        "post_id": media.post_id,
        "status_code": media.status_code,
        "status": media.status,
        "error_subcode": media.error_subcode,
        "title": media.title,
        "caption": media.caption,
        "permalink": practice.permalink(media.post_id) if media.post_id else None,
        "created_at": media.created_at,
        "published_at": media.published_at,
        "size_bytes": media.size_bytes,
        "sha256": media.sha256,
        "head_requests": media.heads,
        "range_requests": media.ranges,
    }
