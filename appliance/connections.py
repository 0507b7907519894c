"""Accounts on their way in: from "Connect" to the platform's own pages and back.

The ``state`` that goes along is 192 random bits, kept only as a hash, good for one return within
`LIVES`, for the provider it was made for, in the session that began it. The code that comes back
is sealed and redeemed by a delivery job; the tokens stay sealed until the accounts are made.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance import accounts, events, jobs
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, Forbidden, InvalidInput, NotFound
from appliance.ids import new_token
from appliance.models import Account, Connection
from appliance.sessions import hash_token
from appliance.states import AccountState, ConnectionState, move
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import Session, User
    from appliance.vault import Vault

LIVES = timedelta(minutes=20)
KEPT = timedelta(days=2)  # what ended, for who comes back to its page
MAX_CODE_CHARS = 4096
# An admin who never comes back from the platform's page fills no table.
MAX_OPEN = 20

PLATFORMS = {"youtube": "google", "facebook": "meta", "instagram": "meta"}
LABELS = {"youtube": "YouTube", "facebook": "Facebook", "instagram": "Instagram"}
PROVIDER_LABELS = {"google": "Google", "meta": "Facebook"}
_OPEN = (ConnectionState.WAITING, ConnectionState.REDEEMING, ConnectionState.CHOOSING)


@dataclass(frozen=True)
class Began:
    """What the address of the platform's page is made of. Source of the challenge: RFC 7636."""

    connection: Connection
    state: str = field(repr=False)
    challenge: str


@dataclass(frozen=True)
class Found:
    """An account that a sign-in opens. ``credentials`` are secret, all else may be shown.

    ``expires_at``: when somebody has to sign in again at the latest; None: nobody knows of one.
    """

    platform: str
    remote_id: str
    name: str
    credentials: dict[str, Any] = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.platform}:{self.remote_id}"


def provider_of(platform: str) -> str:
    """Raises NotFound for a platform that nobody signs in to."""
    if platform not in PLATFORMS:
        raise NotFound(f"Accounts of “{platform[:64]}” can't be connected here.")
    return PLATFORMS[platform]


def begin(
    vault: Vault,
    platform: str,
    *,
    user: User,
    session: Session | None,
    practice: bool,
    account: Account | None = None,
    take_all: bool = False,
) -> Began:
    """A new way in. ``session``: the only one that may come back; None: no browser is sent (a
    script makes practice accounts). ``account``: the one to be connected again. ``take_all``: of
    several accounts that it opens all come in, nobody is asked."""
    provider_of(platform)
    state, verifier = new_token(), secrets.token_urlsafe(48)
    with transaction():
        _end_oldest(user)
        connection = Connection.create(
            platform=platform,
            practice=practice,
            secret_hash=hash_token(state),
            user=user,
            account=account,
            expires_at=now() + LIVES,
        )
        whose = {"session": session.id if session else 0, "take_all": take_all}
        _seal(vault, connection, {"verifier": verifier, **whose})
    return Began(connection, state, challenge_of(verifier))


def challenge_of(verifier: str) -> str:
    """S256. Source: RFC 7636 §4.2."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _end_oldest(user: User) -> None:
    rows = (
        Connection.select()
        .where(Connection.user == user, Connection.state == ConnectionState.WAITING)
        .order_by(Connection.id.desc())
        .offset(MAX_OPEN - 1)
    )
    for row in rows:
        _end(row, ConnectionState.EXPIRED, "Another one was begun.")


def get(user: User, public_id: str) -> Connection:
    """Raises NotFound; of somebody else's, too."""
    row: Connection | None = Connection.get_or_none(
        Connection.public_id == public_id, Connection.user == user
    )
    if row is None:
        raise NotFound("There is no such sign-in under way. Begin again in Settings → Accounts.")
    return row


