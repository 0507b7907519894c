"""Accounts: the channels, pages and folders that posts go to, and their sealed credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import events
from appliance.db import transaction
from appliance.errors import InvalidInput, NotFound
from appliance.models import Account
from appliance.states import AccountState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import User
    from appliance.settings import Settings
    from appliance.vault import Vault

# What exists from the first start on, without anybody connecting anything.
PRACTICE = ("practice", "Practice channel", "practice")
FOLDER = ("folder", "Folder on this box", "folder")


def connected() -> list[Account]:
    """The accounts that a post may go to, in the order of their names."""
    usable = Account.select().where(Account.state != AccountState.DISABLED)
    return list(usable.order_by(Account.platform, Account.name, Account.id))


def get(public_id: str) -> Account:
    """Raises NotFound."""
    account: Account | None = Account.get_or_none(Account.public_id == public_id)
    if account is None:
        raise NotFound("There is no such account; it may have been disconnected.")
    return account


def choose(ids: Sequence[str] = (), platforms: Sequence[str] = ()) -> list[Account]:
    """The accounts named by id, and all usable ones of the named platforms; each of them once.

    Raises InvalidInput for an id or a platform that has no account here, in a sentence that says
    what there is.
    """
    found: dict[int, Account] = {}
    for public_id in ids:
        account = Account.get_or_none(Account.public_id == public_id)
        if account is None:
            raise InvalidInput(
                f"There is no account “{public_id[:64]}”. {_what_there_is()}",
                field="accounts",
                code="unknown_account",
            )
        found[account.id] = account
    everything = connected()
    for platform in platforms:
        of_platform = [account for account in everything if account.platform == platform]
        if not of_platform:
            raise InvalidInput(
                f"No account of “{platform[:64]}” is connected. {_what_there_is()}",
                field="platforms",
                code="unknown_account",
            )
        found.update({account.id: account for account in of_platform})
    return list(found.values())


def _what_there_is() -> str:
    names = ", ".join(sorted({account.platform for account in connected()}))
    return f"Connected platforms: {names}." if names else "No account is connected yet."


def seal(vault: Vault, account: Account, credentials: dict[str, Any]) -> None:
    """Keep ``credentials``, readable for this account's row alone."""
    text = vault.encrypt(credentials, bound_to=_bound_to(account))
    Account.update(credentials=text).where(Account.id == account.id).execute()
    account.credentials = text


def credentials(vault: Vault, account: Account) -> dict[str, Any]:
    """What ``seal`` kept; {} if nothing. Raises SettingsError when the key is another one."""
    if account.credentials is None:
        return {}
    return vault.decrypt(account.credentials, bound_to=_bound_to(account))


def _bound_to(account: Account) -> str:
    return f"account:{account.public_id}"


def practice_token(vault: Vault) -> str:
    """What the practice platform knows us by; both sides work it out from the box's key."""
    return vault.derive("practice").hex()


def ensure_builtin(settings: Settings, vault: Vault) -> None:
    """The Practice and the Folder account exist, and Practice's token fits the key of today.

    Called at each start of the web process; changes nothing when all is as it should be.
    """
    with transaction():
        _ensure(FOLDER)
        practice = _ensure(PRACTICE)
        wanted = AccountState.CONNECTED if settings.practice else AccountState.DISABLED
        if (practice.state is AccountState.DISABLED) is settings.practice:
            _set_state(practice, wanted)
        if not practice.credentials or not practice.credentials.startswith(vault.key_id):
            seal(vault, practice, {"token": practice_token(vault)})


def _ensure(what: tuple[str, str, str]) -> Account:
    platform, name, remote_id = what
    found: Account | None = Account.get_or_none(
        Account.platform == platform, Account.remote_id == remote_id
    )
    return found or Account.create(platform=platform, remote_id=remote_id, name=name)


def mark_lost(account: Account, reason: str) -> None:
    """The platform no longer accepts our sign-in: nothing more is sent until it is connected."""
    if account.state is AccountState.CONNECTED:
        _set_state(account, AccountState.RECONNECT, error=reason)


def mark_connected(account: Account, *, actor: User | None = None) -> None:
    """The sign-in works again. Posts that wait for it: tasks.publish.dispatch.account_settled."""
    with transaction():
        _set_state(account, AccountState.CONNECTED)
        if actor is not None:
            events.audit(actor, "account.reconnect", f"account:{account.public_id}")


def mark_disabled(account: Account, *, actor: User | None) -> None:
    """It was disconnected: nothing goes there, and nothing is asked of it any more."""
    with transaction():
        _set_state(account, AccountState.DISABLED)
        events.audit(actor, "account.disconnect", f"account:{account.public_id}")


def _set_state(account: Account, state: AccountState, *, error: str | None = None) -> None:
    with transaction():
        Account.update(state=state, error=error).where(Account.id == account.id).execute()
        account.state, account.error = state, error
        events.record(
            f"account.{state.value}",
            f"account:{account.public_id}",
            account=account.name,
            platform=account.platform,
            error=error,
        )
