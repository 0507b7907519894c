"""Text from people and files, made safe to show; it is never part of a path or a command."""

from __future__ import annotations

import unicodedata

# Cc control, Cf format (bidi marks, zero-width), Cs lone surrogates, Co private use, Cn unassigned.
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}
# Joiners that scripts and emoji need.
_KEPT = {"\u200c", "\u200d"}


def clean_line(text: str, *, max_bytes: int = 255) -> str:
    """One line: NFC, without control and direction characters, at most ``max_bytes`` of UTF-8."""
    spaced = "".join(" " if ch in "\t\r\n\v\f" else ch for ch in text)
    kept = "".join(ch for ch in spaced if ch in _KEPT or unicodedata.category(ch) not in _DROPPED)
    line = " ".join(unicodedata.normalize("NFC", kept).split())
    return line.encode("utf-8")[:max_bytes].decode("utf-8", errors="ignore").strip()


def clean_text(text: str, *, max_bytes: int = 20_000) -> str:
    """Several lines, each as ``clean_line``."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    joined = "\n".join(clean_line(line, max_bytes=max_bytes) for line in lines)
    return joined.encode("utf-8")[:max_bytes].decode("utf-8", errors="ignore").strip()


def clean_filename(name: str) -> str:
    """What a file was called, for people: the last part of any path in it, or "video"."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return clean_line(last).lstrip(". ") or "video"


def title_from(filename: str) -> str:
    """A first title: the name without its ending, with blanks for underscores."""
    stem, dot, ending = filename.rpartition(".")
    name = stem if dot and 1 <= len(ending) <= 5 and stem else filename
    return clean_line(name.replace("_", " ")) or "Untitled video"


def describe_size(size_bytes: int) -> str:
    """Bytes for people, in powers of ten as disks and phones write them: "3.1 GB"."""
    amount, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"
