"""One account of a post, after the post was made: send it again, change it, remove it."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from appliance import access, posts
from appliance.access import Scope
from appliance.db import database
from appliance.models import Post, PostTarget, Role
from appliance.states import TargetState
from tasks.publish import wishes
from web.auth import needs, principal
from web.post_answer import answer
from web.post_shapes import PostShape
from web.routes.posts_api import Again

WRITE = needs(Role.EDITOR, Scope.POST)

AnyRequest = Request[Any, Any, State]


class NewTexts(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is."""

    title: str | None = None
    description: str | None = None


@post(
    "/api/v1/posts/{post_id:str}/targets/{target_id:str}/retry",
    opt=WRITE,
    tags=["posts"],
    summary="Send one failed account again",
    status_code=202,
    sync_to_thread=True,
)
def retry_target(
    request: AnyRequest,
    post_id: FromPath[str],
    target_id: FromPath[str],
    data: JSONBody[Again | None] = None,
) -> Response[PostShape]:
    """That one alone; what else failed stays failed."""
    user = principal(request).user
    again = data is not None and data.again
    with database.connection_context():
        target = _target(request, post_id, target_id)
        wishes.retry_target(target, actor=user, although_same=again)
        return answer(request, post_id, status_code=202)


@post(
    "/api/v1/posts/{post_id:str}/targets/{target_id:str}/edit",
    opt=WRITE,
    tags=["posts"],
    summary="Change title or text",
    status_code=202,
    sync_to_thread=True,
)
def edit_target(
    request: AnyRequest,
    post_id: FromPath[str],
    target_id: FromPath[str],
    data: JSONBody[NewTexts],
) -> Response[PostShape]:
    """On the platform when it is out, where the platform allows that (``edited_at`` says when it
    is done); else before it goes out."""
    with database.connection_context():
        change(request, _target(request, post_id, target_id), data.title, data.description)
        return answer(request, post_id, status_code=202)


@post(
    "/api/v1/posts/{post_id:str}/targets/{target_id:str}/remove",
    opt=WRITE,
    tags=["posts"],
    summary="Remove it from the platform",
    status_code=202,
    sync_to_thread=True,
)
def remove_target(
    request: AnyRequest, post_id: FromPath[str], target_id: FromPath[str]
) -> Response[PostShape]:
    """For good, where the platform allows that; ``removed_at`` says when it is done. The post
    stays in the history."""
    user = principal(request).user
    with database.connection_context():
        target = _target(request, post_id, target_id)
        wishes.remove_published(request.app.state.settings, target, actor=user)
        return answer(request, post_id, status_code=202)


def change(
    request: AnyRequest, target: PostTarget, title: str | None, description: str | None
) -> None:
    """Other texts for one account: on the platform, or before it goes there."""
    user, settings = principal(request).user, request.app.state.settings
    if target.state is TargetState.PUBLISHED:
        wishes.edit_published(settings, target, title=title, description=description, actor=user)
    else:
        wishes.change_texts(settings, target, title=title, description=description, actor=user)


def _target(request: AnyRequest, post_id: str, target_id: str) -> PostTarget:
    found: Post = access.get_post(principal(request).user, post_id)
    return posts.get_target(found, target_id)
