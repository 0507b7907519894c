"""What asks a person whether a post shall go out although the same is on its way already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.response import Template

from web.errors import wants_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request

    from tasks.publish.same_post import SamePost

FIELD = "again"


def is_meant(data: Mapping[str, Any]) -> bool:
    """Whether the person has said so."""
    return data.get(FIELD) == "yes"


def ask(
    request: Request[Any, Any, Any], error: SamePost, data: Mapping[str, Any], *, back: str
) -> Template:
    """The page that says what stands against it, with a button that sends the same form again.

    ``back``: an address of ours. Raises ``error`` for those that read no pages.
    """
    if wants_problem(request):
        raise error
    fields = {name: str(value) for name, value in data.items() if name != "_csrf_token"}
    context = {
        "others": error.others,
        "action": request.url.path,
        "fields": {**fields, FIELD: "yes"},
        "back": back,
    }
    return Template("posts/again.html", context=context, status_code=409)
