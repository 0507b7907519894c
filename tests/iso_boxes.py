"""MP4 and MOV files taken apart and put together, independent of the code under test."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def boxes(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[str, int, int, int]]:
    """(type, start, body, end) of each box."""
    found, at = [], start
    end = len(data) if end is None else end
    while at < end:
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        found.append((kind.decode("latin1"), at, body, at + size))
        at += size
    return found


def top(data: bytes) -> dict[str, bytes]:
    return {kind: data[start:end] for kind, start, _body, end in boxes(data)}


def places(moov: bytes) -> list[int]:
    """Where the chunks of all tracks are."""
    found: list[int] = []
    for match in re.finditer(b"stco", moov):
        (count,) = struct.unpack_from(">I", moov, match.end() + 4)
        found += struct.unpack_from(f">{count}I", moov, match.end() + 8)
    return found


def shifted(moov: bytes, by: Callable[[int], int]) -> bytes:
    """The index with all 32-bit places of chunks changed by the function ``by``."""
    made = bytearray(moov)
    for match in re.finditer(b"stco", moov):
        (count,) = struct.unpack_from(">I", moov, match.end() + 4)
        for i in range(count):
            at = match.end() + 8 + 4 * i
            struct.pack_into(">I", made, at, by(struct.unpack_from(">I", moov, at)[0]))
    return bytes(made)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def index_last(clip: bytes, noise: bytes) -> bytes:
    """A clip whose index comes last, with ``noise`` in front of its media: as large as wanted."""
    parts = top(clip)
    before = clip.index(parts["mdat"])
    mdat = box(b"mdat", noise + parts["mdat"][8:])
    return clip[:before] + mdat + shifted(parts["moov"], lambda at: at + len(noise))
