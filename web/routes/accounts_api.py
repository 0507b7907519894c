"""Accounts for scripts: bring one in with its credentials, check, change, disconnect; and the
switch that holds all posts back. The list is in web/routes/posts_api.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from appliance import accounts, posting_switch
from appliance.access import Scope
from appliance.db import database
from appliance.models import Account, Priority, Role
from tasks.connect import flow
from web import connecting
from web.auth import needs, principal
from web.post_shapes import AccountShape, load_accounts

READ = needs(Role.VIEWER, Scope.READ)
ADMIN = needs(Role.ADMIN, Scope.ADMIN)

AnyRequest = Request[Any, Any, State]


class AccountChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    stage_ahead: bool
    """Bring files there before anybody presses Post; docs/accounts.md says what it costs."""


class Posting(msgspec.Struct, kw_only=True):
    """Whether all posting is paused. ``by``: who has paused it."""

    paused: bool
    since: datetime | None = None
    by: str | None = None
    reason: str | None = None


class PostingWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    paused: bool
    reason: str = ""


class PracticeBegun(msgspec.Struct, kw_only=True):
    count: int
    """Sign-ins that were begun; their accounts are in the list in a moment."""


@post(
    "/api/v1/accounts/practice",
    opt=ADMIN,
    tags=["accounts"],
    summary="Make practice accounts",
    status_code=202,
    sync_to_thread=True,
)
def make_practice_accounts(request: AnyRequest) -> PracticeBegun:
    """An account on this box's stand-in of each platform; those that are here sign in anew."""
    who = principal(request)
    with database.connection_context():
        begun = connecting.make_practice_accounts(request.app, user=who.user, session=who.session)
    return PracticeBegun(count=len(begun))


@post(
    "/api/v1/accounts/{account_id:str}/check",
    opt=ADMIN,
    tags=["accounts"],
    summary="Check an account's sign-in",
    status_code=202,
    sync_to_thread=True,
)
def check_account(request: AnyRequest, account_id: FromPath[str]) -> AccountShape:
    """The delivery worker asks the platform; ``checked_at`` changes when it has. 409 for accounts
    that have no sign-in."""
    with database.connection_context():
        account = accounts.get(account_id)
        flow.check(account, priority=Priority.HIGH)
        return _shape(account)


@patch(
    "/api/v1/accounts/{account_id:str}",
    opt=ADMIN,
    tags=["accounts"],
    summary="Change an account",
    sync_to_thread=True,
)
def change_account(
    request: AnyRequest, account_id: FromPath[str], data: JSONBody[AccountChange]
) -> AccountShape:
    with database.connection_context():
        account = accounts.get(account_id)
        flow.stage_ahead(account, data.stage_ahead, actor=principal(request).user)
        return _shape(account)


@delete(
    "/api/v1/accounts/{account_id:str}",
    opt=ADMIN,
    tags=["accounts"],
    summary="Disconnect an account",
    status_code=202,
    sync_to_thread=True,
)
def disconnect_account(request: AnyRequest, account_id: FromPath[str]) -> Response[AccountShape]:
    """Nothing goes there any more; the sign-in is given back to the platform and forgotten. 409
    for the accounts that are a part of the box."""
    with database.connection_context():
        account = accounts.get(account_id)
        flow.disconnect(account, actor=principal(request).user)
        return Response(_shape(account), status_code=202)


@get(
    "/api/v1/posting",
    opt=READ,
    tags=["accounts"],
    summary="Whether posting is paused",
    sync_to_thread=True,
)
def show_posting(request: AnyRequest) -> Posting:
    with database.connection_context():
        return _posting()


@put(
    "/api/v1/posting",
    opt=ADMIN,
    tags=["accounts"],
    summary="Pause all posting, or let posts go again",
    sync_to_thread=True,
)
def change_posting(request: AnyRequest, data: JSONBody[PostingWish]) -> Posting:
    """While it is paused nothing is sent or made public; what is due waits and goes out after."""
    user = principal(request).user
    with database.connection_context():
        if data.paused:
            posting_switch.pause(user, data.reason)
        else:
            flow.resume_posting(user)
        return _posting()


def _posting() -> Posting:
    held = posting_switch.current()
    if held is None:
        return Posting(paused=False)
    return Posting(paused=True, since=held.since, by=held.by or None, reason=held.reason or None)


def _shape(account: Account) -> AccountShape:
    return load_accounts([Account.get_by_id(account.id)])[0]
