"""``Upload-Checksum``: is the body of one request what its sender has?

Source: tus 1.0.0, "Checksum". It doesn't say how a CRC-32 becomes bytes: it is taken as four bytes,
the highest first, as in the x-amz-checksum-crc32 of S3 and the crc32c of Google Cloud Storage.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import zlib
from typing import TYPE_CHECKING, Protocol

from appliance.errors import InvalidInput
from storage.uploads import DigestMismatch

if TYPE_CHECKING:
    from collections.abc import Callable


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# Against damage on the way, not against anybody: sha1 and md5 are good enough for that.
ALGORITHMS: dict[str, Callable[[], _Hash]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": _Crc32,
}
_FORM = re.compile(r"([^ ]+) ([^ ]+)")


class Checksum:
    """What one request's body must have (storage.uploads.Digest)."""

    def __init__(self, algorithm: str, wanted: bytes) -> None:
        self._hash = ALGORITHMS[algorithm]()
        self._wanted = wanted

    def update(self, chunk: bytes | memoryview, /) -> None:
        self._hash.update(chunk)

    def check(self) -> None:
        """Raises DigestMismatch."""
        if not hmac.compare_digest(self._hash.digest(), self._wanted):
            raise DigestMismatch(
                "The checksum of these bytes is another one: something changed them on the way. "
                "None of them was kept; send them again."
            )


def parse_checksum(text: str) -> Checksum:
    """``"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="``. Raises InvalidInput."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput(
            "Upload-Checksum must be the name of an algorithm, a blank, and the sum in base64."
        )
    algorithm, encoded = match[1], match[2]
    if algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise InvalidInput(f"Upload-Checksum: this server knows {known}, and no other algorithm.")
    try:
        wanted = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise InvalidInput("Upload-Checksum: the sum is no base64.") from exc
    size = len(ALGORITHMS[algorithm]().digest())
    if len(wanted) != size:
        raise InvalidInput(f"Upload-Checksum: a {algorithm} has {size} bytes, not {len(wanted)}.")
    return Checksum(algorithm, wanted)
