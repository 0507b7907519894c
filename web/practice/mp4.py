"""A look at the boxes of an mp4, without decoding anything. Source: ISO/IEC 14496-12 §4.2."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER_BYTES = 16
# Real files have a handful at the top; a hostile one may have millions of empty ones.
MAX_BOXES = 64


@dataclass(frozen=True)
class Box:
    kind: str
    offset: int
    size: int


def walk(read: Callable[[int, int], bytes], size_bytes: int) -> list[Box]:
    """The boxes at the top, in order. ``read(offset, length)`` gives up to ``length`` bytes.

    Raises ValueError when it isn't an mp4, or a box reaches beyond the end.
    """
    boxes: list[Box] = []
    offset = 0
    while offset < size_bytes:
        if len(boxes) == MAX_BOXES:
            raise ValueError("it has too many boxes")
        header = read(offset, HEADER_BYTES)
        if len(header) < 8:
            raise ValueError("it ends in the middle of a box")
        size, kind = struct.unpack(">I4s", header[:8])
        if size == 1:
            if len(header) < 16:
                raise ValueError("it ends in the middle of a box")
            (size,) = struct.unpack(">Q", header[8:16])
        elif size == 0:
            size = size_bytes - offset
        if size < 8 or offset + size > size_bytes:
            raise ValueError("a box reaches beyond its end")
        boxes.append(Box(kind.decode("latin-1"), offset, size))
        offset += size
    return boxes


def complaint(boxes: list[Box]) -> str | None:
    """Why a platform wouldn't take it, in words; None when it would."""
    order = [box.kind for box in boxes]
    if not order or order[0] != "ftyp":
        return "it is no mp4"
    if "moov" not in order or "mdat" not in order:
        return "it has no index or no pictures"
    if order.index("moov") > order.index("mdat"):
        return "its index (moov) isn't at the front"
    return None


def complaint_of(place: Path) -> str | None:
    """The same about a file."""
    with place.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        try:
            return complaint(walk(read, place.stat().st_size))
        except ValueError as exc:
            return str(exc)
