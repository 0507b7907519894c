"""The ways to reach an admin: addresses in Apprise's words, such as ``ntfys://ntfy.sh/topic``.

An address holds passwords, so it goes in and never comes out again but to who sends: its row is
sealed, pages and the API show the service and the name. Further addresses can stand in the
setting ``alert_urls``; those get everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance import events, kept
from appliance.alerts import KINDS, service_of
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.ids import new_id
from appliance.models import AlertChannel
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import User
    from appliance.settings import Settings
    from appliance.vault import Vault

MOST = 20
MAX_NAME_BYTES = 100
# Channels of the setting: "settings-1", "settings-2" …
FROM_SETTINGS = "settings-"
_FIXED = "alert_channels_fixed"


@dataclass(frozen=True)
class Channel:
    """As pages may know it; ``kinds`` () means all. ``error``: why the last message failed."""

    id: str
    name: str
    service: str
    kinds: tuple[str, ...]
    enabled: bool
    error: str
    sent_at: datetime | None
    fixed: bool

    def wants(self, kind: str) -> bool:
        return self.enabled and (not self.kinds or kind in self.kinds)


@dataclass(frozen=True)
class Reach:
    """A channel with its address, for who sends. ``address`` never in a ``repr``."""

    id: str
    address: str = field(repr=False)


def addresses_of(settings: Settings) -> list[str]:
    """Those of the setting."""
    kept = settings.alert_urls
    return kept.get_secret_value().split() if kept is not None else []


def channels(settings: Settings) -> list[Channel]:
    """All of them, those of the setting last. Wants a connection."""
    rows = [describe(row) for row in AlertChannel.select().order_by(AlertChannel.id)]
    services = [service_of(address) for address in addresses_of(settings)]
    services = services or kept.read(_FIXED).get("services", [])
    return rows + [_fixed(number, service) for number, service in enumerate(services, start=1)]


def note_fixed(settings: Settings) -> None:
    """Of an installed box only the delivery worker is given the setting: so it tells the others
    which services it names. Wants a connection."""
    services = [service_of(address) for address in addresses_of(settings)]
    if services != kept.read(_FIXED).get("services", []):
        kept.write(_FIXED, {"services": services})


def _numbered(settings: Settings) -> list[tuple[int, str]]:
    return list(enumerate(addresses_of(settings), start=1))


def _fixed(number: int, service: str) -> Channel:
    name = f"Setting alert_urls, {number}"
    return Channel(f"{FROM_SETTINGS}{number}", name, service, (), True, "", None, fixed=True)


def describe(row: AlertChannel) -> Channel:
    return Channel(
        id=row.public_id,
        name=row.name,
        service=row.service,
        kinds=tuple(row.kinds),
        enabled=row.enabled,
        error=row.error or "",
        sent_at=row.sent_at,
        fixed=False,
    )


def reach(settings: Settings, vault: Vault, channel_id: str) -> Reach:
    """Raises NotFound; SettingsError when the key has changed."""
    for number, address in _numbered(settings):
        if channel_id == f"{FROM_SETTINGS}{number}":
            return Reach(channel_id, address)
    row = get(channel_id)
    opened = vault.decrypt(row.sealed, bound_to=_bound_to(row.public_id))
    return Reach(channel_id, str(opened["address"]))


def get(channel_id: str) -> AlertChannel:
    """Raises NotFound; for those of the setting, too."""
    row: AlertChannel | None = AlertChannel.get_or_none(AlertChannel.public_id == channel_id)
    if row is None:
        raise NotFound("There is no such channel.")
    return row


def require(settings: Settings, channel_id: str) -> Channel:
    """Those of the setting, too. Raises NotFound. Wants a connection."""
    for channel in channels(settings):
        if channel.id == channel_id:
            return channel
    raise NotFound("There is no such channel.")


def add(
    vault: Vault, *, name: str, address: str, kinds: Sequence[str] = (), actor: User | None
) -> AlertChannel:
    """``address`` was looked at by tasks/alerting/addresses.py. ``kinds`` () means all.

    Raises InvalidInput (fields "name", "kinds"), Conflict when there are too many.
    """
    name, wanted = _name(name), _kinds(kinds)
    public_id = new_id()
    with transaction():
        if AlertChannel.select().count() >= MOST:
            raise Conflict(f"There are {MOST} channels already. Remove one first.")
        row: AlertChannel = AlertChannel.create(
            public_id=public_id,
            name=name,
            service=service_of(address),
            sealed=vault.encrypt({"address": address}, bound_to=_bound_to(public_id)),
            kinds=wanted,
        )
        _tell(row, "alert_channel.added", actor)
    return row


def change(
    vault: Vault,
    row: AlertChannel,
    *,
    actor: User | None,
    name: str | None = None,
    address: str | None = None,
    kinds: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> None:
    """What is None stays. Raises InvalidInput as `add`."""
    columns: dict[str, Any] = {}
    if name is not None:
        columns["name"] = _name(name)
    if kinds is not None:
        columns["kinds"] = _kinds(kinds)
    if enabled is not None:
        columns["enabled"] = enabled
    if address is not None:
        columns["sealed"] = vault.encrypt({"address": address}, bound_to=_bound_to(row.public_id))
        columns |= {"service": service_of(address), "error": None}
    if not columns:
        return
    with transaction():
        AlertChannel.update(**columns).where(AlertChannel.id == row.id).execute()
        _tell(row, "alert_channel.changed", actor)


def remove(row: AlertChannel, *, actor: User | None) -> None:
    with transaction():
        AlertChannel.delete().where(AlertChannel.id == row.id).execute()
        _tell(row, "alert_channel.removed", actor)


def note_sent(channel_id: str, *, error: str | None, at: datetime) -> None:
    """What became of a message. Of a channel that is gone, or of the setting, nothing is kept."""
    columns: dict[str, Any] = {"error": error}
    if error is None:
        columns["sent_at"] = at
    with transaction():
        AlertChannel.update(**columns).where(AlertChannel.public_id == channel_id).execute()
        word = "alert_channel.sent" if error is None else "alert_channel.failed"
        events.record(word, f"alert_channel:{channel_id}", admins_only=True, error=error)


def _tell(row: AlertChannel, word: str, actor: User | None) -> None:
    subject = f"alert_channel:{row.public_id}"
    events.record(word, subject, admins_only=True, actor_id=actor.id if actor else None)
    events.audit(actor, word, subject, name=row.name, service=row.service)


def _name(name: str) -> str:
    cleaned = clean_line(name, max_bytes=MAX_NAME_BYTES)
    if not cleaned:
        raise InvalidInput("Give it a name, such as “Mail to the team”.", field="name")
    return cleaned


def _kinds(kinds: Sequence[str]) -> list[str]:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InvalidInput(
            f"“{unknown[0][:60]}” is no kind of alert. There are: {', '.join(KINDS)}.",
            field="kinds",
        )
    return [kind for kind in KINDS if kind in kinds]


def _bound_to(public_id: str) -> str:
    return f"alert_channel:{public_id}"
