"""What the box counts, for Prometheus."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State

from appliance import metrics
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from web.auth import METRICS_PATH, PUBLIC, principal


@get(METRICS_PATH, opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def read_metrics(request: Request[Any, Any, State]) -> Response[bytes]:
    """For admins, and for whoever has the secret of the setting `metrics_token`."""
    if not request.scope.get("knows_metrics_token"):
        principal(request).need(Scope.ADMIN, Role.ADMIN)
    with database.connection_context():
        return Response(metrics.render(request.app.state.settings), media_type=metrics.CONTENT_TYPE)
