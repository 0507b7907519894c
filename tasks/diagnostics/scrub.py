"""Take out of a text what would let somebody in, and who people are. Pure, but for `secrets_of`.

Taken out rather too much than too little: what is long and without sense to a reader (a token, a
key, a digest) goes, whatever it was.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from appliance.models import Account, AlertChannel, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.settings import Settings

GONE = "[removed]"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Addresses that let somebody in: web/request_log.py has the same list.
    (
        re.compile(r"(/+(?:files|public|setup|invite|reset|upload|send)/+)[^\s\"'<>?#]+"),
        rf"\1{GONE}",
    ),
    # Who it is, and what they know, in an address.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@"), rf"\1{GONE}@"),
    # The query of an address.
    (re.compile(r"(\bhttps?://[^\s\"'<>?]+\?)[^\s\"'<>]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"), rf"\1 {GONE}"),
    (
        re.compile(
            r"(?i)([\"']?\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|credentials?|cookie"
            r"|authorization|signature)[\"']?\s*[=:]\s*[\"']?)(?!\[removed\]|null|true|false"
            r"|\"set\"|set\b|not set)[^\s\"',;&}]+"
        ),
        rf"\1{GONE}",
    ),
    # Of a unit of ours the name has the form of an address.
    (
        re.compile(
            r"(?<![\w.+%-])(?!appliance-(?:worker|sandbox)@[\w-]+\.service\b)"
            r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"
        ),
        GONE,
    ),
    # What people called things stands in these quotes, in all sentences of ours.
    (re.compile(r"“[^”\n]{1,500}”"), f"“{GONE}”"),
    (re.compile(r"(?<![\w/.-])ma_[A-Za-z0-9_-]{8,}"), GONE),
    # Tokens, keys, digests.
    (re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/]{40,}={1,2}"), GONE),
    (re.compile(r"(?<![\w+/=-])[A-Za-z0-9_+=-]{32,}(?![\w+/=-])"), GONE),
)


def scrub(text: str, words: Iterable[str] = ()) -> str:
    """``words``: secrets and names of this box, wherever they stand; short ones as whole words."""
    for word in sorted({word for word in words if len(word) >= 2}, key=len, reverse=True):
        if len(word) >= 4:
            text = text.replace(word, GONE)
        else:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", GONE, text)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def scrub_all(value: Any, words: Sequence[str]) -> Any:
    """The same for all texts within ``value``, which is plain data."""
    if isinstance(value, dict):
        return {key: scrub_all(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub_all(item, words) for item in value]
    return scrub(value, words) if isinstance(value, str) else value


def secrets_of(settings: Settings) -> list[str]:
    """The values of secret settings, in whole and in parts (an address has several)."""
    key = settings.data / "secret.key"
    found = [key.read_text().strip()] if os.access(key, os.R_OK) else []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            whole = value.get_secret_value()
            parts = re.split(r"[\s/?&=@:,;]+", re.sub(r"\b\w+://", " ", whole))
            found += [whole, *(part for part in parts if len(part) >= 6)]
    return found


def names_of_people() -> list[str]:
    """As they stand in rows. Wants a connection."""
    rows = [*User.select(User.name), *Account.select(Account.name)]
    return [row.name for row in (*rows, *AlertChannel.select(AlertChannel.name)) if row.name]
