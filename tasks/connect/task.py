"""The jobs "connect", "check_account" and "disconnect": all that talks to a sign-in outside."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from appliance import accounts, connections, events
from appliance.clock import now
from appliance.connections import PLATFORMS, Found
from appliance.db import database
from appliance.errors import ApplianceError, JobFailed
from appliance.models import Account, Connection
from appliance.states import AccountState, ConnectionState
from tasks.connect import flow
from tasks.connect.errors import ConnectRefused, SignInLost, SignInUnreachable
from tasks.connect.provider import provider_named
from tasks.connect.tokens import box_desk, desk_for, renew
from tasks.context import PutBack
from tasks.publish import dispatch

if TYPE_CHECKING:
    from typing import Any

    from appliance.models import Job
    from tasks.context import Context, Outcome

log = logging.getLogger(__name__)

# A person's token of Meta, which a Page's comes from, is made new this long before its end.
RENEW_BEFORE_S = timedelta(days=20).total_seconds()
GIVE_BACK_FOR, GIVE_BACK_EVERY = timedelta(days=1), timedelta(minutes=10)


def connect(job: Job, context: Context) -> Outcome:
    """Turn a code into accounts; or try the box's client id."""
    if provider := job.payload.get("client"):
        return _check_client(provider, context)
    with database.connection_context():
        row: Connection | None = Connection.get_or_none(
            Connection.public_id == job.payload["connection"]
        )
        if row is None or row.state is not ConnectionState.REDEEMING:
            return None  # it was done, or ended, before
        opened = connections.sealed(context.vault, row)
        user, account = row.user, row.account
    name = connections.provider_of(row.platform)
    try:
        desk = box_desk(context.settings, context.vault, name, practice=row.practice)
        found = provider_named(name).redeem(desk, opened["code"], opened["verifier"])
        wanted = _choose(found, account, take_all=bool(opened.get("take_all")))
    except (ConnectRefused, SignInLost) as exc:
        raise _ended(exc) from None
    except SignInUnreachable as exc:
        raise _later(exc) from None
    if wanted:
        return partial(_take, context, row, wanted, user)
    return partial(_offer, context, row, found)


def _take(context: Context, row: Connection, wanted: list[Found], user: Any) -> None:
    flow.take(context.vault, row, wanted, user)


def _offer(context: Context, row: Connection, found: list[Found]) -> None:
    connections.offer(context.vault, row, found)


def _choose(found: list[Found], account: Account | None, *, take_all: bool) -> list[Found]:
    """What comes in without asking; []: a person chooses. Raises ConnectRefused."""
    usable = [one for one in found if not one.facts.get("blocked")]
    if account is not None:
        return _again(found, account)
    if not usable:
        raise ConnectRefused(
            f"{found[0].name}: {found[0].facts['blocked']}" if found else "Nothing was found.",
            code="blocked",
        )
    return usable if take_all or len(found) == 1 else []


def _again(found: list[Found], account: Account) -> list[Found]:
    """One account was to be connected again: it must be among them. Others of the same sign-in
    that are here already get it, too. Raises ConnectRefused."""
    mine = [one for one in found if (one.platform, one.remote_id) == _who(account)]
    if not mine:
        names = ", ".join(f"“{one.name}”" for one in found) or "nothing"
        raise ConnectRefused(
            f"This sign-in opens {names}, but not “{account.name}”. Connect again, and choose "
            f"“{account.name}” on the platform's page.",
            code="other_account",
        )
    if blocked := mine[0].facts.get("blocked"):
        raise ConnectRefused(f"{account.name}: {blocked}", code="blocked")
    with database.connection_context():
        here = {_who(row) for row in accounts.connected()}
    others = [one for one in found if (one.platform, one.remote_id) in here and one not in mine]
    return mine + [one for one in others if not one.facts.get("blocked")]


def _who(account: Account) -> tuple[str, str]:
    return account.platform, account.remote_id


def _check_client(provider: str, context: Context) -> Outcome:
    try:
        desk = box_desk(context.settings, context.vault, provider, practice=False)
        provider_named(provider).check_client(desk)
    except (ConnectRefused, SignInLost) as exc:
        sentence, code = exc.message, exc.code
    except SignInUnreachable as exc:
        raise _later(exc) from None
    else:
        sentence, code = "", "ok"
    return partial(flow.note_client_check, provider, sentence, code=code)


