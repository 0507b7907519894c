"""The sign-in of an account, ready to be used: refreshed early, kept when a platform rotates it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance import accounts, oauth_clients
from appliance.connections import PLATFORMS
from appliance.db import database, transaction
from appliance.errors import SettingsError
from appliance.models import Account
from tasks.connect.asking import Desk
from tasks.connect.errors import ConnectRefused, SignInLost, SignInUnreachable
from tasks.connect.provider import Provider, provider_named

if TYPE_CHECKING:
    from appliance.settings import Settings
    from appliance.vault import Vault
    from tasks.context import Context

__all__ = ["SignInLost", "SignInUnreachable", "desk_for", "fresh", "renew"]

log = logging.getLogger(__name__)

# What `fresh` gives lasts at least this long: a step's calls fit into it.
LASTS_S = 300.0
# Refreshed this long before that: when the platform can't be reached just now, there is time.
EARLY_S = 300.0


def fresh(account: Account, context: Context) -> dict[str, Any]:
    """The credentials of ``account`` with an ``access_token`` that lasts at least ``LASTS_S``.

    Refreshes and stores them when need be, so it may talk to the platform: call it without an open
    connection, in the delivery worker, before each step of a publisher. What has no end is given
    as it is. Raises SignInLost (the account says so by now) and SignInUnreachable.
    """
    with database.connection_context():
        row = Account.get_by_id(account.id)
        credentials = _opened(context.vault, row)
    if row.platform not in PLATFORMS:
        return credentials
    provider = provider_named(PLATFORMS[row.platform])
    if not provider.needs_refresh(credentials, lasts_s=LASTS_S + EARLY_S):
        return credentials
    try:
        return renew(context.settings, context.vault, row, credentials, provider)
    except SignInUnreachable:
        if provider.needs_refresh(credentials, lasts_s=LASTS_S):
            raise
        return credentials  # it was early, and lasts long enough


def made_anew(account: Account, context: Context, refused: dict[str, Any]) -> dict[str, Any]:
    """The credentials of ``account`` after a platform has refused ``refused``: those that somebody
    else has stored since, else with a new access token, whatever time the old one had left.

    As `fresh` otherwise.
    """
    with database.connection_context():
        row = Account.get_by_id(account.id)
        credentials = _opened(context.vault, row)
    stored_since = credentials.get("access_token") != refused.get("access_token")
    if stored_since or row.platform not in PLATFORMS:
        return credentials
    provider = provider_named(PLATFORMS[row.platform])
    return renew(context.settings, context.vault, row, credentials, provider)


def renew(
    settings: Settings,
    vault: Vault,
    row: Account,
    credentials: dict[str, Any],
    provider: Provider,
) -> dict[str, Any]:
    """Make new what ends, and store it; what is good is only ever replaced by what came for it.

    Wants no open connection. Raises SignInLost and SignInUnreachable.
    """
    stored = row.credentials
    try:
        made = provider.refreshed(desk_for(settings, vault, row, credentials), credentials)
    except (SignInLost, ConnectRefused) as exc:
        if not provider.refresh_is_vital:
            log.warning("%s: no new sign-in, the old one stays: %s", row.public_id, exc)
            return credentials
        with database.connection_context():
            now_there = Account.get_by_id(row.id)
            if now_there.credentials not in (stored, None):
                # Somebody connected it again, or another worker was faster and the platform took
                # the old token back for that: theirs is the good one.
                return _opened(vault, now_there)
            accounts.mark_lost(now_there, exc.message)
        raise SignInLost(exc.message, detail=exc.detail) from None
    return _stored(vault, row, made, instead_of=stored)


def _stored(
    vault: Vault, row: Account, made: dict[str, Any], *, instead_of: str | None
) -> dict[str, Any]:
    """Keep ``made``, unless somebody has stored other ones meanwhile: those win."""
    with database.connection_context():
        with transaction():
            now_there = Account.get_by_id(row.id)
            if now_there.credentials == instead_of:
                accounts.seal(vault, now_there, made)
                row.credentials = now_there.credentials
                return made
        if now_there.credentials is None:
            raise SignInLost("The account was disconnected meanwhile.")
        row.credentials = now_there.credentials
        return _opened(vault, now_there)


def _opened(vault: Vault, row: Account) -> dict[str, Any]:
    """Raises SignInLost when the box's key is another one; the account says so by then."""
    try:
        return accounts.credentials(vault, row)
    except SettingsError as exc:
        accounts.mark_lost(row, exc.message)
        raise SignInLost(exc.message) from exc


def desk_for(settings: Settings, vault: Vault, row: Account, credentials: dict[str, Any]) -> Desk:
    """As whom the box asks about an account: the client that it was brought in with, or the
    box's own. Opens a connection. Raises ConnectRefused when there is none and one is needed."""
    provider = PLATFORMS[row.platform]
    if credentials.get("client_id") and credentials.get("client_secret"):
        own = oauth_clients.Client(str(credentials["client_id"]), str(credentials["client_secret"]))
        return Desk(settings, own, row.practice)
    try:
        return box_desk(settings, vault, provider, practice=row.practice)
    except ConnectRefused:
        if provider_named(provider).refresh_is_vital:
            raise
        # Brought in by hand: a Page's token works without any client.
        return Desk(settings, oauth_clients.Client("", ""), row.practice)


def box_desk(settings: Settings, vault: Vault, provider: str, *, practice: bool) -> Desk:
    """The box as its own client. Opens a connection. Raises ConnectRefused when it has none."""
    assert provider in oauth_clients.PROVIDERS
    with database.connection_context():
        client = oauth_clients.client_of(settings, vault, provider, practice=practice)
    if client is None:
        raise ConnectRefused(
            "There is no client id and secret of this box. Enter them in Settings → Accounts → "
            "Set up.",
            code="no_client",
        )
    return Desk(settings, client, practice, redirect_for(settings, provider))


def redirect_for(settings: Settings, provider: str) -> str:
    """Where people come back to from ``provider``'s page; registered there letter by letter."""
    return f"{settings.base_url}/connect/{provider}/callback"
