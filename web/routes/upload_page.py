"""The page for uploading, which works without JavaScript, too: one file by a plain form."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.response import Template

from appliance.models import Role
from storage.media import free_bytes
from web.auth import needs, principal
from web.upload_form import upload_form_action


@get("/upload", opt=needs(Role.EDITOR), sync_to_thread=True, include_in_schema=False)
def upload(request: Request[Any, Any, State]) -> Template:
    settings = request.app.state.settings
    room = max(0, free_bytes(settings.data) - settings.reserve_bytes())
    return Template(
        "upload/page.html",
        context={
            "form_action": upload_form_action(request.app.state.vault, principal(request).user),
            "most": min(room, int(settings.max_upload_bytes)),
            "room": room,
        },
    )