def check_account(job: Job, context: Context) -> Outcome:
    """Does the sign-in work? Refreshes it first where that is due."""
    row = _account(job)
    if row is None or row.platform not in PLATFORMS or row.state is AccountState.DISABLED:
        return None
    provider = provider_named(PLATFORMS[row.platform])
    try:
        with database.connection_context():
            credentials = accounts.credentials(context.vault, row)
        if provider.needs_refresh(credentials, lasts_s=_renew_before_s(provider)):
            credentials = renew(context.settings, context.vault, row, credentials, provider)
        desk = desk_for(context.settings, context.vault, row, credentials)
        found = provider.probe(desk, row.platform, row.remote_id, credentials)
    except SignInLost as exc:
        return partial(_lost, row, exc.message)
    except ConnectRefused as exc:
        return partial(_warn, row, exc.message)
    except SignInUnreachable as exc:
        if exc.when is not None:
            return PutBack(exc.when, stage="The platform asks for a pause")
        raise _later(exc) from None
    return partial(_works, row, found)


def _renew_before_s(provider: Any) -> float:
    return 600.0 if provider.refresh_is_vital else RENEW_BEFORE_S


def _works(row: Account, found: Found) -> None:
    fresh = Account.get_by_id(row.id)
    connections.note(fresh, found)
    if fresh.state is AccountState.RECONNECT:
        accounts.mark_connected(fresh)
        dispatch.account_settled(fresh)
    fresh = Account.get_by_id(row.id)
    flow.warn_before_end(fresh, flow.next_post_at(fresh))


def _lost(row: Account, reason: str) -> None:
    fresh = Account.get_by_id(row.id)
    if fresh.credentials != row.credentials:
        return  # connected again meanwhile: what was asked about is history
    Account.update(checked_at=now()).where(Account.id == row.id).execute()
    accounts.mark_lost(fresh, reason)


def _warn(row: Account, reason: str) -> None:
    """It may work or not: the platform refused to be looked at, for a reason that people mend."""
    facts = {**Account.get_by_id(row.id).facts, "warning": reason}
    Account.update(facts=facts, checked_at=now()).where(Account.id == row.id).execute()
    events.record("account.warned", f"account:{row.public_id}", account=row.name, warning=reason)


def disconnect(job: Job, context: Context) -> Outcome:
    """Give the sign-in back, unless other accounts live on it; then forget it, in any case."""
    row = _account(job)
    if row is None or row.state is not AccountState.DISABLED or row.credentials is None:
        return None
    kept = partial(_forget, row, "")
    with database.connection_context():
        if _is_shared(row):
            return kept
    try:
        with database.connection_context():
            credentials = accounts.credentials(context.vault, row)
        desk = desk_for(context.settings, context.vault, row, credentials)
        provider_named(PLATFORMS[row.platform]).revoke(desk, credentials)
    except SignInUnreachable as exc:
        if now() - datetime.fromisoformat(job.payload["since"]) < GIVE_BACK_FOR:
            return PutBack(exc.when or now() + GIVE_BACK_EVERY, stage="Giving the sign-in back")
        return partial(_forget, row, exc.message)
    except ApplianceError as exc:  # no client any more, another key: nothing left to try
        return partial(_forget, row, exc.message)
    return kept


def _is_shared(row: Account) -> bool:
    """Whether the same person's sign-in carries another account that is in use."""
    login = row.facts.get("login_id")
    others = Account.select().where(
        Account.platform.in_(["facebook", "instagram"]),
        Account.practice == row.practice,
        Account.state != AccountState.DISABLED,
        Account.id != row.id,
    )
    return bool(login) and any(other.facts.get("login_id") == login for other in others)


def _forget(row: Account, problem: str) -> None:
    gone = Account.update(credentials=None, expires_at=None).where(
        Account.id == row.id, Account.state == AccountState.DISABLED
    )
    if gone.execute():
        word = "account.revoked" if not problem else "account.forgotten"
        events.record(word, f"account:{row.public_id}", account=row.name, error=problem or None)


def _account(job: Job) -> Account | None:
    with database.connection_context():
        found: Account | None = Account.get_or_none(Account.public_id == job.payload["account"])
        return found


def _ended(exc: ConnectRefused | SignInLost) -> JobFailed:
    return JobFailed(exc.message, permanent=True, code=exc.code, detail=exc.detail)


def _later(exc: SignInUnreachable) -> JobFailed:
    return JobFailed(exc.message, permanent=False, code=exc.code, detail=exc.detail)
