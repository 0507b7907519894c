"""Secrets at rest: AES-256-GCM under a key that isn't in the database.

The key comes from the setting ``credentials_key`` (installed: a systemd credential); in
development it is made once and kept in ``<data>/secret.key``. Each ciphertext is bound to the row
it belongs to, so two rows' secrets can't be swapped. Source: NIST SP 800-38D; robustness R27.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings

KEY_BYTES = 32
_NONCE_BYTES = 12


class Vault:
    """Encrypts with one key, and derives other keys (for signing links) from it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key
        self.key_id = hashlib.sha256(b"key id" + key).hexdigest()[:8]

    def encrypt(self, value: dict[str, Any], *, bound_to: str) -> str:
        """``value`` as text that only this key opens, and only for the row ``bound_to``."""
        nonce = os.urandom(_NONCE_BYTES)
        plain = json.dumps(value).encode()
        sealed = nonce + AESGCM(self._key).encrypt(nonce, plain, bound_to.encode())
        return f"{self.key_id}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, text: str, *, bound_to: str) -> dict[str, Any]:
        """The opposite. Raises SettingsError when the key is another one or the text was moved."""
        key_id, _, sealed_text = text.partition(":")
        try:
            sealed = base64.b64decode(sealed_text, validate=True)
            nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            plain = AESGCM(self._key).decrypt(nonce, body, bound_to.encode())
        except (InvalidTag, ValueError) as exc:  # ValueError: not even of the right form
            reason = "the key has changed" if key_id != self.key_id else "the row was tampered with"
            raise SettingsError(
                f"Stored credentials can't be opened: {reason}. Restore the credentials key "
                "that they were saved with, or connect the account again."
            ) from exc
        value: dict[str, Any] = json.loads(plain)
        return value

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for another purpose; knowing it tells nothing about the first."""
        return hmac.digest(self._key, purpose.encode(), "sha256")


def _make_key(path: Path) -> None:
    """Write a new key; of several that start together one wins and all use its key."""
    handle, aside = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # for us alone
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(32)))
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(aside, path)  # unlike a rename, never replaces
    os.unlink(aside)


def open_vault(settings: Settings) -> Vault:
    """The vault of this appliance. Raises as ``read_key``."""
    return Vault(read_key(settings))


def read_key(settings: Settings) -> bytes:
    """The key itself; makes ``secret.key`` on the first start in development.

    Raises SettingsError for a key that is no base64 of 32 bytes.
    """
    path = settings.data / "secret.key"
    if settings.credentials_key is not None:
        text, where = settings.credentials_key.get_secret_value(), "APPLIANCE_CREDENTIALS_KEY"
    else:
        if not path.exists():
            _make_key(path)
        text, where = path.read_text(errors="replace"), str(path)
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{where} must hold {KEY_BYTES} bytes, written as base64.")
    return key
