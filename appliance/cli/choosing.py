"""Which files somebody means: files, folders, patterns; in folders only what is a video.

In folders and for patterns a file counts when both its name and its first bytes are a video's:
cameras put small previews (.lrv), pictures and indexes beside their films.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENDINGS = frozenset(
    (
        *(".3g2", ".3gp", ".avi", ".divx", ".f4v", ".flv", ".m2t", ".m2ts", ".m4v", ".mkv", ".mov"),
        *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"),
    )
)
_SNIFFED_BYTES = 400

# What videos begin with. Sources: ISO 14496-12 (boxes), QuickTime, EBML, RIFF, ASF, FLV, Ogg,
# MPEG-1/2 (pack and sequence headers), SMPTE 377 (MXF).
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_STARTS = (
    b"\x1a\x45\xdf\xa3",
    b"FLV\x01",
    b"OggS",
    b"\x00\x00\x01\xba",
    b"\x00\x00\x01\xb3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",
)
_SYNC = 0x47  # of each packet of an MPEG transport stream
_PACKETS = ((0, 188), (4, 192))  # first sync byte, distance: plain, and of cameras


@dataclass(frozen=True)
class Skipped:
    path: Path
    why: str


@dataclass
class Choice:
    """``files`` in the order in which they go, each once; ``missing``: sentences."""

    files: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    missing: list[Skipped] = field(default_factory=list)


def choose(words: Sequence[str]) -> Choice:
    """What the words of a command line mean. A file that is named itself goes whatever it holds."""
    choice = Choice()
    seen: set[str] = set()

    def take(path: Path, *, named: bool) -> None:
        real = os.path.realpath(path)
        if real in seen:
            return
        seen.add(real)
        why = "" if named else why_not(path)
        if why:
            choice.skipped.append(Skipped(path, why))
        else:
            choice.files.append(path)

    for word in words:
        path = Path(word)
        if path.is_dir():
            for found in _inside(path, choice.skipped):
                take(found, named=False)
        elif os.path.lexists(path) or not glob.has_magic(word):
            if path.is_file():
                take(path, named=True)
            else:
                choice.missing.append(Skipped(path, _why_no_file(path)))
        else:
            matches = [Path(found) for found in sorted(glob.glob(word, recursive=True), key=_order)]
            if not matches:
                choice.missing.append(Skipped(path, "Nothing has a name like this."))
            deep = "**" in word
            for found in matches:
                if found.is_file():
                    take(found, named=False)
                elif found.is_dir() and not deep:
                    for inner in _inside(found, choice.skipped):
                        take(inner, named=False)
    return choice


def _why_no_file(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "It is a link that leads nowhere."
    return "It is no file, and no folder either." if path.exists() else "There is no such file."


def _inside(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """All files below, sorted as people count; hidden ones and other folders' links left out."""

    def unreadable(exc: OSError) -> None:
        where = Path(exc.filename or folder)
        skipped.append(Skipped(where, f"The folder can't be read: {exc.strerror}."))

    for root, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_order)
        for name in sorted(names, key=_order):
            if not name.startswith("."):
                yield Path(root, name)


def why_not(path: Path) -> str:
    """Why a file that was found is no video to be sent; "" when it is one."""
    ending = path.suffix.lower()
    if ending and ending not in ENDINGS:
        return f"Files that end in {ending} aren't videos."
    try:
        if not path.is_file():
            return "It is no file."
        with path.open("rb") as file:
            head = file.read(_SNIFFED_BYTES)
    except OSError:
        return ""  # it may be a video: that it can't be read is an error, not a choice
    if not head:
        return "It is empty."
    return "" if is_video(head) else "It doesn't begin as a video does."


def is_video(head: bytes) -> bool:
    """Whether a file may be a video by its first bytes (400 are enough)."""
    if head[4:8] in _BOXES or head.startswith(_STARTS):
        return True
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return True
    return any(
        len(head) > first + distance and head[first] == head[first + distance] == _SYNC
        for first, distance in _PACKETS
    )


def _order(name: str) -> list[tuple[bool, int, str]]:
    """clip2 before clip10."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part.casefold())
        for part in re.split(r"([0-9]+)", name)
    ]
