"""Public ids: UUIDv7 written as 26 characters of Crockford base32, lower case.

Short enough for an address, sortable by the time of making, and without letters that people
mix up (no i, l, o, u). Source: RFC 9562 §5.7; Crockford, "Base 32".
"""

from __future__ import annotations

import re
import secrets

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PATTERN = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


def new_id() -> str:
    """A new id. Ids made later sort later (to the millisecond)."""
    number = uuid_utils.uuid7().int
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_id(text: str) -> bool:
    return PATTERN.fullmatch(text) is not None


def new_token() -> str:
    """A capability: 192 random bits as 32 characters that need no quoting in an address."""
    return secrets.token_urlsafe(24)
