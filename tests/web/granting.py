"""Upload grants as tests ask for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

BODY = os.urandom(200_000)
WANTED = {"filename": "Talk.mp4", "file_size": len(BODY), "content_type": "video/mp4"}


def granted(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/uploads", json={**WANTED, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def complete(client: httpx.Client, video_id: str, **said: Any) -> httpx.Response:
    body = {"success": True, **said}
    return client.post(f"/api/v1/videos/{video_id}/upload/complete", json=body)


def put_part(client: httpx.Client, address: str, first: int, stop: int) -> httpx.Response:
    """A piece of ``BODY``."""
    wanted = f"bytes {first}-{stop - 1}/{len(BODY)}"
    return client.put(address, content=BODY[first:stop], headers={"Content-Range": wanted})
