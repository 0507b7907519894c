"""The recovery key's verifier and the choice of how many backups stay: rows of the box.

Functions want an open connection.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from appliance import access, events, kept
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Role
from storage.backups import recovery_key
from storage.backups.keeping import Keep
from storage.backups.recovery_key import Verifier

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings

_KEY = "recovery_key"
_KEEP = "backup_keep"
_MOST = {"daily": 366, "weekly": 520, "monthly": 240}
_LEAST = {"daily": 1, "weekly": 0, "monthly": 0}


@dataclass(frozen=True)
class KnownKey:
    """``id`` tells keys apart; ``made_at``: when it was shown."""

    verifier: Verifier
    made_at: datetime

    @property
    def id(self) -> str:
        return self.verifier.id


def known_key() -> KnownKey | None:
    """What the box keeps of its recovery key; None: none was made."""
    value = kept.read(_KEY)
    if not value:
        return None
    verifier = Verifier(salt=value["salt"], public=value["public"])
    return KnownKey(verifier, datetime.fromisoformat(value["made_at"]))


def make_key(actor: User | None, *, replace: bool = False) -> str:
    """A new recovery key, to be shown this once. ``actor`` None: at the box's shell.

    Raises Forbidden, and Conflict when there is one already and ``replace`` isn't said.
    """
    if actor is not None:
        access.require(actor, Role.ADMIN)
    key, verifier = recovery_key.make()
    with transaction():
        before = known_key()
        if before is not None and not replace:
            raise Conflict(
                "There is a recovery key already, and it can't be shown again. Make a new one if "
                "it is lost: backups made before go on needing the old one.",
                code="key_exists",
            )
        kept.write(_KEY, {**asdict(verifier), "made_at": now().isoformat()})
        events.audit(actor, "backup.key", id=verifier.id, before=before.id if before else None)
    return key


@dataclass(frozen=True)
class Keeping:
    """``fixed``: names of those that the settings of the box say, so that no page changes them."""

    keep: Keep
    fixed: frozenset[str]


def keeping(settings: Settings) -> Keeping:
    said = {name: getattr(settings, f"backup_keep_{name}") for name in _MOST}
    fixed = {name: value for name, value in said.items() if value is not None}
    return Keeping(Keep(**{**kept.read(_KEEP), **fixed}), frozenset(fixed))


def choose_keeping(settings: Settings, actor: User, **wanted: int) -> Keep:
    """Raises Forbidden, InvalidInput, and Conflict for what the settings of the box say."""
    access.require(actor, Role.ADMIN)
    for name, value in wanted.items():
        if type(value) is not int or not _LEAST[name] <= value <= _MOST[name]:
            raise InvalidInput(f"Write a number from {_LEAST[name]} to {_MOST[name]}.", field=name)
    with transaction():
        now_kept = keeping(settings)
        for name in now_kept.fixed & set(wanted):
            if wanted[name] != getattr(now_kept.keep, name):
                raise Conflict(
                    f"The box's own settings say it (APPLIANCE_BACKUP_KEEP_{name.upper()}). Take "
                    "that out and start it again to choose here.",
                    code="fixed_by_settings",
                )
        keep = Keep(**{**asdict(now_kept.keep), **wanted})
        kept.write(_KEEP, asdict(keep))
        events.audit(actor, "backup.keep", **asdict(keep))
    return keep
