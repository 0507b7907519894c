"""The list of posts, one post, and what is done to it."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Response, Template

from appliance import access, posts
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Post, Role
from appliance.states import PostState
from tasks.publish import dispatch
from web.auth import needs, principal
from web.post_rows import load_posts

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
PAGE = 30

FILTERS: dict[str, tuple[PostState, ...]] = {
    "": tuple(PostState),
    "scheduled": (PostState.SCHEDULED,),
    "posting": (PostState.PENDING, PostState.PROCESSING),
    "posted": (PostState.COMPLETED, PostState.PARTIAL),
    "failed": (PostState.FAILED, PostState.PARTIAL),
}

Fields = URLEncodedBody[dict[str, Any]]


@get("/posts", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def list_posts(
    request: Request[Any, Any, State], show: FromQuery[str] = "", before: FromQuery[str] = ""
) -> Template:
    user = principal(request).user
    show = show if show in FILTERS else ""
    with database.connection_context():
        query = access.visible_posts(user).where(Post.state.in_(FILTERS[show]))
        if before:
            query = query.where(Post.public_id < before)  # ids sort by the time of making
        rows = list(query.order_by(Post.public_id.desc()).limit(PAGE + 1))
        context = {
            "show": show,
            "posts": load_posts(user, rows[:PAGE], zone=user.time_zone),
            "more": rows[PAGE - 1].public_id if len(rows) > PAGE else "",
        }
    return Template("posts/page.html", context=context)


@get("/posts/{post_id:str}/_row", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def row(request: Request[Any, Any, State], post_id: FromPath[str]) -> Response[Any] | Template:
    user = principal(request).user
    with database.connection_context():
        try:
            (found,) = load_posts(user, [access.get_post(user, post_id)], zone=user.time_zone)
        except NotFound:
            return Response("", media_type="text/html", headers={"HX-Reswap": "delete"})
    return Template("posts/_row.html", context={"post": found})


@get("/posts/{post_id:str}", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def show_post(request: Request[Any, Any, State], post_id: FromPath[str]) -> Template:
    user = principal(request).user
    with database.connection_context():
        (found,) = load_posts(user, [access.get_post(user, post_id)], zone=user.time_zone)
    return Template("posts/show.html", context={"post": found})


@post("/posts/{post_id:str}/retry", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry(request: Request[Any, Any, State], post_id: FromPath[str]) -> Redirect:
    """Send what failed again, and only that."""
    user = principal(request).user
    with database.connection_context():
        dispatch.retry_failed(access.get_post(user, post_id), actor=user)
    return Redirect(f"/posts/{post_id}", status_code=303)


@post("/posts/{post_id:str}/cancel", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def cancel(request: Request[Any, Any, State], post_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        dispatch.cancel(access.get_post(user, post_id), actor=user)
    return Redirect(f"/posts/{post_id}", status_code=303)


@post(
    "/posts/{post_id:str}/targets/{target_id:str}/settle",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def settle(
    request: Request[Any, Any, State],
    post_id: FromPath[str],
    target_id: FromPath[str],
    data: Fields,
) -> Redirect:
    """Somebody has looked at the platform: "It is there", or "Send again"."""
    user = principal(request).user
    with database.connection_context():
        target = posts.get_target(access.get_post(user, post_id), target_id)
        dispatch.settle(target, there=data.get("there") == "yes", actor=user)
    return Redirect(f"/posts/{post_id}", status_code=303)
