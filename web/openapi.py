"""The description of the API at /api/v1/openapi.json, true to what the app answers.

Litestar makes it from the handlers; here it gets what handlers can't say: the API token, and
that every error is a problem document. There is no page with a viewer from elsewhere: the
policy of our pages forbids that, and no request leaves the box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag

from appliance import __version__
from web.auth import PUBLIC
from web.errors import PROBLEM

if TYPE_CHECKING:
    from litestar import Request

PATH = "/api/v1/openapi.json"

DESCRIPTION = """\
Videos in, posts out.

Send `Authorization: Bearer ma_…` (Settings → API tokens). Times are RFC 3339 in UTC. Lists are
`{items, next_cursor}`; give `next_cursor` as `cursor` for the next page. Errors are problem
documents (RFC 9457) with a stable `code`.

Bytes are uploaded to the `upload_url` of `POST /api/v1/uploads` by tus 1.0.0, by
draft-ietf-httpbis-resumable-upload, or with one PUT.
"""

TAGS = {
    "videos": "What was brought in",
    "uploads": "Bring a video in",
    "guest links": "Let people without an account bring videos in",
    "posts": "Put a video out",
    "schedule": "When posts go out",
    "accounts": "Where posts go",
    "jobs": "The work behind it",
    "profiles": "How versions are made",
    "storage": "What takes room, and what becomes of it",
    "backups": "Copies of the whole box, and whether they would come back",
    "system": "How the box is",
    "alerts": "What is wrong, and who is told",
    "events": "What happens, as it happens",
}

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request failed. Source: RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The phrase of the status."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "code": {"type": "string", "description": "A stable word for scripts."},
        "instance": {"type": "string"},
        "request_id": {"type": "string", "description": "To quote; it is in the log."},
        "field": {"type": "string", "description": "The field that the problem is about."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_PROBLEM_ANSWER = {
    "description": "It failed; the document says why.",
    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Media Appliance",
        version=__version__,
        description=DESCRIPTION,
        tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer", description="An API token")
            }
        ),
        security=[{"token": []}],
        openapi_router=Router(PATH, route_handlers=[], include_in_schema=False, opt=PUBLIC),
        render_plugins=[_WithProblems(path=["/", "/openapi.json"])],
    )


class _WithProblems(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, with_problems(openapi_schema))


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with our one form of errors in place of Litestar's."""
    components = schema.get("components", {})
    schemas = {**components.get("schemas", {}), "Problem": _PROBLEM_SCHEMA}
    return {
        **schema,
        "components": {**components, "schemas": schemas},
        "paths": {path: _path(item) for path, item in schema.get("paths", {}).items()},
    }


def _path(item: dict[str, Any]) -> dict[str, Any]:
    return {name: _operation(value) for name, value in item.items()}


def _operation(value: Any) -> Any:
    if not isinstance(value, dict) or "responses" not in value:
        return value
    good = {code: answer for code, answer in value["responses"].items() if code < "400"}
    return {**value, "responses": {**good, "default": _PROBLEM_ANSWER}}
