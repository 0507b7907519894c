"""Everything that the vault has sealed, sealed anew by another key: after a restore on a box that
has a key of its own. Functions want an open transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.errors import SettingsError
from appliance.models import Account, AlertChannel, GuestLink, Setting
from appliance.states import AccountState

if TYPE_CHECKING:
    from appliance.vault import Vault

BUILT_IN = ("practice", "folder")


def reseal(old: Vault, new: Vault) -> int:
    """How many secrets; one that ``old`` doesn't open is left as it is: it was lost before."""
    done = 0
    for account in Account.select().where(Account.credentials.is_null(False)):
        text = _anew(old, new, account.credentials or "", f"account:{account.public_id}")
        if text:
            done += Account.update(credentials=text).where(Account.id == account.id).execute()
    for link in GuestLink.select().where(GuestLink.token_sealed.is_null(False)):
        text = _anew(old, new, link.token_sealed or "", f"guest_link:{link.public_id}")
        if text:
            done += GuestLink.update(token_sealed=text).where(GuestLink.id == link.id).execute()
    for channel in AlertChannel.select():
        text = _anew(old, new, channel.sealed, f"alert_channel:{channel.public_id}")
        if text:
            done += AlertChannel.update(sealed=text).where(AlertChannel.id == channel.id).execute()
    for row in Setting.select().where(Setting.name % "oauth:*"):
        text = _anew(old, new, str(row.value.get("secret") or ""), row.name)
        if text:
            value = {**row.value, "secret": text}
            done += (
                Setting.update(value=value, updated_at=now())
                .where(Setting.name == row.name)
                .execute()
            )
    return done


def _anew(old: Vault, new: Vault, text: str, bound_to: str) -> str:
    if not text:
        return ""
    try:
        return new.encrypt(old.decrypt(text, bound_to=bound_to), bound_to=bound_to)
    except SettingsError:
        return ""


def forget() -> int:
    """Nobody has the key: sign-ins are given up; how many accounts have to be connected again."""
    GuestLink.update(token_sealed=None).execute()
    AlertChannel.delete().execute()
    Setting.delete().where(Setting.name % "oauth:*").execute()
    connected = Account.credentials.is_null(False) & Account.platform.not_in(BUILT_IN)
    return int(
        Account.update(credentials=None, state=AccountState.RECONNECT).where(connected).execute()
    )
