"""Passwords at rest: argon2id. Source: OWASP Password Storage Cheat Sheet; RFC 9106."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from appliance.errors import InvalidInput

MIN_CHARS = 10
MAX_CHARS = 1000

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# 19 MiB each: a storm of sign-ins must not take the memory that encoding needs.
_at_once = threading.BoundedSemaphore(4)


def check_strength(password: str, *, field: str = "password") -> None:
    """Length is all that is asked for. Raises InvalidInput."""
    if len(password) < MIN_CHARS:
        raise InvalidInput(f"A password needs at least {MIN_CHARS} characters.", field=field)
    if len(password) > MAX_CHARS:
        raise InvalidInput(f"A password has at most {MAX_CHARS:,} characters.", field=field)


def hash_password(password: str) -> str:
    with _at_once:
        return _hasher.hash(password)


def verify(password: str, stored: str | None) -> bool:
    """Whether they belong together. Takes as long for None, so that time tells nothing."""
    if len(password) > MAX_CHARS:
        return False
    with _at_once:
        try:
            return _hasher.verify(stored or _nobodys_hash(), password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(stored: str) -> bool:
    """Whether it was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody has this password")
