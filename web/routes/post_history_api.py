"""The history of posts: what was tried, and all of it as a table."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from appliance import access
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from web import post_csv
from web.auth import needs, principal
from web.post_list import WantedPosts, found
from web.post_shapes import AttemptList, load_attempts

READ = needs(Role.VIEWER, Scope.READ)

AnyRequest = Request[Any, Any, State]


@get(
    "/api/v1/posts/{post_id:str}/attempts",
    opt=READ,
    tags=["posts"],
    summary="What was tried for a post",
    sync_to_thread=True,
)
def list_attempts(request: AnyRequest, post_id: FromPath[str]) -> AttemptList:
    """Each call of a platform with its raw answer, the newest first; of all accounts."""
    with database.connection_context():
        return load_attempts(access.get_post(principal(request).user, post_id))


@get(
    "/api/v1/posts/history.csv",
    opt=READ,
    tags=["posts"],
    summary="The history as CSV",
    media_type="text/csv",
    sync_to_thread=True,
)
def history_csv(
    request: AnyRequest,
    show: FromQuery[str] = "",
    platform: FromQuery[str] = "",
    account: FromQuery[str] = "",
    author: FromQuery[str] = "",
    q: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    bom: FromQuery[bool] = False,
) -> Stream:
    """One line for each account of a post, the newest first. ``show``: scheduled, posting, posted,
    failed, draft, cancelled; ``since`` and ``until``: days, both included, by the clocks of who
    asks. ``bom``: begin with the mark by which spreadsheets know UTF-8. Cells that a spreadsheet
    would take for a formula begin with an apostrophe."""
    user = principal(request).user
    wanted = WantedPosts.of(
        show=show, platform=platform, account=account, author=author, q=q, since=since, until=until
    )
    pieces = post_csv.lines(found(user, wanted), base_url=request.app.state.settings.base_url)
    headers = {"Content-Disposition": f'attachment; filename="{post_csv.filename()}"'}
    return Stream(
        post_csv.with_mark(pieces) if bom else pieces,
        media_type="text/csv; charset=utf-8",
        headers=headers,
    )
