"""Whether the box is alive, and whether it can do its work."""

from __future__ import annotations

from litestar import get

from web.auth import PUBLIC


@get("/health/live", opt=PUBLIC, sync_to_thread=False, include_in_schema=False)
def live() -> dict[str, str]:
    """The process answers: no look at disk or database, so that a full disk doesn't restart it."""
    return {"status": "alive"}
