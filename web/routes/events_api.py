"""The stream of events."""

from __future__ import annotations

from typing import Annotated

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import HeaderParameter
from litestar.response import Stream

from appliance.access import Scope
from appliance.models import Role
from web.auth import needs, principal

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get(
    "/api/v1/events",
    opt=needs(Role.VIEWER, Scope.READ),
    tags=["events"],
    summary="Events as they happen (server-sent events)",
    description="Each message has the number of the event as `id`, its type as `event` and a JSON "
    "object as `data`. `Last-Event-ID` goes on after that event; `resync` says that too much was "
    "missed: load anew what you show.",
    media_type="text/event-stream",
)
async def events(
    request: Request[None, None, State],
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> Stream:
    known = last_event_id is not None and last_event_id.isascii() and last_event_id.isdecimal()
    last_id = min(int(last_event_id or 0), 2**62) if known else None
    content = request.app.state.live.stream(principal(request), last_id)
    return Stream(content, media_type="text/event-stream", headers=HEADERS)
