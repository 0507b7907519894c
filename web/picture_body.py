"""A picture as the body of a request: what it is said to be, how much, and how it is taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from appliance.errors import InvalidInput, TooLarge
from storage.background import disk_work
from tasks.poster.brought import MAX_BYTES, demuxer_of

if TYPE_CHECKING:
    from pathlib import Path

    from litestar import Request
    from litestar.datastructures import State

    AnyRequest = Request[Any, Any, State]

_WRITTEN_BYTES = 1024**2
_NO_PICTURE = "Only PNG, JPEG and WebP pictures can be used. Choose another picture."
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


async def receive_picture(request: AnyRequest, file: Path) -> None:
    """Write the body, in portions. Raises InvalidInput for no picture, TooLarge."""
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