def receive(
    vault: Vault,
    provider: str,
    *,
    state: str,
    code: str,
    error: str,
    user: User,
    session: Session | None,
) -> Connection:
    """Somebody is back from the platform's page; a delivery job redeems what they bring.

    Raises NotFound for a ``state`` that was never given out, or for another provider; Forbidden
    for another person's or another browser's; Conflict for one that was used already; InvalidInput
    when it took too long. Nothing changes then.
    """
    row: Connection | None = (
        Connection.get_or_none(Connection.secret_hash == hash_token(state)) if state else None
    )
    if row is None or PLATFORMS.get(row.platform) != provider:
        raise NotFound(
            "This address belongs to no sign-in that was begun here. Begin again in "
            "Settings → Accounts."
        )
    began = sealed(vault, row)
    if row.user_id != user.id or (
        row.state is ConnectionState.WAITING
        and began.get("session") != (session.id if session else 0)
    ):
        raise Forbidden(
            "Somebody else, or another browser, began this sign-in, so nothing was connected. "
            "Begin it here yourself, in Settings → Accounts.",
            code="other_session",
        )
    if row.state is not ConnectionState.WAITING:
        raise Conflict("This sign-in was used already. Begin again in Settings → Accounts.")
    if row.expires_at <= now():
        with transaction():
            _end(row, ConnectionState.EXPIRED, "It took too long.")
        raise InvalidInput(
            "It took too long, so nothing was connected. Begin again in Settings → Accounts.",
            code="expired",
        )
    where = PROVIDER_LABELS[provider]
    with transaction():
        if error or not code:
            _end(row, ConnectionState.FAILED, _words_of(where, error))
        elif len(code) > MAX_CODE_CHARS:
            _end(row, ConnectionState.FAILED, f"{where} sent an answer that can't be read.")
        else:
            _redeem(vault, row, {**began, "code": code})
    return row


def _redeem(vault: Vault, row: Connection, value: dict[str, Any]) -> None:
    if not _move(row, ConnectionState.REDEEMING):
        raise Conflict("This sign-in was used already. Begin again in Settings → Accounts.")
    _seal(vault, row, value)
    payload = {"connection": row.public_id}
    jobs.create("connect", f"connect:{row.public_id}", payload=payload)


def _words_of(where: str, error: str) -> str:
    if error == "access_denied":
        return f"The sign-in was cancelled at {where}, so nothing was connected."
    said = clean_line(error, max_bytes=100) or "no reason"
    return f"{where} sent you back without a sign-in ({said}), so nothing was connected."


# What the job finds


def offer(vault: Vault, row: Connection, found: Sequence[Found]) -> bool:
    """Let the person choose from ``found``; False: it had ended meanwhile. In a transaction."""
    _seal(vault, row, {"credentials": {one.key: one.credentials for one in found}})
    shown = [_shown(one) for one in found]
    later = now() + LIVES
    return _move(row, ConnectionState.CHOOSING, found=shown, expires_at=later)


def _shown(one: Found) -> dict[str, Any]:
    return {
        "key": one.key,
        "platform": one.platform,
        "remote_id": one.remote_id,
        "name": one.name,
        "facts": one.facts,
        "expires_at": one.expires_at.isoformat() if one.expires_at else None,
    }


def offered(vault: Vault, row: Connection, keys: Sequence[str]) -> list[Found]:
    """What was chosen, with its secrets. Raises InvalidInput, Conflict (nothing to choose)."""
    if row.state is not ConnectionState.CHOOSING or row.expires_at <= now():
        raise Conflict("There is nothing to choose any more. Begin again in Settings → Accounts.")
    secrets_of = sealed(vault, row)["credentials"]
    wanted = [entry for entry in row.found if entry["key"] in set(keys)]
    if not wanted:
        raise InvalidInput("Choose at least one account.", field="accounts")
    for entry in wanted:
        if blocked := entry["facts"].get("blocked"):
            raise InvalidInput(f"{entry['name']}: {blocked}", field="accounts")
    return [
        Found(
            platform=entry["platform"],
            remote_id=entry["remote_id"],
            name=entry["name"],
            credentials=secrets_of[entry["key"]],
            facts=entry["facts"],
            expires_at=datetime.fromisoformat(entry["expires_at"]) if entry["expires_at"] else None,
        )
        for entry in wanted
    ]


