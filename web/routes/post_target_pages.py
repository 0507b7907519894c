"""What is done to one account of a post: send it again, change its text, remove it from the
platform. Dialogs; without script, pages."""

from __future__ import annotations

import json
from typing import Any

from litestar import get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.plugins.htmx import HTMXRequest
from litestar.response import Redirect, Response, Template

from appliance import access, posts
from appliance.db import database
from appliance.errors import Conflict, InvalidInput
from appliance.models import PostTarget, Role, User
from appliance.states import TargetState
from tasks.publish import material, wishes
from tasks.publish.registry import capabilities_of
from tasks.publish.same_post import SamePost
from web import again
from web.auth import needs, principal
from web.posting_words import platform_name
from web.routes.post_targets_api import change
from web.target_links import link_of
from web.words import _

CHANGE = needs(Role.EDITOR)

Fields = URLEncodedBody[dict[str, Any]]


@post(
    "/posts/{post_id:str}/targets/{target_id:str}/retry",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def retry(
    request: HTMXRequest, post_id: FromPath[str], target_id: FromPath[str], data: Fields
) -> Redirect | Response[str] | Template:
    """That account alone."""
    user = principal(request).user
    with database.connection_context():
        target = _find(user, post_id, target_id)
        try:
            wishes.retry_target(target, actor=user, although_same=again.is_meant(data))
        except SamePost as exc:
            return again.ask(request, exc, data, back=f"/posts/{post_id}")
        name = target.account.name
    return _done(request, post_id, _("Posting to {name} again", name=name))


@get(
    "/posts/{post_id:str}/targets/{target_id:str}/edit",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def open_edit(request: HTMXRequest, post_id: FromPath[str], target_id: FromPath[str]) -> Template:
    with database.connection_context():
        target = _find(principal(request).user, post_id, target_id)
        return _edit_form(request, target, {}, {})


@post(
    "/posts/{post_id:str}/targets/{target_id:str}/edit",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def edit(
    request: HTMXRequest, post_id: FromPath[str], target_id: FromPath[str], data: Fields
) -> Redirect | Response[Any] | Template:
    with database.connection_context():
        target = _find(principal(request).user, post_id, target_id)
        typed: dict[str, str] = {n: str(data[n]) for n in ("title", "description") if n in data}
        try:
            change(request, target, typed.get("title"), typed.get("description"))
        except InvalidInput as exc:
            return _edit_form(request, target, typed, {exc.field or "": exc.message})
        except Conflict as exc:
            return _edit_form(request, target, typed, {"": exc.message})
        published = target.state is TargetState.PUBLISHED
        name = target.account.name
    says = _("Changing the text on {name}", name=name) if published else _("Text changed")
    return _done(request, post_id, says)


@get(
    "/posts/{post_id:str}/targets/{target_id:str}/remove",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def ask_to_remove(
    request: HTMXRequest, post_id: FromPath[str], target_id: FromPath[str]
) -> Template:
    with database.connection_context():
        user = principal(request).user
        target = _find(user, post_id, target_id)
        access.require_delete_post(user, target.post)
        return _template(request, "remove", _context(target) | {"problem": ""})


@post(
    "/posts/{post_id:str}/targets/{target_id:str}/remove",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def remove(
    request: HTMXRequest, post_id: FromPath[str], target_id: FromPath[str]
) -> Redirect | Response[str] | Template:
    user = principal(request).user
    with database.connection_context():
        target = _find(user, post_id, target_id)
        try:
            wishes.remove_published(request.app.state.settings, target, actor=user)
        except Conflict as exc:
            context = _context(target) | {"problem": exc.message}
            return _template(request, "remove", context, status_code=409)
        name = target.account.name
    return _done(request, post_id, _("Removing it from {name}", name=name))


def _find(user: User, post_id: str, target_id: str) -> PostTarget:
    return posts.get_target(access.get_post(user, post_id), target_id)


def _edit_form(
    request: HTMXRequest, target: PostTarget, typed: dict[str, str], problems: dict[str, str]
) -> Template:
    draft = material.draft_of(target)
    capabilities = capabilities_of(target.account.platform)
    published = target.state is TargetState.PUBLISHED
    able = capabilities.can_edit if published and capabilities else {"title", "description"}
    limits = {
        "title": capabilities.title.maximum if capabilities and capabilities.title else None,
        "description": capabilities.description.maximum
        if capabilities and capabilities.description
        else None,
    }
    context = _context(target) | {
        "published": published,
        "able": sorted(able),
        "limits": limits,
        "typed": {"title": draft.title, "description": draft.description, **typed},
        "problems": problems,
    }
    return _template(request, "edit", context, status_code=422 if problems else 200)


def _context(target: PostTarget) -> dict[str, Any]:
    return {
        "post_id": target.post.public_id,
        "target_id": target.public_id,
        "title": target.overrides.get("title") or target.post.title,
        "account": target.account.name,
        "platform": target.account.platform,
        "platform_name": platform_name(target.account.platform),
        "url": link_of(target),
    }


def _template(
    request: HTMXRequest, what: str, context: dict[str, Any], *, status_code: int = 200
) -> Template:
    """The page; in the dialog, its inside; after a press in the dialog, the form alone."""
    name = f"posts/{what}.html"
    if request.htmx:
        name = f"posts/_{what}_{'form' if request.method == 'POST' else 'dialog'}.html"
    return Template(
        name, context=context | {"in_dialog": bool(request.htmx)}, status_code=status_code
    )


def _done(request: HTMXRequest, post_id: str, says: str) -> Redirect | Response[str]:
    if not request.htmx:
        return Redirect(f"/posts/{post_id}", status_code=303)
    done = {"say": says, "then": f"live:post-{post_id}"}
    headers = {"HX-Trigger": json.dumps({"dialog:done": done}), "HX-Reswap": "none"}
    return Response("", status_code=202, media_type="text/html", headers=headers)
