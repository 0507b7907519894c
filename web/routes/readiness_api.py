"""Whether a video is ready for accounts: asked before anything is posted, answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from appliance import access, accounts
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from tasks.publish import composing, outlook
from web.auth import needs, principal
from web.readiness_shapes import VideoReadiness, load_readiness

if TYPE_CHECKING:
    from collections.abc import Mapping

READ = needs(Role.VIEWER, Scope.READ)
AnyRequest = Request[Any, Any, State]


class PostToBe(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """As a new post, without its video and time. Neither accounts nor platforms: all accounts."""

    accounts: list[str] = []
    platforms: list[str] = []
    title: str | None = None
    description: str | None = None
    options: dict[str, Any] | None = None
    overrides: dict[str, dict[str, Any]] | None = None


@get(
    "/api/v1/videos/{video_id:str}/readiness",
    opt=READ,
    tags=["posts"],
    summary="Is a video ready to be posted?",
    sync_to_thread=True,
)
def show_readiness(
    request: AnyRequest,
    video_id: FromPath[str],
    account: FromQuery[list[str] | None] = None,
    platform: FromQuery[list[str] | None] = None,
    title: FromQuery[str | None] = None,
    description: FromQuery[str | None] = None,
) -> VideoReadiness:
    """For each account (default: all): ready, fixed automatically, or what must change and why.

    No platform is asked. Texts default to the video's.
    """
    wanted = PostToBe(
        accounts=account or [], platforms=platform or [], title=title, description=description
    )
    return _look(request, video_id, wanted)


@post(
    "/api/v1/videos/{video_id:str}/readiness",
    opt=READ,
    tags=["posts"],
    summary="Is a video ready to be posted with these texts?",
    status_code=200,
    sync_to_thread=True,
)
def check_readiness(
    request: AnyRequest, video_id: FromPath[str], data: JSONBody[PostToBe]
) -> VideoReadiness:
    """The same for a whole post to be, with options and texts of its own for some accounts.
    Nothing is made."""
    return _look(request, video_id, data)


def _look(request: AnyRequest, video_id: str, wanted: PostToBe) -> VideoReadiness:
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        if wanted.accounts or wanted.platforms:
            chosen = accounts.choose(wanted.accounts, wanted.platforms)
        else:
            chosen = accounts.connected()
        overrides: Mapping[str, Mapping[str, Any]] = wanted.overrides or {}
        composed = composing.compose(chosen, options=wanted.options, overrides=overrides)
        drafts = composing.drafts_of(
            video, chosen, composed, title=wanted.title, description=wanted.description
        )
        found = outlook.look(request.app.state.settings, video, drafts)
        return load_readiness(video, found)
