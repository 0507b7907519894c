"""Whether views and likes are fetched from the platforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, get, post, put
from litestar.datastructures import State
from litestar.params import JSONBody
from litestar.response import Redirect

from appliance import events, post_numbers
from appliance.access import Scope
from appliance.db import database, transaction
from appliance.models import Role, User
from web.auth import needs, principal
from web.forms import FormData, text

AnyRequest = Request[Any, Any, State]


@dataclass(frozen=True)
class Numbers:
    """Fetched hourly on a post's first day, then ever more seldom, and no more after a quarter."""

    on: bool


class NumbersWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    on: bool


@get(
    "/api/v1/posting/numbers",
    opt=needs(Role.VIEWER, Scope.READ),
    tags=["posts"],
    summary="Whether views and likes are fetched",
    sync_to_thread=True,
)
def show_numbers() -> Numbers:
    """Off until an admin switches it on: each look counts against the platforms' allowances."""
    with database.connection_context():
        return Numbers(post_numbers.is_on())


@put(
    "/api/v1/posting/numbers",
    opt=needs(Role.ADMIN, Scope.ADMIN),
    tags=["posts"],
    summary="Fetch views and likes, or don't",
    sync_to_thread=True,
)
def change_numbers(request: AnyRequest, data: JSONBody[NumbersWish]) -> Numbers:
    with database.connection_context():
        _keep(principal(request).user, data.on)
        return Numbers(post_numbers.is_on())


@post(
    "/settings/accounts/numbers",
    opt=needs(Role.ADMIN),
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def switch_numbers(request: AnyRequest, data: FormData) -> Redirect:
    """``on``: "yes", or nothing."""
    with database.connection_context():
        _keep(principal(request).user, text(data, "on") == "yes")
    return Redirect("/settings/accounts?saved=numbers#numbers", status_code=303)


def _keep(user: User, wish: bool) -> None:
    with transaction():
        post_numbers.keep(wish)
        events.audit(user, "posting.numbers", on=wish)
