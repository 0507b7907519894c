"""Structured fields: the grammar that newer HTTP headers have in common.

Pure. What can't be parsed is None, because headers differ in what that means: some are then as
if they weren't there, others make a request unusable.
Source: RFC 9651, §4.2 (parsing).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

_SPACES = re.compile(r" *")
_OPTIONAL_SPACES = re.compile(r"[ \t]*")
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_DECIMAL = re.compile(r"-?[0-9]{1,12}\.[0-9]{1,3}(?![0-9.])")
_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_BOOLEAN = re.compile(r"\?([01])")
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
# Kinds that no header of ours has as its value, but any may have as a parameter.
_OTHERS = re.compile(
    r'"(?:[ !#-\[\]-~]|\\["\\])*"'  # string
    r"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*"  # token
    r"|@-?[0-9]{1,15}(?![0-9.])"  # date
    r'|%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'  # display string
)


@dataclass(frozen=True)
class Other:
    """A value of a kind that we only recognise, as it was written."""

    text: str


Bare = bool | int | float | bytes | Other
Value = Bare | tuple[Bare, ...]


class _Unparsable(Exception):
    pass


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def take(self, character: str) -> bool:
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    @property
    def ended(self) -> bool:
        return self.at == len(self.text)

    def key(self) -> str:
        if found := self.match(_KEY):
            return found[0]
        raise _Unparsable

    def bare_item(self) -> Bare:
        if found := self.match(_BOOLEAN):
            return found[1] == "1"
        if found := self.match(_INTEGER):
            return int(found[0])
        if found := self.match(_DECIMAL):
            return float(found[0])
        if found := self.match(_BYTES):
            return _decode(found[1])
        if found := self.match(_OTHERS):
            return Other(found[0])
        raise _Unparsable

    def item(self) -> Bare:
        """With its parameters, of which no header here defines any: they are read and dropped."""
        value = self.bare_item()
        self.parameters()
        return value

    def parameters(self) -> None:
        while self.take(";"):
            self.match(_SPACES)
            self.key()
            if self.take("="):
                self.bare_item()

    def member(self) -> Value:
        if not self.take("("):
            return self.item()
        found: list[Bare] = []
        while True:
            self.match(_SPACES)
            if self.take(")"):
                self.parameters()
                return tuple(found)
            found.append(self.item())
            if not self.text.startswith((" ", ")"), self.at):
                raise _Unparsable

    def dictionary(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while not self.ended:
            name = self.key()
            if self.take("="):
                found[name] = self.member()
            else:
                self.parameters()
                found[name] = True
            self.match(_OPTIONAL_SPACES)
            if self.ended:
                break
            if not self.take(","):
                raise _Unparsable
            self.match(_OPTIONAL_SPACES)
            if self.ended:
                raise _Unparsable  # a comma with nothing after it
        return found


def _decode(text: str) -> bytes:
    """Missing padding is forgiven, as the standard asks."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error as exc:
        raise _Unparsable from exc


def parse_item(lines: list[str]) -> Bare | None:
    """The value of an Item, None when there is none. ``lines``: all of the header's."""
    reader = _Reader(",".join(lines).strip(" "))
    try:
        value = reader.item()
    except _Unparsable:
        return None
    return value if reader.ended else None


def parse_dictionary(lines: list[str]) -> dict[str, Value] | None:
    """The members of a Dictionary; of a key that is there twice, the last. {} for no lines."""
    reader = _Reader(",".join(lines).strip(" "))
    try:
        return reader.dictionary()
    except _Unparsable:
        return None


def parse_boolean(lines: list[str]) -> bool | None:
    """None for every other kind of value."""
    value = parse_item(lines)
    return value if isinstance(value, bool) else None


def parse_count(lines: list[str]) -> int | None:
    """A non-negative Integer; None for every other value."""
    value = parse_item(lines)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value
