"""What people press about accounts, and the jobs that follow: connect, check, disconnect."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance import accounts, connections, events, jobs, kept, oauth_clients, posting_switch
from appliance.clock import now
from appliance.connections import PLATFORMS
from appliance.db import transaction
from appliance.errors import Conflict
from appliance.models import Account, Connection, Job, Post, PostTarget, Priority
from appliance.states import AccountState, PostState, TargetState
from tasks.connect.asking import Desk
from tasks.connect.errors import ConnectRefused
from tasks.connect.provider import provider_named
from tasks.connect.tokens import redirect_for
from tasks.publish import dispatch, settling
from tasks.retrying import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.connections import Began
    from appliance.errors import JobFailed
    from appliance.models import User
    from appliance.settings import Settings
    from appliance.vault import Vault

log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
# An account that a post is due for soon is looked at more often: there is time to sign in again.
DUE_SOON, EVERY_WHEN_DUE = timedelta(hours=24), timedelta(hours=2)
AGAIN = timedelta(hours=1)  # after a look that didn't reach the platform
# Told this long before the sign-in ends, or before the post that comes after that.
TELL_BEFORE = timedelta(days=7)

_COMING = (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED)


# Connecting


def dialog_address(settings: Settings, began: Began) -> str:
    """Where the person agrees. Raises ConnectRefused without a client id. Asks nobody."""
    connection = began.connection
    name = connections.provider_of(connection.platform)
    assert name in oauth_clients.PROVIDERS
    id = oauth_clients.id_of(settings, name, practice=connection.practice)
    if not id:
        raise ConnectRefused(
            "There is no client id of this box yet. Enter it in Settings → Accounts → Set up.",
            code="no_client",
        )
    client = oauth_clients.Client(id, "")
    desk = Desk(settings, client, connection.practice, redirect_for(settings, name))
    return provider_named(name).dialog(desk, state=began.state, challenge=began.challenge)


def choose(vault: Vault, connection: Connection, keys: Sequence[str], user: User) -> list[Account]:
    """The accounts that were chosen from what the sign-in opened. Raises InvalidInput, Conflict."""
    with transaction():
        found = connections.offered(vault, connection, keys)
        return take(vault, connection, found, user)


def take(
    vault: Vault,
    connection: Connection,
    found: Sequence[connections.Found],
    user: User | None,
) -> list[Account]:
    """Make the accounts, and let go on what waited for them. In a transaction."""
    made = connections.adopt(vault, found, user=user, practice=connection.practice)
    connections.finish(connection, made)
    for account in made:
        dispatch.account_settled(account)
    return made


def connect_failed(job: Job, failure: JobFailed) -> None:
    """The job can't go on; the page that waits says so. In the transaction that fails it."""
    row = Connection.get_or_none(Connection.public_id == job.payload.get("connection", ""))
    if row is not None:
        cancelled = "The work was cancelled on the Jobs page, so nothing was connected."
        connections.fail(row, cancelled if failure.code == CANCELLED else failure.message)
    if provider := job.payload.get("client"):
        note_client_check(provider, failure.message, code=failure.code)


# Is the client id right?


def check_client(provider: str) -> Job:
    """Have the box's client id and secret tried; `client_check` has the answer."""
    with transaction():
        note_client_check(provider, "", code="checking")
        return jobs.create("connect", f"check_client:{provider}", payload={"client": provider})


def note_client_check(provider: str, sentence: str, *, code: str) -> None:
    """``code``: "checking", "ok", or what is wrong. In a transaction."""
    value = {"code": code, "sentence": sentence, "at": now().isoformat()}
    kept.write(f"client_check:{provider}", value)
    events.record("client.checked", f"client:{provider}", admins_only=True, code=code)


def client_check(provider: str) -> dict[str, Any]:
    """{"code", "sentence", "at"} of the last try; {} when there was none."""
    return kept.read(f"client_check:{provider}")


# Looking whether it works


def check(account: Account, *, priority: Priority | None = None) -> Job:
    """Have the sign-in of an account tried by the delivery worker. Raises Conflict."""
    if account.platform not in PLATFORMS:
        raise Conflict("This account is on the box itself: there is no sign-in to check.")
    if account.state is AccountState.DISABLED:
        raise Conflict("This account was disconnected. Connect it again first.")
    return jobs.create(
        "check_account",
        f"check_account:{account.public_id}",
        payload={"account": account.public_id},
        priority=priority,
    )


