"""The recovery key: written down by a person, it opens the secrets of every backup elsewhere.

Made once and shown once. The box keeps only what it needs to seal *for* it: a public X25519 key,
whose private half comes from the key by scrypt. So backups are sealed each night without the key
being anywhere on the box. Sealing: an ephemeral X25519 key, HKDF-SHA256, AES-256-GCM.
Source: RFC 7748, RFC 7914, RFC 5869, NIST SP 800-38D.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.errors import InvalidInput

# Crockford's letters: none that people mix up.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOK_ALIKE = str.maketrans("OIL", "011")
_RANDOM_CHARS = 32  # five bits each: 160
_CHECK_CHARS = 3
_GROUP = 5
_ZERO_NONCE = bytes(12)  # each content key seals one message only
WRONG = "This is not the recovery key that this backup was made with. Look for the right one."


@dataclass(frozen=True)
class Verifier:
    """What the box keeps: enough to seal, and to say whether a key is the right one."""

    salt: str
    public: str

    @property
    def id(self) -> str:
        """A short name, to tell keys apart."""
        return hashlib.sha256(f"{self.salt}{self.public}".encode()).hexdigest()[:8]


def make() -> tuple[str, Verifier]:
    """A new key, as people write it down, and what the box keeps of it."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    text = body + _check(body)
    key = "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))
    salt = _text(os.urandom(16))
    public = _private(key, salt).public_key().public_bytes_raw()
    return key, Verifier(salt, _text(public))


def fits(key: str, verifier: Verifier) -> bool:
    """Raises InvalidInput for what is no key at all."""
    return _text(_private(key, verifier.salt).public_key().public_bytes_raw()) == verifier.public


def seal(value: dict[str, Any], verifier: Verifier, *, bound_to: str) -> dict[str, str]:
    """``value``, for the holder of the key alone; ``bound_to``: the name of the backup."""
    ephemeral = X25519PrivateKey.generate()
    public = X25519PublicKey.from_public_bytes(_bytes(verifier.public))
    own = ephemeral.public_key().public_bytes_raw()
    content_key = _derive(ephemeral.exchange(public), own)
    sealed = AESGCM(content_key).encrypt(_ZERO_NONCE, json.dumps(value).encode(), bound_to.encode())
    return {
        "salt": verifier.salt,
        "public": verifier.public,
        "ephemeral": _text(own),
        "sealed": _text(sealed),
    }


def open_sealed(box: dict[str, Any], key: str, *, bound_to: str) -> dict[str, Any]:
    """The opposite. Raises InvalidInput (field "recovery_key") for a wrong key or a changed box."""
    try:
        private = _private(key, str(box["salt"]))
        if _text(private.public_key().public_bytes_raw()) != box["public"]:
            raise InvalidInput(WRONG, field="recovery_key", code="wrong_recovery_key")
        own = _bytes(box["ephemeral"])
        shared = private.exchange(X25519PublicKey.from_public_bytes(own))
        plain = AESGCM(_derive(shared, own)).decrypt(
            _ZERO_NONCE, _bytes(box["sealed"]), bound_to.encode()
        )
    except (InvalidTag, ValueError, KeyError, TypeError) as exc:
        raise InvalidInput(
            "The secrets of this backup were changed since it was made.", field="recovery_key"
        ) from exc
    value: dict[str, Any] = json.loads(plain)
    return value


def _private(key: str, salt: str) -> X25519PrivateKey:
    kdf = Scrypt(salt=_bytes(salt), length=32, n=2**15, r=8, p=1)
    return X25519PrivateKey.from_private_bytes(kdf.derive(_cleaned(key).encode()))


def _cleaned(key: str) -> str:
    """As it was made, however it was typed: in any case, with or without dashes of any length."""
    text = "".join(filter(str.isalnum, key)).upper().translate(_LOOK_ALIKE)
    body, check = text[:_RANDOM_CHARS], text[_RANDOM_CHARS:]
    if not set(text) <= set(_ALPHABET) or len(text) != _RANDOM_CHARS + _CHECK_CHARS:
        raise InvalidInput(
            "A recovery key has seven groups of five letters and digits.",
            field="recovery_key",
            code="wrong_recovery_key",
        )
    if check != _check(body):
        raise InvalidInput(
            "A letter of the recovery key is wrong. Compare it with what was written down.",
            field="recovery_key",
            code="wrong_recovery_key",
        )
    return body


def _check(body: str) -> str:
    number = int.from_bytes(hashlib.sha256(body.encode()).digest()[:4])
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in range(_CHECK_CHARS))


def _derive(shared: bytes, ephemeral: bytes) -> bytes:
    kdf = HKDF(hashes.SHA256(), length=32, salt=ephemeral, info=b"appliance backup secrets")
    return kdf.derive(shared)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(value: str) -> bytes:
    return base64.b64decode(value, validate=True)
