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
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings

_NONCE_BYTES = 12


class Vault:
    """Encrypts with one key, and derives other keys (for signing links) from it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise SettingsError("APPLIANCE_CREDENTIALS_KEY must be 32 bytes, written as base64.")
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
        sealed = base64.b64decode(sealed_text)
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            plain = AESGCM(self._key).decrypt(nonce, body, bound_to.encode())
        except InvalidTag as exc:
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
    """Write a new key; of two processes that start together one wins and both use its key."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(32)))
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(aside, path)  # unlike a rename, never replaces
    aside.unlink()


def open_vault(settings: Settings) -> Vault:
    """The vault of this appliance; makes ``secret.key`` on the first start in development.

    Raises SettingsError for a key that is no base64 of 32 bytes.
    """
    if settings.credentials_key is not None:
        text = settings.credentials_key.get_secret_value()
    else:
        path = settings.data / "secret.key"
        if not path.exists():
            _make_key(path)
        text = path.read_text()
    try:
        return Vault(base64.b64decode(text, validate=True))
    except ValueError as exc:
        raise SettingsError(
            "APPLIANCE_CREDENTIALS_KEY must be 32 bytes, written as base64."
        ) from exc
