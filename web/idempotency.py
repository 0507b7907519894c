"""``Idempotency-Key``: a request that is sent twice does its work once.

The key, the work and the answer are one transaction, so two copies of a request that arrive
together wait for each other, and a crash leaves all or nothing. Source:
draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from appliance.db import transaction
from appliance.errors import InvalidInput
from appliance.models import IdempotencyKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.models import User

MAX_KEY_CHARS = 255


def read_key(header: str | None) -> str | None:
    """The key from the header's value, with or without its quotes; None when there is none.

    Raises InvalidInput.
    """
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise InvalidInput(
            f"Idempotency-Key takes 1 to {MAX_KEY_CHARS} printable ASCII characters.",
            code="idempotency_key",
        )
    return key


def fingerprint(operation: str, body: Any) -> str:
    """Of what is asked for; ``body`` is plain data."""
    text = json.dumps([operation, body], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def once(
    user: User, key: str | None, wanted: str, work: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """The answer of ``work``, and whether it is that of an earlier request with the same key.

    ``work`` runs in the transaction that remembers its answer; what it raises is not remembered,
    so a corrected request may use the key again. ``wanted``: the `fingerprint`. Raises
    InvalidInput when the key was used for another request.
    """
    if key is None:
        return work(), False
    with transaction():
        known = IdempotencyKey.get_or_none(IdempotencyKey.user == user, IdempotencyKey.key == key)
        if known is not None:
            if known.fingerprint != wanted:
                raise InvalidInput(
                    "This Idempotency-Key was used for another request. Use a new one for each "
                    "thing that you want done.",
                    code="idempotency_key_reused",
                )
            return dict(known.answer), True
        answer = work()
        IdempotencyKey.create(user=user, key=key, fingerprint=wanted, answer=answer)
    return answer, False
