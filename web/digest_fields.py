"""Digests that a sender gives with its bytes: ``Content-Digest`` and ``Repr-Digest``.

Of the algorithms of the standard, sha-256 and sha-512 are checked; a digest by another one alone
is as if it weren't there, which the standard allows. What is no digest at all is refused: who
sends one wants it checked.
Source: RFC 9530.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from storage.uploads import DigestMismatch
from web.structured_fields import parse_dictionary
from web.upload_requests import Refused

if TYPE_CHECKING:
    from web.upload_requests import Request

_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}


class ContentDigest:
    """Looks at the bytes of one request (``storage.uploads.Digest``). ``wanted``: by algorithm."""

    def __init__(self, wanted: dict[str, bytes]) -> None:
        self._wanted = wanted
        self._hashes = {name: hashlib.new(_ALGORITHMS[name]) for name in wanted}

    def update(self, chunk: bytes | memoryview, /) -> None:
        for found in self._hashes.values():
            found.update(chunk)

    def check(self) -> None:
        """Raises DigestMismatch."""
        for name, found in self._hashes.items():
            if found.digest() != self._wanted[name]:
                raise DigestMismatch(
                    f"What arrived has another {name} than Content-Digest says, so none of it "
                    "was kept. Send it again."
                )


def content_digest(request: Request) -> ContentDigest | None:
    """What the body of this request must be; None when nobody says. Raises Refused."""
    wanted = _read(request, "Content-Digest")
    return ContentDigest(wanted) if wanted else None


def whole_sha256(request: Request) -> str | None:
    """``Repr-Digest``: the sha-256 of the whole file, in hex. Raises Refused.

    Only this algorithm: it is the one that the box has of every file.
    """
    wanted = _read(request, "Repr-Digest").get("sha-256")
    return None if wanted is None else wanted.hex()


def _read(request: Request, name: str) -> dict[str, bytes]:
    members = parse_dictionary(request.headers.getall(name, []))
    if members is None:
        raise Refused(400, f"{name} can't be read; it looks like “sha-256=:…:”.")
    wanted: dict[str, bytes] = {}
    for algorithm in _ALGORITHMS.keys() & members.keys():
        value = members[algorithm]
        size = hashlib.new(_ALGORITHMS[algorithm]).digest_size
        if not isinstance(value, bytes) or len(value) != size:
            raise Refused(400, f"{name}: {algorithm} has {size} bytes, in base64 between colons.")
        wanted[algorithm] = value
    return wanted
