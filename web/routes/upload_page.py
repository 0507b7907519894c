"""The page for uploading, and what browsers ask before they send a byte.

The page works without JavaScript, too: one file by a plain form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.response import Template

from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from appliance.quotas import quota_of, used_bytes
from storage.uploads.limits import free_room
from web.auth import needs, principal
from web.upload_form import upload_form_action


@dataclass(frozen=True)
class UploadLimits:
    """What a file may be at this moment; sizes in bytes.

    ``room_bytes``: free, less what is promised to uploads under way. ``quota_left_bytes``: of what
    your videos may take; null: no quota. ``exact_originals``: nothing of a file may be rearranged
    before it is sent.
    """

    max_bytes: int
    max_duration_s: float
    room_bytes: int
    quota_left_bytes: int | None
    exact_originals: bool


@get("/upload", opt=needs(Role.EDITOR), sync_to_thread=True, include_in_schema=False)
def upload(request: Request[Any, Any, State]) -> Template:
    state = request.app.state
    with database.connection_context():
        room = free_room(state.settings, state.layout)
    return Template(
        "upload/page.html",
        context={
            "form_action": upload_form_action(state.vault, principal(request).user),
            "most": min(room, int(state.settings.max_upload_bytes)),
            "room": room,
        },
    )


@get(
    "/api/v1/uploads/limits",
    opt=needs(Role.EDITOR, Scope.UPLOAD),
    sync_to_thread=True,
    tags=["uploads"],
)
def upload_limits(request: Request[Any, Any, State]) -> UploadLimits:
    """What the box takes, asked before anything is sent."""
    state = request.app.state
    settings, user = state.settings, principal(request).user
    with database.connection_context():
        room = free_room(settings, state.layout)
        quota = quota_of(settings, user)
        left = None if quota is None else max(0, quota - used_bytes(user))
    return UploadLimits(
        max_bytes=int(settings.max_upload_bytes),
        max_duration_s=settings.max_duration_s,
        room_bytes=room,
        quota_left_bytes=left,
        exact_originals=settings.exact_originals,
    )
