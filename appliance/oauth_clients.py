"""The box's own identity at Google and Meta: client id and secret, from the settings or entered.

A secret goes in and never comes out again but to the delivery worker: no page, event or answer of
the API has it. Rows "oauth:google" and "oauth:meta" of the settings; the secret in them is sealed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from appliance import events, kept
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Setting

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings
    from appliance.vault import Vault

Provider = Literal["google", "meta"]
PROVIDERS: tuple[Provider, ...] = ("google", "meta")
# The stand-ins on this box know nobody else; nothing about it is secret.
PRACTICE_ID = {"google": "practice.apps.googleusercontent.com", "meta": "1000000000000001"}
PRACTICE_SECRET = "practice"

_FORM = {
    "google": (
        re.compile(r"[A-Za-z0-9_-]{1,200}\.apps\.googleusercontent\.com"),
        "A client id of Google ends with .apps.googleusercontent.com. Copy it from Google Auth "
        "platform → Clients.",
    ),
    "meta": (
        re.compile(r"[0-9]{5,32}"),
        "An app id of Meta has digits only. Copy it from App settings → Basic.",
    ),
}
_SECRET = re.compile(r"[\x21-\x7e]{8,300}")
_NAMES = {
    "google": ("google_client_id", "google_client_secret"),
    "meta": ("facebook_app_id", "facebook_app_secret"),
}


@dataclass(frozen=True)
class Client:
    """``secret`` never in a ``repr``."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class About:
    """What pages may know. ``source``: "settings", "entered" or "" (there is none)."""

    id: str = ""
    has_secret: bool = False
    source: str = ""
    saved_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        return bool(self.id) and self.has_secret


def describe(settings: Settings, provider: Provider) -> About:
    """Wants a connection. The settings win over what was entered."""
    id_name, secret_name = _NAMES[provider]
    set_id: str = getattr(settings, id_name)
    if set_id:
        return About(set_id, getattr(settings, secret_name) is not None, "settings")
    row = _row(provider)
    if row is None or not row.value.get("id"):
        return About()
    return About(str(row.value["id"]), bool(row.value.get("secret")), "entered", row.updated_at)


def id_of(settings: Settings, provider: Provider, *, practice: bool) -> str:
    """The public half, which the platform's sign-in page is asked with; "": there is none."""
    return PRACTICE_ID[provider] if practice else describe(settings, provider).id


def client_of(
    settings: Settings, vault: Vault, provider: Provider, *, practice: bool
) -> Client | None:
    """Both halves; None: they aren't complete. Raises SettingsError when the key has changed."""
    if practice:
        return Client(PRACTICE_ID[provider], PRACTICE_SECRET)
    id_name, secret_name = _NAMES[provider]
    if set_id := getattr(settings, id_name):
        secret = getattr(settings, secret_name)
        return Client(set_id, secret.get_secret_value()) if secret else None
    row = _row(provider)
    if row is None or not row.value.get("id") or not row.value.get("secret"):
        return None
    sealed = vault.decrypt(row.value["secret"], bound_to=_name(provider))
    return Client(str(row.value["id"]), str(sealed["secret"]))


def keep(
    settings: Settings,
    vault: Vault,
    provider: Provider,
    *,
    id: str,
    secret: str,
    actor: User | None,
) -> None:
    """Write it down. An empty ``secret`` keeps the one that is there, for the same id.

    Raises InvalidInput (fields "client_id", "client_secret"), and Conflict where the settings of
    the box say it.
    """
    id, secret = id.strip(), secret.strip()
    pattern, sentence = _FORM[provider]
    if not pattern.fullmatch(id):
        raise InvalidInput(sentence, field="client_id")
    if secret and not _SECRET.fullmatch(secret):
        raise InvalidInput(
            "A secret has 8 characters or more and no spaces. Copy all of it.",
            field="client_secret",
        )
    with transaction():
        _refuse_if_set(settings, provider)
        row = _row(provider)
        before: dict[str, Any] = dict(row.value) if row is not None else {}
        sealed = before.get("secret") if before.get("id") == id else None
        if secret:
            sealed = vault.encrypt({"secret": secret}, bound_to=_name(provider))
        if not sealed:
            raise InvalidInput("Enter the secret that belongs to this id.", field="client_secret")
        kept.write(_name(provider), {"id": id, "secret": sealed})
        events.audit(actor, "client.change", f"client:{provider}", client_id=id)


def forget(settings: Settings, provider: Provider, *, actor: User | None) -> None:
    """Raises Conflict where the settings of the box say it."""
    with transaction():
        _refuse_if_set(settings, provider)
        if Setting.delete().where(Setting.name == _name(provider)).execute():
            events.audit(actor, "client.forget", f"client:{provider}")


def _refuse_if_set(settings: Settings, provider: Provider) -> None:
    name = _NAMES[provider][0]
    if getattr(settings, name):
        raise Conflict(
            f"The box's settings say it (APPLIANCE_{name.upper()}). Change it there.",
            code="set_elsewhere",
        )


def _row(provider: str) -> Setting | None:
    return Setting.get_or_none(Setting.name == _name(provider))


def _name(provider: str) -> str:
    return f"oauth:{provider}"
