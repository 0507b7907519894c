"""The form that makes a post: a page, or in the dialog."""

from __future__ import annotations

import json
from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Response, Template

from appliance import access, accounts, posts
from appliance.db import database
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.models import Post, Role, User, Video
from appliance.settings import Settings
from appliance.states import VideoState
from tasks.publish import dispatch
from web import idempotency, lateness, post_form
from web.auth import needs, principal
from web.post_form import Typed

CHANGE = needs(Role.EDITOR)

Fields = URLEncodedBody[dict[str, Any]]


@get("/videos/{video_id:str}/post", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def open_form(request: Request[Any, Any, State], video_id: FromPath[str]) -> Template:
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        return _form(request, video, post_form.fresh(video, user), {})


@post(
    "/videos/{video_id:str}/post/check",
    opt=CHANGE,
    sync_to_thread=True,
    status_code=200,
    include_in_schema=False,
)
def check(request: Request[Any, Any, State], video_id: FromPath[str], data: Fields) -> Template:
    """The accounts, with what each has to say about the texts as they stand now."""
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        context = _context(request, video, post_form.read(data), {})
    return Template("posts/_check.html", context=context)


@post("/videos/{video_id:str}/post", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def send(
    request: Request[Any, Any, State], video_id: FromPath[str], data: Fields
) -> Redirect | Response[Any] | Template:
    user = principal(request).user
    typed = post_form.read(data)
    with database.connection_context():
        video = access.get_video(user, video_id)
        try:
            when = post_form.publish_at(typed, user.time_zone)
            made = _create(request.app.state.settings, user, video, typed)
        except InvalidInput as exc:
            return _form(request, video, typed, {exc.field or "": exc.message})
        except (Conflict, NotFound) as exc:
            return _form(request, video, typed, {"": exc.message})
        names = [target.account.name for target in posts.latest_targets(made)]
    if not _is_fragment(request):
        return Redirect(f"/videos/{video_id}", status_code=303)
    done = {
        "say": post_form.say(names, when, user.time_zone),
        "then": f"live:video-{video_id}",
        "forget": f"post:{video_id}",
    }
    # 202: it is on its way. The dialog closes by this event, and nothing is put in its place.
    headers = {"HX-Trigger": json.dumps({"dialog:done": done}), "HX-Reswap": "none"}
    return Response("", status_code=202, media_type="text/html", headers=headers)


def _create(settings: Settings, user: User, video: Video, typed: Typed) -> Post:
    """The post of this form. A form that comes twice (a double click) makes one post."""

    def work() -> dict[str, Any]:
        made = dispatch.create(
            settings,
            video,
            accounts.choose(ids=typed.accounts),
            author=user,
            title=typed.title,
            description=typed.description,
            publish_at=post_form.publish_at(typed, user.time_zone),
            time_zone=user.time_zone,
            overrides={id: texts for id, texts in typed.other.items() if id in typed.accounts},
        )
        return {"post_id": made.public_id}

    key = f"form:{typed.key}" if typed.key else None
    answer, _again = idempotency.once(user, key, video.public_id, work)
    return access.get_post(user, answer["post_id"])


def _form(
    request: Request[Any, Any, State], video: Video, typed: Typed, problems: dict[str, str]
) -> Template:
    context = _context(request, video, typed, problems)
    name = "posts/new.html"
    if _is_fragment(request):
        name = "posts/_form.html" if request.method == "POST" else "posts/_dialog.html"
    return Template(name, context=context, status_code=422 if problems else 200)


def _context(
    request: Request[Any, Any, State], video: Video, typed: Typed, problems: dict[str, str]
) -> dict[str, Any]:
    offered = post_form.choices(video, typed, request.app.state.settings)
    zone = principal(request).user.time_zone
    try:
        due = post_form.publish_at(typed, zone)
    except InvalidInput:
        due = None
    platforms = [choice.platform for choice in offered if choice.checked]
    return {
        "late": lateness.of_choice(video, platforms, due, zone),
        "video_id": video.public_id,
        "video_title": video.title,
        "ready": video.state is VideoState.READY,
        "typed": typed,
        "offered": offered,
        "text_limits": post_form.limits(offered),
        "problems": problems,
        "in_dialog": _is_fragment(request),
    }


def _is_fragment(request: Request[Any, Any, State]) -> bool:
    return request.headers.get("hx-request") == "true"
