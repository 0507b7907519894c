"""Posts and accounts: create, look, retry, cancel, settle."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from appliance import access, accounts, local_time, posts
from appliance.access import Scope
from appliance.connections import PLATFORMS
from appliance.db import database, transaction
from appliance.errors import InvalidInput
from appliance.models import Post, Priority, Role
from appliance.post_history import Filters, narrow
from appliance.states import AccountState, PostState, TargetState
from tasks.connect import flow
from tasks.publish import dispatch
from web import lateness, new_post, words
from web.auth import needs, principal
from web.cursors import take_page
from web.idempotency import fingerprint, once, read_key
from web.new_post import NewPost
from web.post_answer import answer
from web.post_shapes import (
    AccountList,
    AccountShape,
    PostList,
    PostShape,
    load_accounts,
    load_posts,
    status_url,
)

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.POST)

AnyRequest = Request[Any, Any, State]
_S = TypeVar("_S", bound=StrEnum)


class Settlement(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    there: bool
    """True: it is on the platform. False: send it again."""


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    as_of: datetime | None = None
    """``updated_at`` of the post that was read: 409 ``changed_meanwhile`` when it was changed since
    then. Without: not checked."""
    again: bool = False
    """As for a new post: also when the same is on its way already."""


class Again(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    again: bool = False
    """Also when another post of the same video is on its way to the account by now, or went out
    there with the same text within 24 hours. Without: 409 ``same_post``."""


class PostTaken(msgspec.Struct, kw_only=True):
    """``warning``: that the video won't be ready at the chosen time; the post goes out when it is,
    between ``ready_from`` and ``ready_by``, as far as anybody can tell."""

    post_id: str
    status: str
    status_url: str
    message: str = "Post job created and processing in background"
    warning: str | None = None
    ready_from: str | None = None
    ready_by: str | None = None


@post(
    "/api/v1/posts",
    opt=WRITE,
    tags=["posts"],
    summary="Post a video",
    status_code=202,
    sync_to_thread=True,
)
def create_post(request: AnyRequest, data: JSONBody[NewPost]) -> Response[PostTaken]:
    """Answers at once. With ``Idempotency-Key``, the same request makes one post, ever."""
    user = principal(request).user
    settings = request.app.state.settings
    key = read_key(request.headers.get("idempotency-key"))

    def work() -> dict[str, Any]:
        made = new_post.create(settings, user, data)
        return {
            "post_id": made.public_id,
            "status": str(made.state),
            "status_url": status_url(made, settings.base_url),
            **_warning(made),
        }

    with database.connection_context():
        wanted = fingerprint("POST /api/v1/posts", msgspec.to_builtins(data))
        answer, replayed = once(user, key, wanted, work)
    headers = {"Location": answer["status_url"]}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(PostTaken(**answer), status_code=202, headers=headers)


@get("/api/v1/posts", opt=READ, tags=["posts"], summary="List posts", sync_to_thread=True)
def list_posts(
    request: AnyRequest,
    status: FromQuery[str | None] = None,
    video_id: FromQuery[str | None] = None,
    platform: FromQuery[str | None] = None,
    account: FromQuery[str | None] = None,
    author: FromQuery[str | None] = None,
    result: FromQuery[str | None] = None,
    q: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 50,
) -> PostList:
    """Newest first. ``result``: a state that an account of the post is in (that of ``platform`` or
    ``account``, if given). ``account``, ``author``: ids. ``q``: words of title, text or the video's
    title. ``since`` and ``until``: when it went out or is to go out, ``until`` not included."""
    user = principal(request).user
    with database.connection_context():
        if video_id is not None:
            access.get_video(user, video_id)  # raises NotFound
        wanted = Filters(
            states=(_state(PostState, status, "status"),) if status is not None else (),
            target_states=(_state(TargetState, result, "result"),) if result is not None else (),
            platform=platform or "",
            account=account or "",
            author=author or "",
            video=video_id or "",
            words=(q or "")[:200],
            since=local_time.in_utc(since, field="since"),
            until=local_time.in_utc(until, field="until"),
        )
        query = narrow(access.visible_posts(user), wanted)
        rows, following = take_page(query, Post, cursor=cursor, limit=limit)
        return PostList(load_posts(rows, base_url=_base_url(request)), following)


def _state(kind: type[_S], word: str, field: str) -> _S:
    try:
        return kind(word)
    except ValueError as exc:
        raise InvalidInput(f"There is no {field} “{word[:40]}” of posts.", field=field) from exc


@get(
    "/api/v1/posts/{post_id:str}",
    opt=READ,
    tags=["posts"],
    summary="One post",
    sync_to_thread=True,
)
def show_post(request: AnyRequest, post_id: FromPath[str]) -> Response[PostShape]:
    """``Retry-After`` says in how many seconds to ask again: ever more while nothing changes.
    Without it nothing will change by itself."""
    with database.connection_context():
        return answer(request, post_id)


@post(
    "/api/v1/posts/{post_id:str}/retry",
    opt=WRITE,
    tags=["posts"],
    summary="Send what failed again",
    status_code=202,
    sync_to_thread=True,
)
def retry_post(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[Again | None] = None
) -> Response[PostShape]:
    """The failed targets, and only they."""
    user = principal(request).user
    again = data is not None and data.again
    with database.connection_context():
        dispatch.retry_failed(access.get_post(user, post_id), actor=user, although_same=again)
        return answer(request, post_id, status_code=202)


@post(
    "/api/v1/posts/{post_id:str}/cancel",
    opt=WRITE,
    tags=["posts"],
    summary="Call back what hasn't gone out",
    status_code=200,
    sync_to_thread=True,
)
def cancel_post(request: AnyRequest, post_id: FromPath[str]) -> Response[PostShape]:
    user = principal(request).user
    with database.connection_context():
        dispatch.cancel(access.get_post(user, post_id), actor=user)
        return answer(request, post_id)


@post(
    "/api/v1/posts/{post_id:str}/submit",
    opt=WRITE,
    tags=["posts"],
    summary="Send a draft",
    status_code=202,
    sync_to_thread=True,
)
def submit_post(
    request: AnyRequest, post_id: FromPath[str], data: JSONBody[Submission | None] = None
) -> Response[PostShape]:
    """Or ask for approval, where you need it. Sent by an admin, what waits for approval is approved
    by that."""
    user, settings = principal(request).user, request.app.state.settings
    wish = data or Submission()
    as_of = local_time.in_utc(wish.as_of, field="as_of")
    with database.connection_context():
        found = access.get_post(user, post_id)
        dispatch.submit(settings, found, actor=user, as_of=as_of, again=wish.again)
        return answer(request, post_id, status_code=202)


@post(
    "/api/v1/posts/{post_id:str}/targets/{target_id:str}/settle",
    opt=WRITE,
    tags=["posts"],
    summary="Say whether it is on the platform",
    status_code=200,
    sync_to_thread=True,
)
def settle_target(
    request: AnyRequest,
    post_id: FromPath[str],
    target_id: FromPath[str],
    data: JSONBody[Settlement],
) -> Response[PostShape]:
    """For a target in the state needs_person, after somebody has looked."""
    user = principal(request).user
    with database.connection_context():
        target = posts.get_target(access.get_post(user, post_id), target_id)
        dispatch.settle(target, there=data.there, actor=user)
        return answer(request, post_id)


@get("/api/v1/accounts", opt=READ, tags=["accounts"], summary="List accounts", sync_to_thread=True)
def list_accounts(request: AnyRequest) -> AccountList:
    """What posts can go to."""
    with database.connection_context():
        return AccountList(load_accounts(accounts.connected()))


@post(
    "/api/v1/accounts/{account_id:str}/reconnect",
    opt=needs(Role.ADMIN, Scope.ADMIN),
    tags=["accounts"],
    summary="Try an account again",
    status_code=200,
    sync_to_thread=True,
)
def reconnect_account(request: AnyRequest, account_id: FromPath[str]) -> AccountShape:
    """The sign-in is tried again with what is stored; what waited for the account goes on.

    Of a platform outside the answer comes later: look at ``checked_at`` and ``state`` then.
    """
    user = principal(request).user
    with database.connection_context(), transaction():
        account = accounts.get(account_id)
        if account.platform in PLATFORMS:
            flow.check(account, priority=Priority.HIGH)
        elif account.state is AccountState.RECONNECT:
            accounts.mark_connected(account, actor=user)
            dispatch.account_settled(account)
        return load_accounts([account])[0]


def _warning(made: Post) -> dict[str, str | None]:
    """As text, because the answer is kept for those who ask again with the same key."""
    late = lateness.of_post(made, made.time_zone)
    if late is None:
        return {}
    return {
        "warning": late.sentence,
        "ready_from": words.machine_time(late.ready_from),
        "ready_by": words.machine_time(late.ready_by),
    }


def _base_url(request: AnyRequest) -> str:
    url: str = request.app.state.settings.base_url
    return url
