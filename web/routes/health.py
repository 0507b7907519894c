"""Whether the box is alive, and whether it can do its work."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State

from appliance.access import at_least
from appliance.models import Role
from storage.readiness import reasons_against
from web.auth import PUBLIC, principal_or_none


@get("/health/live", opt=PUBLIC, sync_to_thread=False, include_in_schema=False)
def live() -> dict[str, str]:
    """The process answers: no look at disk or database, so that a full disk doesn't restart it."""
    return {"status": "alive"}


@get("/health/ready", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def ready(request: Request[None, None, State]) -> Response[dict[str, Any]]:
    """200 or 503; why not is told to admins alone."""
    reasons = reasons_against(request.app.state.settings)
    body: dict[str, Any] = {"status": "unready" if reasons else "ready"}
    found = principal_or_none(request)
    if found is not None and at_least(found.user, Role.ADMIN):
        body["reasons"] = reasons
    return Response(body, status_code=503 if reasons else 200)
