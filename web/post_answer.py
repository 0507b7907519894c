"""The answer to what was asked about one post over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response

from appliance import access
from appliance.clock import now
from web.auth import principal
from web.post_shapes import PostShape, changed_at, load_posts, retry_after_s

if TYPE_CHECKING:
    from litestar import Request
    from litestar.datastructures import State


def answer(
    request: Request[Any, Any, State], post_id: str, *, status_code: int = 200
) -> Response[PostShape]:
    """The post as it is now, and when to ask again: without ``Retry-After`` nothing will change
    by itself. Raises NotFound."""
    found = access.get_post(principal(request).user, post_id)
    shape = load_posts([found], base_url=request.app.state.settings.base_url)[0]
    pause_s = retry_after_s(found, changed_at(found), now())
    headers = {} if pause_s is None else {"Retry-After": str(pause_s)}
    return Response(shape, status_code=status_code, headers=headers)
