"""Templates of posts over the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from appliance import post_templates
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from web.auth import needs, principal

if TYPE_CHECKING:
    from appliance.models import PostTemplate

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.POST)
AnyRequest = Request[Any, Any, State]


class TemplateBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``title`` and ``description`` may hold {title} and {description}: the video's. Empty ones
    are the video's own. ``options``: as of a new post."""

    name: str
    title: str = ""
    description: str = ""
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class TemplateShape:
    template_id: str
    name: str
    title: str
    description: str
    options: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class TemplateList:
    items: list[TemplateShape]


@get(
    "/api/v1/post-templates",
    opt=READ,
    tags=["posts"],
    summary="List templates of posts",
    sync_to_thread=True,
)
def list_templates() -> TemplateList:
    """By name."""
    with database.connection_context():
        return TemplateList([_shape(row) for row in post_templates.all_templates()])


@post(
    "/api/v1/post-templates",
    opt=WRITE,
    tags=["posts"],
    summary="Make a template of posts",
    sync_to_thread=True,
)
def create_template(request: AnyRequest, data: JSONBody[TemplateBody]) -> TemplateShape:
    return _save(request, None, data)


@get(
    "/api/v1/post-templates/{template_id:str}",
    opt=READ,
    tags=["posts"],
    summary="One template of posts",
    sync_to_thread=True,
)
def show_template(template_id: FromPath[str]) -> TemplateShape:
    with database.connection_context():
        return _shape(post_templates.get(template_id))


@put(
    "/api/v1/post-templates/{template_id:str}",
    opt=WRITE,
    tags=["posts"],
    summary="Change a template of posts",
    sync_to_thread=True,
)
def change_template(
    request: AnyRequest, template_id: FromPath[str], data: JSONBody[TemplateBody]
) -> TemplateShape:
    """The whole of it. Posts that were made from it stay as they are."""
    return _save(request, template_id, data)


@delete(
    "/api/v1/post-templates/{template_id:str}",
    opt=WRITE,
    tags=["posts"],
    summary="Delete a template of posts",
    sync_to_thread=True,
)
def delete_template(request: AnyRequest, template_id: FromPath[str]) -> None:
    with database.connection_context():
        template = post_templates.get(template_id)
        post_templates.delete(template, actor=principal(request).user)


def _save(request: AnyRequest, template_id: str | None, data: TemplateBody) -> TemplateShape:
    with database.connection_context():
        template = None if template_id is None else post_templates.get(template_id)
        saved = post_templates.save(
            template,
            actor=principal(request).user,
            name=data.name,
            title=data.title,
            description=data.description,
            options=data.options,
        )
        return _shape(saved)


def _shape(row: PostTemplate) -> TemplateShape:
    return TemplateShape(
        template_id=row.public_id,
        name=row.name,
        title=row.title,
        description=row.description,
        options=row.options,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
