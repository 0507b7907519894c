"""A picture as the body of a request, or a few words instead: how they are read and taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from appliance import access
from appliance.errors import InvalidInput, TooLarge
from appliance.ids import new_id
from storage.background import disk_work, in_thread
from storage.budget import require_room
from storage.media import make_folder
from tasks.poster import choosing
from tasks.poster.brought import MAX_BYTES, demuxer_of
from web.auth import principal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from litestar import Request
    from litestar.datastructures import State

    AnyRequest = Request[Any, Any, State]

T = TypeVar("T")
_WRITTEN_BYTES = 1024**2
_WORDS_BYTES = 10_000
_NO_PICTURE = "Only PNG, JPEG and WebP pictures can be used. Choose another picture."
_TOO_WORDY = "That is more than a choice of a picture can be."
_TOO_LARGE = f"A picture may have {MAX_BYTES // 10**6} MB. Choose a smaller one."


def picture_or(words: dict[str, Schema], *, required: list[str] | None = None) -> RequestBody:
    """For OpenAPI: the body is an object of these fields, or a picture."""
    said = Schema(type=OpenAPIType.OBJECT, properties=dict(words), required=required)
    picture = Schema(
        type=OpenAPIType.STRING,
        format=OpenAPIFormat.BINARY,
        description=f"At most {MAX_BYTES // 10**6} MB.",
    )
    kinds = ("image/jpeg", "image/png", "image/webp")
    return RequestBody(
        required=True,
        content={
            "application/json": OpenAPIMediaType(schema=said),
            **{kind: OpenAPIMediaType(schema=picture) for kind in kinds},
        },
    )


def kind_of(request: AnyRequest) -> str:
    """The content type, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_picture(request: AnyRequest) -> bool:
    return kind_of(request).startswith("image/")


def said_bytes(request: AnyRequest) -> int:
    """How long the body is said to be; 0: nothing was said."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def require_few_words(request: AnyRequest) -> None:
    """By what the request says of itself. Raises TooLarge."""
    if said_bytes(request) > _WORDS_BYTES:
        raise TooLarge(_TOO_WORDY)


async def read_words(request: AnyRequest, kind: type[T], *, otherwise: str) -> T:
    """The body as JSON of that ``kind``. Raises TooLarge, and InvalidInput with ``otherwise``."""
    require_few_words(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _WORDS_BYTES:
            raise TooLarge(_TOO_WORDY)
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except msgspec.DecodeError as exc:  # of which ValidationError is one
        raise InvalidInput(otherwise) from exc


async def bring_picture(request: AnyRequest, video_id: str, ask: Callable[[str], T]) -> T:
    """Write the body beside the video, then ``ask``, with the picture's id, for the job that looks
    into it. Nothing stays when that comes to nothing. Raises what ``ask`` does, besides NotFound,
    Forbidden, Conflict, InvalidInput for no picture, TooLarge, StorageFull."""
    brought = new_id()
    file = await in_thread(lambda: _place_for(request, video_id, brought))
    taken = False
    try:
        await _receive(request, file)
        made = await in_thread(lambda: ask(brought))
        taken = True
        return made
    finally:
        if not taken:
            await disk_work(lambda: file.unlink(missing_ok=True))


def _place_for(request: AnyRequest, video_id: str, brought: str) -> Path:
    video = access.get_video(principal(request).user, video_id)
    choosing.require_choosable(video)
    require_room(request.app.state.settings, MAX_BYTES)
    layout = request.app.state.layout
    make_folder(layout.video(video.public_id))
    return choosing.picture_path(layout, video, brought)


async def _receive(request: AnyRequest, file: Path) -> None:
    """In portions."""
    if said_bytes(request) > MAX_BYTES:
        raise TooLarge(_TOO_LARGE)
    waiting, count = bytearray(), 0
    async for chunk in request.stream():
        waiting += chunk
        if count + len(waiting) > MAX_BYTES:
            raise TooLarge(_TOO_LARGE)
        if len(waiting) >= _WRITTEN_BYTES:
            count += await _append(file, waiting, first=count == 0)
    count += await _append(file, waiting, first=count == 0)


async def _append(file: Path, waiting: bytearray, *, first: bool) -> int:
    portion = bytes(waiting)
    waiting.clear()
    if first and demuxer_of(portion) is None:
        raise InvalidInput(_NO_PICTURE, code="no_picture")

    def write() -> None:
        with file.open("ab") as stream:
            stream.write(portion)

    await disk_work(write)
    return len(portion)
