"""The pages about data that the platforms' reviews ask for; anybody may read them."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.response import Template

from web.auth import PUBLIC


@get("/privacy", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def privacy(request: Request[Any, Any, State]) -> Template:
    return Template("privacy/policy.html", context=_context(request))


@get("/data-deletion", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def data_deletion(request: Request[Any, Any, State]) -> Template:
    return Template("privacy/deletion.html", context=_context(request))


def _context(request: Request[Any, Any, State]) -> dict[str, Any]:
    settings = request.app.state.settings
    return {
        "team": settings.team_name,
        "contact": settings.privacy_contact,
        "address": settings.base_url,
        "trash_days": f"{settings.trash_days:g}",
    }
