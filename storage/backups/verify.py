"""Look whether a backup is whole, without restoring it: by sizes, or by reading every byte."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storage.backups import format
from storage.backups.create import no_progress
from storage.backups.format import BackupDamaged
from storage.backups.plain import open_plain, say_why
from storage.inspection import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage.backups.create import Progress
    from storage.backups.folder import BackupFolder
    from storage.backups.format import Manifest

SHOWN = 3


@dataclass
class Verdict:
    """``problems``: each a file and what is wrong with it; ``read_bytes``: 0 in a quick look."""

    name: str
    quick: bool
    files: int = 0
    read_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.problems


def verify(
    folder: BackupFolder, name: str, *, quick: bool = False, progress: Progress = no_progress
) -> Verdict:
    """Raises NotFound, Conflict (somebody writes), and what ``progress`` raises; what is wrong
    with the backup is told, not raised."""
    folder.set_folder(name)
    with folder.locked(alone=False):
        try:
            manifest = folder.manifest(name)
        except BackupDamaged as exc:
            return Verdict(name, quick, problems=exc.problems or [exc.message])
        return _look(folder, manifest, quick, progress)


def _look(folder: BackupFolder, manifest: Manifest, quick: bool, progress: Progress) -> Verdict:
    verdict = Verdict(manifest.name, quick)
    seen: dict[str, str] = {}
    all_bytes = manifest.size_bytes or 1
    changed: set[str] = set()
    right: set[str] = set()

    def check() -> None:
        progress("Reading the backup", min(1.0, verdict.read_bytes / all_bytes))

    for part_name, part in manifest.parts.items():
        path = folder.set_folder(manifest.name) / part_name
        problem = _problem(path, part.size_bytes, part.sha256, quick, check)
        verdict.files += 1
        verdict.read_bytes += 0 if quick else part.size_bytes
        if problem:
            verdict.problems.append(f"{manifest.name}/{part_name}: {problem}")
    for entry in manifest.files:
        verdict.files += 1
        if entry.sha256 not in seen:
            check()
            path = folder.object(entry.sha256)
            seen[entry.sha256] = _problem(path, entry.size_bytes, entry.sha256, quick, check)
            (changed if seen[entry.sha256] else right).add(entry.sha256)
            verdict.read_bytes += 0 if quick else entry.size_bytes
        if seen[entry.sha256]:
            where = format.object_path(entry.sha256)
            verdict.problems.append(f"{entry.path}: {seen[entry.sha256]} ({where})")
    # So that the next backup brings them anew instead of relying on them.
    folder.note_damaged(changed, mended=() if quick else right)
    return verdict


def _problem(
    path: Path, size_bytes: int, sha256: str, quick: bool, check: Callable[[], None]
) -> str:
    """In a word; "" when it is as it should be."""
    try:
        with open_plain(path) as file:
            here = os.fstat(file.fileno()).st_size
            if here != size_bytes:
                return wrong_size(here, size_bytes)
            return "" if quick or digest_of(file, check) == sha256 else "changed"
    except OSError as exc:
        return say_why(exc)


def wrong_size(here: int, size_bytes: int) -> str:
    return f"cut off at {here} of {size_bytes} bytes" if here < size_bytes else "too long"


def say(problems: list[str]) -> str:
    """The first of them, for a sentence."""
    more = len(problems) - SHOWN
    return "; ".join(problems[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
