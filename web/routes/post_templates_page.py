"""The page of templates: texts and options that posts begin with."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from appliance import post_templates
from appliance.db import database
from appliance.errors import Conflict, InvalidInput
from appliance.models import PostTemplate, Role
from tasks.publish.publisher import FIRST_COMMENT
from web.auth import needs, principal

CHANGE = needs(Role.EDITOR)
Fields = URLEncodedBody[dict[str, str]]
AnyRequest = Request[Any, Any, State]
HERE = "/post-templates"


@get(HERE, opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def list_page() -> Template:
    with database.connection_context():
        return _page({}, {})


@get(f"{HERE}/{{template_id:str}}", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def edit_page(template_id: FromPath[str]) -> Template:
    with database.connection_context():
        template = post_templates.get(template_id)
        return _page(_fields_of(template), {}, template)


@post(HERE, opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def create(request: AnyRequest, data: Fields) -> Redirect | Template:
    with database.connection_context():
        return _save(request, data, None)


@post(f"{HERE}/{{template_id:str}}", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def change(request: AnyRequest, template_id: FromPath[str], data: Fields) -> Redirect | Template:
    with database.connection_context():
        return _save(request, data, post_templates.get(template_id))


@post(
    f"{HERE}/{{template_id:str}}/delete",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def remove(request: AnyRequest, template_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        template = post_templates.get(template_id)
        post_templates.delete(template, actor=principal(request).user)
    return Redirect(HERE, status_code=303)


def _save(
    request: AnyRequest, data: dict[str, str], template: PostTemplate | None
) -> Redirect | Template:
    options = dict(template.options) if template is not None else {}
    options.pop(FIRST_COMMENT, None)
    if comment := data.get("comment", "").strip():
        options[FIRST_COMMENT] = comment
    try:
        post_templates.save(
            template,
            actor=principal(request).user,
            name=data.get("name", ""),
            title=data.get("title", ""),
            description=data.get("description", ""),
            options=options,
        )
    except InvalidInput as exc:
        return _page(data, {exc.field or "": exc.message}, template)
    except Conflict as exc:
        return _page(data, {"name": exc.message}, template)
    return Redirect(HERE, status_code=303)


def _fields_of(template: PostTemplate) -> dict[str, str]:
    return {
        "name": template.name,
        "title": template.title,
        "description": template.description,
        "comment": str(template.options.get(FIRST_COMMENT) or ""),
    }


def _page(
    typed: dict[str, str], problems: dict[str, str], template: PostTemplate | None = None
) -> Template:
    names = ("name", "title", "description", "comment")
    context = {
        "found": post_templates.all_templates(),
        "template_id": template.public_id if template is not None else "",
        "typed": {name: typed.get(name, "") for name in names},
        "problems": problems,
    }
    return Template("posts/templates.html", context=context, status_code=422 if problems else 200)
