"""A post before it goes out, over the API: another time, approval, other words for a draft."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from appliance import access, approval, drafts, local_time, posts, slots
from appliance import accounts as account_rows
from appliance.access import Scope
from appliance.db import database, transaction
from appliance.errors import InvalidInput
from appliance.models import Post, Role
from tasks.publish import approvals, composing, wishes
from web.auth import needs, principal
from web.post_answer import answer
from web.post_shapes import PostShape

WRITE = needs(Role.EDITOR, Scope.POST)
DECIDE = needs(Role.ADMIN, Scope.POST)

AnyRequest = Request[Any, Any, State]


class NewTime(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of: ``publish_at`` with its zone; ``local_time`` without one, by the clocks of
    ``time_zone`` (``second``: of a time that comes twice the later one); ``slot`` true: the next
    free slot; ``now`` true: as soon as it can."""

    publish_at: datetime | None = None
    local_time: str | None = None
    time_zone: str | None = None
    second: bool = False
    slot: bool = False
    now: bool = False
    hold_there: bool | None = None


class Yes(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    note: str = ""
    now: bool = False
    """At once, whatever its time is: for one whose time has passed."""
    as_of: datetime | None = None
    """``updated_at`` of the post that was read: 409 ``changed_meanwhile`` when it was changed since
    then. Without: not checked."""
    again: bool = False
    """As for a new post: also when the same is on its way already."""


class No(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    note: str
    """What should be changed."""
    as_of: datetime | None = None
    """As for a yes."""


class DraftChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is given is written, the rest stays. ``publish_at`` null: when it is sent."""

    title: str | None = None
    description: str | None = None
    accounts: list[str] | None = None
    platforms: list[str] | None = None
    publish_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    time_zone: str | None = None
    hold_there: bool | None = None
    options: dict[str, Any] | None = None
    overrides: dict[str, dict[str, Any]] | None = None


@post(
    "/api/v1/posts/{post_id:str}/reschedule",
    opt=WRITE,
    tags=["posts"],
    summary="Choose another time",
    status_code=200,
    sync_to_thread=True,
)
def reschedule(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[NewTime]
) -> Response[PostShape]:
    """For drafts and for what is still to come, also for a late post. A time that has passed, or
    that the clocks of its zone skip, is refused with the reason."""
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        when = _time_of(data, found)
        wishes.reschedule(found, when, data.time_zone, hold_there=data.hold_there, actor=user)
        return answer(request, post_id)


def _time_of(data: NewTime, found: Post) -> datetime | None:
    ways = [data.publish_at is not None, data.local_time is not None, data.slot, data.now]
    if sum(ways) != 1:
        raise InvalidInput("Give one of publish_at, local_time, slot and now.", field="publish_at")
    if data.local_time is not None:
        local = local_time.parse(data.local_time, field="local_time")
        if local.tzinfo is not None:
            raise InvalidInput(
                "local_time is what clocks show, without a zone; or give publish_at.",
                field="local_time",
            )
        zone = data.time_zone or found.time_zone
        return local_time.moment_of(local, zone, second=data.second, field="local_time")
    if data.slot:
        chosen = [target.account for target in posts.latest_targets(found)]
        return slots.next_free_slot(chosen, but=found.public_id)
    return data.publish_at


@post(
    "/api/v1/posts/{post_id:str}/approve",
    opt=DECIDE,
    tags=["posts"],
    summary="Approve a post",
    status_code=202,
    sync_to_thread=True,
)
def approve(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[Yes]
) -> Response[PostShape]:
    """It goes out at its time. One whose time has passed is refused, unless ``now``."""
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        settings = request.app.state.settings
        as_of = local_time.in_utc(data.as_of, field="as_of")
        approvals.approve(
            settings,
            found,
            actor=user,
            note=data.note,
            now=data.now,
            as_of=as_of,
            again=data.again,
        )
        return answer(request, post_id, status_code=202)


@post(
    "/api/v1/posts/{post_id:str}/refuse",
    opt=DECIDE,
    tags=["posts"],
    summary="Send a post back to its author",
    status_code=200,
    sync_to_thread=True,
)
def refuse(request: AnyRequest, post_id: FromPath[str], data: JSONBody[No]) -> Response[PostShape]:
    """It stays a draft, with the note."""
    user = principal(request).user
    with database.connection_context():
        found, as_of = access.get_post(user, post_id), local_time.in_utc(data.as_of, field="as_of")
        approval.refuse(found, actor=user, note=data.note, as_of=as_of)
        return answer(request, post_id)


@post(
    "/api/v1/posts/{post_id:str}/withdraw",
    opt=WRITE,
    tags=["posts"],
    summary="Take back the question for approval",
    status_code=200,
    sync_to_thread=True,
)
def withdraw(request: AnyRequest, post_id: FromPath[str]) -> Response[PostShape]:
    user = principal(request).user
    with database.connection_context():
        approval.withdraw(access.get_post(user, post_id), actor=user)
        return answer(request, post_id)


@patch(
    "/api/v1/posts/{post_id:str}",
    opt=WRITE,
    tags=["posts"],
    summary="Write on a draft",
    sync_to_thread=True,
)
def change_draft(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[DraftChange]
) -> Response[PostShape]:
    """Only drafts; 409 for a post that was sent."""
    user = principal(request).user
    with database.connection_context(), transaction():
        found = access.get_post(user, post_id)
        chosen = None
        if data.accounts is not None or data.platforms is not None:
            chosen = account_rows.choose(data.accounts or [], data.platforms or [])
        overrides = None
        if data.options is not None or data.overrides is not None:
            to = chosen
            if to is None:
                to = [target.account for target in posts.latest_targets(found)]
            overrides = composing.compose(to, options=data.options or {}, overrides=data.overrides)
        drafts.change(
            found,
            actor=user,
            accounts=chosen,
            title=data.title,
            description=data.description,
            publish_at=... if data.publish_at is msgspec.UNSET else data.publish_at,
            time_zone=data.time_zone,
            hold_there=data.hold_there,
            overrides=overrides,
        )
        return answer(request, post_id)
