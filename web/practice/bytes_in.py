"""How the stand-ins take the bytes of an upload: what came stays, however the request ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from litestar.exceptions import InternalServerException

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from litestar import Request
    from litestar.datastructures import State

    Raw = Request[Any, Any, State]

WRITE_BYTES = 1024 * 1024


async def store_body(request: Raw, file: Path, offset: int, keep: int | None) -> int:
    """Write the body into ``file`` from ``offset`` on, at most ``keep`` bytes of it (None: all);
    where it ends now."""
    at, pending = offset, bytearray()
    opened = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        async for piece in _pieces(request):
            pending += piece
            if keep is not None and at - offset + len(pending) >= keep:
                del pending[max(0, keep - (at - offset)) :]
                break
            if len(pending) >= WRITE_BYTES:
                await anyio.to_thread.run_sync(os.pwrite, opened, bytes(pending), at)
                at, pending = at + len(pending), bytearray()
        await anyio.to_thread.run_sync(os.pwrite, opened, bytes(pending), at)
        return at + len(pending)
    finally:
        os.close(opened)


async def _pieces(request: Raw) -> AsyncIterator[bytes]:
    """Until the end, or until the sender is gone."""
    try:
        async for piece in request.stream():
            yield piece
    except InternalServerException:  # Litestar's word for "client disconnected prematurely"
        return
