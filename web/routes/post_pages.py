"""The list of posts, one post, and what is done to it."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Response, Template

from appliance import access, approval, posts
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Role
from tasks.publish import dispatch
from tasks.publish.same_post import SamePost
from web import again, schedule_rows, when_form
from web.account_rows import load_notices
from web.auth import needs, principal
from web.post_list import WantedPosts, load_menus, load_page
from web.post_rows import load_posts
from web.schedule_rows import Clocks

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
Fields = URLEncodedBody[dict[str, Any]]


@get("/posts", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def list_posts(
    request: Request[Any, Any, State],
    show: FromQuery[str] = "",
    platform: FromQuery[str] = "",
    account: FromQuery[str] = "",
    author: FromQuery[str] = "",
    q: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Template:
    """The history: all posts, by what the address asks for."""
    user = principal(request).user
    wanted = WantedPosts.of(
        show=show,
        platform=platform,
        account=account,
        author=author,
        q=q,
        since=since,
        until=until,
        before=before,
    )
    with database.connection_context():
        rows, more = load_page(user, wanted)
        context = {
            "wanted": wanted,
            "account_notices": load_notices(),
            "show": wanted.show,
            "menus": load_menus(user),
            "posts": load_posts(user, rows, zone=user.time_zone),
            "more": more,
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
    user, settings = principal(request).user, request.app.state.settings
    with database.connection_context():
        wanted = access.get_post(user, post_id)
        (found,) = load_posts(user, [wanted], zone=user.time_zone, tries=True)
        clocks = Clocks(user.time_zone, settings.team_time_zone)
        (plan,) = schedule_rows.load_rows(user, [wanted], clocks)
        context = {
            "post": found,
            "plan": plan,
            "spelled": when_form.spell(wanted.publish_at, user, settings, also=wanted.time_zone)
            if wanted.publish_at
            else [],
            "needs_approval": approval.is_needed(wanted, user),
            "here": f"/posts/{wanted.public_id}",
        }
    return Template("posts/show.html", context=context)


@post("/posts/{post_id:str}/retry", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def retry(
    request: Request[Any, Any, State], post_id: FromPath[str], data: Fields
) -> Redirect | Template:
    """Send what failed again, and only that."""
    user, meant = principal(request).user, again.is_meant(data)
    with database.connection_context():
        found = access.get_post(user, post_id)
        try:
            dispatch.retry_failed(found, actor=user, although_same=meant)
        except SamePost as exc:
            return again.ask(request, exc, data, back=f"/posts/{post_id}")
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
