"""The cookie of a guest: who they said they are, and until when they may send by one link.

It is no sign-in: it holds for the pages of this link alone, and opens nothing but an address for
one file at a time. Nothing of it is kept on the box. After ``ENTERED_FOR`` a guest gives the
password again; the name, and what they have sent, is remembered on their device.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from litestar.datastructures import Cookie

from appliance.clock import now
from appliance.guest_links import PREFIX
from appliance.ids import PATTERN as ID
from appliance.ids import new_id

if TYPE_CHECKING:
    from appliance.models import GuestLink
    from appliance.settings import Settings
    from appliance.vault import Vault

ENTERED_FOR = timedelta(hours=12)
REMEMBERED_FOR = timedelta(days=180)
MAX_NAME_BYTES = 80

_VALUE = re.compile(
    rf"({ID.pattern})\.([0-9a-f]{{1,10}})\.([A-Za-z0-9_-]{{8}})\.([A-Za-z0-9_-]{{2,120}})"
    r"\.([A-Za-z0-9_-]{32})"
)


@dataclass(frozen=True)
class Guest:
    """``form_key``: what the form without script carries in its address, instead of a token."""

    guest_id: str
    name: str
    entered: bool
    form_key: str


def enter(link: GuestLink, name: str, before: Guest | None, vault: Vault) -> str:
    """The cookie's value for a guest who has given name and password."""
    until_s = int((now() + ENTERED_FOR).timestamp())
    guest_id = before.guest_id if before is not None else new_id()
    text = f"{guest_id}.{until_s:x}.{_proof(link, vault)}.{_encode(name.encode())}"
    return f"{text}.{_mac(vault, link, 'guest', text)}"


def read(value: str, link: GuestLink, vault: Vault) -> Guest | None:
    """Who it is; None for what we did not sign, or for another link."""
    match = _VALUE.fullmatch(value)
    if match is None:
        return None
    guest_id, until, proof, name, mac = match.groups()
    text = value.rpartition(".")[0]
    if not hmac.compare_digest(mac, _mac(vault, link, "guest", text)):
        return None
    fresh = datetime.fromtimestamp(int(until, 16), UTC) > now()
    knows = hmac.compare_digest(proof, _proof(link, vault))
    return Guest(
        guest_id=guest_id,
        name=base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode(),
        entered=fresh and knows,
        form_key=_mac(vault, link, "guest form", text),
    )


def _proof(link: GuestLink, vault: Vault) -> str:
    """Another password, and all have to give it."""
    return _mac(vault, link, "guest password", link.password_hash or "")[:8]


def _mac(vault: Vault, link: GuestLink, purpose: str, text: str) -> str:
    signed = f"{link.public_id}.{text}".encode()
    return _encode(hmac.digest(vault.derive(purpose), signed, "sha256")[:24])


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def cookie_name(settings: Settings) -> str:
    """Not ``__Host-``: that one is for all paths, and this is for the pages of one link."""
    return "__Secure-guest" if settings.https else "guest"


def cookie(value: str, token: str, settings: Settings) -> Cookie:
    """``value`` "": take it back."""
    return Cookie(
        key=cookie_name(settings),
        value=value,
        path=f"{PREFIX}/{token}",
        httponly=True,
        secure=settings.https,
        samesite="lax",
        max_age=int(REMEMBERED_FOR.total_seconds()) if value else 0,
    )