def adopt(
    vault: Vault, found: Sequence[Found], *, user: User | None, practice: bool
) -> list[Account]:
    """The accounts of ``found``: new ones, and those that were here, with the new sign-in.

    In one transaction. What waits for them: tasks.publish.dispatch.account_settled. Raises
    Conflict when practice and the real platform have given out the same number.
    """
    made = []
    with transaction():
        for one in found:
            row: Account | None = Account.get_or_none(
                Account.platform == one.platform, Account.remote_id == one.remote_id
            )
            is_new = row is None
            if row is None:
                row = Account.create(
                    platform=one.platform,
                    remote_id=one.remote_id,
                    name=one.name,
                    state=AccountState.DISABLED,
                    practice=practice,
                    created_by=user,
                )
            if row.practice != practice:
                how = "in practice mode" if row.practice else "for real"
                raise Conflict(
                    f"“{row.name}” is connected {how} already, under the same number. Nothing was "
                    "changed."
                )
            accounts.seal(vault, row, one.credentials)
            note(row, one)
            columns = {"practice": practice, "failures": 0, "paused_until": None}
            Account.update(**columns, pause_reason=None).where(Account.id == row.id).execute()
            accounts.mark_connected(row)
            word = "account.connect" if is_new else "account.reconnect"
            events.audit(user, word, f"account:{row.public_id}", platform=row.platform)
            made.append(Account.get_by_id(row.id))
    return made


def note(account: Account, one: Found) -> None:
    """What the platform told when it was asked just now."""
    before = {name: value for name, value in account.facts.items() if name != "warning"}
    Account.update(
        name=one.name or account.name,
        facts={**before, **one.facts},
        expires_at=one.expires_at,
        checked_at=now(),
    ).where(Account.id == account.id).execute()


def finish(row: Connection, made: Sequence[Account]) -> None:
    """It is done; the page shows what came of it. In the transaction of `adopt`."""
    shown = [{"account": a.public_id, "platform": a.platform, "name": a.name} for a in made]
    if not _move(row, ConnectionState.CONNECTED, sealed=None, found=shown):
        raise Conflict("This sign-in has ended meanwhile. Begin again in Settings → Accounts.")


def fail(row: Connection, reason: str) -> None:
    """It came to nothing. Of one that has ended nothing changes."""
    with transaction():
        if row.state in _OPEN:
            _end(row, ConnectionState.FAILED, reason)


def _end(row: Connection, state: ConnectionState, reason: str) -> None:
    _move(row, state, sealed=None, found=[], error=reason)


def _move(row: Connection, state: ConnectionState, **columns: Any) -> bool:
    with transaction():
        if not move(Connection, row.id, row.state, state, updated_at=now(), **columns):
            return False
        row.state = state
        events.record(
            f"connection.{state.value}",
            f"connection:{row.public_id}",
            only_user_id=row.user_id,
            platform=row.platform,
            error=columns.get("error"),
        )
    return True


def sweep() -> int:
    """End what nobody came back for, forget what ended long ago; how many rows changed."""
    at = now()
    changed = 0
    for row in Connection.select().where(
        (
            Connection.state.in_([ConnectionState.WAITING, ConnectionState.CHOOSING])
            & (Connection.expires_at <= at)
        )
        # Codes die after minutes: when the worker comes so late, there is nothing to redeem.
        | ((Connection.state == ConnectionState.REDEEMING) & (Connection.expires_at <= at - LIVES)),
    ):
        with transaction():
            _end(row, ConnectionState.EXPIRED, "It took too long.")
        changed += 1
    old = Connection.delete().where(
        Connection.state.not_in(_OPEN), Connection.updated_at < at - KEPT
    )
    return changed + int(old.execute())


def sealed(vault: Vault, row: Connection) -> dict[str, Any]:
    """What is kept secret about it; {} when nothing is."""
    if row.sealed is None:
        return {}
    return vault.decrypt(row.sealed, bound_to=f"connection:{row.public_id}")


def _seal(vault: Vault, row: Connection, value: dict[str, Any]) -> None:
    row.sealed = vault.encrypt(value, bound_to=f"connection:{row.public_id}")
    Connection.update(sealed=row.sealed).where(Connection.id == row.id).execute()