def check_due() -> int:
    """For the sweep: have looked at what wasn't for a day, and what soon has a post; how many."""
    at = now()
    begun = 0
    rows = Account.select().where(
        Account.platform.in_(list(PLATFORMS)), Account.state != AccountState.DISABLED
    )
    for account in rows:
        due = next_post_at(account)
        soon = due is not None and due - at <= DUE_SOON
        every = EVERY_WHEN_DUE if soon else EVERY
        asked = _asked_at(account)
        if not _is_recent(account.checked_at, at, every) and not _is_recent(asked, at, AGAIN):
            check(account)
            begun += 1
        warn_before_end(account, due)
    return begun


def _is_recent(then: datetime | None, at: datetime, within: timedelta) -> bool:
    """A clock that was set back must not put the next look off for years."""
    return then is not None and timedelta(0) <= at - then < within


def _asked_at(account: Account) -> datetime | None:
    """When the last look was begun: one that can't reach the platform isn't begun each sweep."""
    row = (
        Job.select(Job.created_at)
        .where(Job.key == f"check_account:{account.public_id}")
        .order_by(Job.id.desc())
        .first()
    )
    return row.created_at if row is not None else None


def next_post_at(account: Account) -> datetime | None:
    """When the next scheduled post to it is due; None: none is."""
    row = (
        Post.select(Post.publish_at)
        .join(PostTarget)
        .where(
            PostTarget.account == account,
            PostTarget.state.in_(_COMING),
            Post.state.not_in([PostState.DRAFT]),
            Post.publish_at.is_null(False),
        )
        .order_by(Post.publish_at)
        .first()
    )
    return row.publish_at if row is not None else None


def coming_posts(account: Account) -> int:
    """How many posts to it have yet to go out."""
    return int(
        PostTarget.select()
        .join(Post)
        .where(
            PostTarget.account == account,
            PostTarget.state.in_(_COMING),
            Post.state.not_in([PostState.DRAFT]),
        )
        .count()
    )


def ends_too_soon(account: Account, due: datetime | None, at: datetime) -> bool:
    """Whether somebody should sign in again now: it ends within a week, or before a post."""
    ends = account.expires_at
    if ends is None or account.state is not AccountState.CONNECTED:
        return False
    return ends - at <= TELL_BEFORE or (due is not None and ends <= due)


def warn_before_end(account: Account, due: datetime | None) -> bool:
    """Tell once for each end of a sign-in; whether it told."""
    ends = account.expires_at
    if ends is None or not ends_too_soon(account, due, now()):
        return False
    if account.facts.get("told") == ends.isoformat():
        return False
    with transaction():
        facts = {**account.facts, "told": ends.isoformat()}
        Account.update(facts=facts).where(Account.id == account.id).execute()
        events.record(
            "account.expiring",
            f"account:{account.public_id}",
            account=account.name,
            platform=account.platform,
            expires_at=ends.isoformat(),
            next_post_at=due.isoformat() if due else None,
        )
    return True


# Settling down, and going


def stage_ahead(account: Account, wish: bool, *, actor: User | None) -> None:
    """Whether files are brought there before anybody presses Post."""
    with transaction():
        Account.update(stage_ahead=wish).where(Account.id == account.id).execute()
        account.stage_ahead = wish
        events.record("account.changed", f"account:{account.public_id}", stage_ahead=wish)
        events.audit(actor, "account.change", f"account:{account.public_id}", stage_ahead=wish)


def disconnect(account: Account, *, actor: User | None) -> None:
    """Nothing goes there any more; the delivery worker gives the sign-in back.

    Raises Conflict, also while posts are on their way there, or kept there until their time:
    without the sign-in nobody could ask for them, or call them back.
    """
    if account.platform not in PLATFORMS:
        raise Conflict("This account is a part of the box and stays.")
    with transaction():
        if account.state is AccountState.DISABLED:
            return
        under_way = settling.under_way_at(account)
        if under_way and account.state is AccountState.CONNECTED:
            raise Conflict(
                "Posts are on their way there, or kept there until their time. Wait for them or "
                "cancel them, then disconnect the account.",
                code="posts_there",
            )
        for target in under_way:  # it couldn't be asked anyhow
            settling.let_person_look(target, "The account was disconnected.")
        accounts.mark_disabled(account, actor=actor)
        jobs.create(
            "disconnect",
            f"disconnect:{account.public_id}",
            payload={"account": account.public_id, "since": now().isoformat()},
        )


def resume_posting(actor: User | None) -> None:
    """Posts go again: what the pause held back is looked for at once."""
    if posting_switch.resume(actor):
        dispatch.posting_resumed()
