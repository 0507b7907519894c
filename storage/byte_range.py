"""Which part of a file a request asks for: pure, from headers and the file's size.

Source: RFC 9110 §13 (preconditions) and §14 (ranges).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# More digits than any file size has; longer ones are cut to it, and to no number of 5,000 digits.
_MAX_DIGITS = 18
_UNIT = re.compile(r"bytes[ \t]*=[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
_ONE = re.compile(r"([0-9]*)-([0-9]*)")
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@dataclass(frozen=True)
class Slice:
    """Bytes ``start`` up to, not including, ``stop``."""

    start: int
    stop: int


class Unsatisfiable:
    """The range lies outside of the file: 416."""


def parse_range(header: str | None, size: int) -> Slice | Unsatisfiable | None:
    """What ``Range`` asks for of a file of ``size`` bytes; None: the whole file.

    A header that can't be read is ignored, as the RFC wants it. So are several ranges at once:
    the whole file holds them all, and no player needs them.
    """
    unit = _UNIT.fullmatch(header.strip()) if header else None
    one = _ONE.fullmatch(unit[1].strip()) if unit else None
    if one is None or one[0] == "-":
        return None
    if not one[1]:
        wanted = _number(one[2])
        return Slice(max(0, size - wanted), size) if wanted and size else Unsatisfiable()
    first = _number(one[1])
    last = _number(one[2]) if one[2] else size - 1
    if one[2] and last < first:
        return None
    if first >= size:
        return Unsatisfiable()
    return Slice(first, min(last, size - 1) + 1)


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def range_applies(if_range: str | None, etag: str) -> bool:
    """Whether ``Range`` counts: the asker still holds this very version of the file.

    Only a strong tag says so; a date never does (we send none), nor does a weak tag.
    """
    return if_range is None or if_range.strip() == etag


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the asker has this version already (weak comparison): 304."""
    return if_none_match is not None and _lists(if_none_match, etag, weakly=True)


def is_other(if_match: str | None, etag: str) -> bool:
    """Whether the asker insists on another version (strong comparison): 412."""
    return if_match is not None and not _lists(if_match, etag, weakly=False)


def _lists(header: str, etag: str, *, weakly: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(header))
