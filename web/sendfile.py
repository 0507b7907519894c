"""Send a file, or a part of it: an ASGI application, to be returned by a handler.

Litestar's own file answer knows no ranges, which players and platforms need. Memory is constant,
the event loop never waits for a disk that is slow (large parts are read by threads), and the
reading stops when the asker goes away. A proxy that says with a request that it can send files by
itself (``X-Sendfile-Type: X-Accel-Redirect``, see docs/proxy.md) is told which, after all checks.
Source: RFC 9110; performance.md §2; nginx.org/en/docs/http/ngx_http_proxy_module.html.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.to_thread
from litestar.datastructures import Headers

from appliance.errors import NotFound
from storage.byte_range import (
    Slice,
    Unsatisfiable,
    is_known,
    is_other,
    parse_range,
    range_applies,
)

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 1 << 20
# Parts as small as this are in the page cache as a rule: a thread would cost more than the read.
INLINE_BYTES = 256 << 10

# Below this the proxy finds what is below the folder of media (docs/proxy/).
PROXY_PREFIX = "/.files"

# Even if somebody's "video" is a page with a script: it isn't rendered, and runs nothing.
_HARMLESS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
]


def content_disposition(kind: str, name: str) -> str:
    """``kind`` is "inline" or "attachment"; ``name`` any cleaned text.

    Source: RFC 6266 with the encoding of RFC 8187; the plain form is for old clients.
    """
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


@dataclass(frozen=True)
class SendFile:
    """``cross_origin``: the value of Cross-Origin-Resource-Policy."""

    path: Path
    content_type: str
    disposition: str = "inline"
    cache_control: str = "private, no-cache"
    cross_origin: str = "same-origin"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Raises NotFound, before anything is sent, when the file is gone."""
        # Here, not in a thread: what is asked for in parts is asked for again and again, so its
        # name is in memory, and a thread would cost more than all the rest of a small part.
        handle = self._open()
        try:
            await self._answer(handle, scope, receive, send)
        finally:
            os.close(handle)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as exc:
            raise NotFound("This file is not here. It may have been deleted.") from exc

    async def _answer(self, handle: int, scope: Any, receive: Any, send: Any) -> None:
        facts = os.fstat(handle)
        if (inside := _inside(self.path, scope)) and _proxy_sends(scope):
            await self._hand_over(inside, send)
            return
        etag = f'"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"'
        status, part = _choose(Headers.from_scope(scope), etag, facts.st_size)
        headers = [*self._common(), ("Accept-Ranges", "bytes"), ("ETag", etag)]
        if status in (200, 206):
            headers += self._about()
        if status == 206:
            headers.append(("Content-Range", f"bytes {part.start}-{part.stop - 1}/{facts.st_size}"))
        if status == 416:
            headers.append(("Content-Range", f"bytes */{facts.st_size}"))
        if status != 304:
            headers.append(("Content-Length", str(part.stop - part.start)))
        await _begin(status, headers, send)
        if scope["method"] == "HEAD":
            part = Slice(0, 0)
        await _send_part(handle, part, receive, send)

    def _common(self) -> list[tuple[str, str]]:
        return [
            *_HARMLESS,
            ("Cache-Control", self.cache_control),
            ("Cross-Origin-Resource-Policy", self.cross_origin),
        ]

    def _about(self) -> list[tuple[str, str]]:
        return [("Content-Type", self.content_type), ("Content-Disposition", self.disposition)]

    async def _hand_over(self, inside: str, send: Any) -> None:
        """The proxy answers in our place: ranges, conditions and HEAD are its own."""
        where = ("X-Accel-Redirect", f"{PROXY_PREFIX}/{quote(inside)}")
        await _begin(200, [*self._common(), *self._about(), where, ("Content-Length", "0")], send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _inside(path: Path, scope: Any) -> str:
    """The name of the file below the folder of media; "" for one elsewhere."""
    media = scope["app"].state.layout.media
    return str(path.relative_to(media)) if path.is_relative_to(media) else ""


def _proxy_sends(scope: Any) -> bool:
    """Whoever says so without being our proxy only loses: an empty answer, and no secret."""
    said = Headers.from_scope(scope).get("x-sendfile-type", "")
    return said.lower() == "x-accel-redirect"


async def _begin(status: int, headers: list[tuple[str, str]], send: Any) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers],
        }
    )


def _choose(headers: Headers, etag: str, size: int) -> tuple[int, Slice]:
    """Status and part; pure. The order is that of RFC 9110 §13.2.2."""
    nothing = Slice(0, 0)
    if is_other(headers.get("if-match"), etag):
        return 412, nothing
    if is_known(headers.get("if-none-match"), etag):
        return 304, nothing
    wanted = parse_range(headers.get("range"), size)
    if wanted is None or not range_applies(headers.get("if-range"), etag):
        return 200, Slice(0, size)
    if isinstance(wanted, Unsatisfiable):
        return 416, nothing
    return 206, wanted


async def _send_part(handle: int, part: Slice, receive: Any, send: Any) -> None:
    if part.stop - part.start <= INLINE_BYTES:
        body = os.pread(handle, part.stop - part.start, part.start)
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return
    gone = asyncio.create_task(_until_disconnect(receive))
    try:
        position = part.start
        while position < part.stop and not gone.done():
            count = min(CHUNK_BYTES, part.stop - position)
            body = await anyio.to_thread.run_sync(os.pread, handle, count, position)
            if not body:
                # Shorter than it was: the connection is cut, which says "incomplete".
                raise RuntimeError("A file became shorter while it was sent.")
            position += len(body)
            await send(
                {
                    "type": "http.response.body",
                    "body": body,
                    "more_body": position < part.stop,
                }
            )
    finally:
        gone.cancel()


async def _until_disconnect(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
