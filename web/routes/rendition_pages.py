"""The buttons of the page of a video that make renditions."""

from __future__ import annotations

from typing import Any

from litestar import Request, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Redirect

from appliance import access
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.models import Role
from tasks import asking
from web.auth import needs, principal
from web.forms import FormData, text

CHANGE = needs(Role.EDITOR)


@post(
    "/videos/{video_id:str}/renditions/{profile:str}",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def make_rendition(
    request: Request[Any, Any, State],
    video_id: FromPath[str],
    profile: FromPath[str],
    data: FormData,
) -> Redirect:
    """``when``: "now" (as without it) or "night"."""
    user = principal(request).user
    when = text(data, "when") or "now"
    if when not in ("now", "night"):
        raise InvalidInput("Choose now or at night.", field="when")
    with database.connection_context():
        video = access.get_video(user, video_id)
        asking.ask(video, profile, user, at_night=when == "night")
    return Redirect(f"/videos/{video_id}", status_code=303)
