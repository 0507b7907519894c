"""What a backup is on disk: names, paths, and the manifest. Pure: no file is opened here.

::

    FOLDER/
      objects/ab/abcd…      files by their SHA-256, each once for all backups
      sets/NAME/            one backup: manifest.json, appliance.db, appliance.toml, secrets.json
      tmp/                  what is being made; never part of a backup

A manifest ends with the SHA-256 of all that stands before it, so that a changed one is noticed.
It may have been brought from anywhere: every path and digest in it is checked before use.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.errors import ApplianceError
from appliance.ids import PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "appliance.db"
SETTINGS = "appliance.toml"
SECRETS = "secrets.json"
PARTS = (DATABASE, SETTINGS, SECRETS)

_NAME = re.compile(r"\d{8}T\d{6}Z")
_TIME = "%Y%m%dT%H%M%SZ"
_SECOND = timedelta(seconds=1)
_YEARS = range(1970, 9000)  # in any time zone, and with a second more
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(
    rf"(?:media|trash)/{PATTERN.pattern}/[A-Za-z0-9_][A-Za-z0-9._-]{{0,120}}"
    rf"|uploads/{PATTERN.pattern}"
)


class BackupDamaged(ApplianceError):
    """A backup can't be used as it is; ``problems`` names each file that is wrong."""

    code = "backup_damaged"

    def __init__(self, message: str, problems: list[str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []


@dataclass(frozen=True)
class Entry:
    """A file of the data folder. ``inode`` and ``mtime_ns`` are hints for the next backup: the
    same file with both unchanged need not be read again."""

    path: str
    size_bytes: int
    sha256: str
    mtime_ns: int = 0
    inode: int = 0

    @property
    def owner(self) -> str:
        """The id of the video, or upload, that it belongs to."""
        return self.path.split("/")[1]


@dataclass(frozen=True)
class Part:
    """A file that lies beside the manifest."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """``schema``: the migrations that its database has; ``key_id``: of the key that opens the
    sealed columns; ``rows``: how many, by table; ``problems``: what was wrong with the box."""

    name: str
    created_at: datetime
    app_version: str
    schema: list[str]
    key_id: str
    rows: dict[str, int]
    parts: dict[str, Part]
    files: list[Entry]
    problems: list[str] = field(default_factory=list)

    @cached_property
    def size_bytes(self) -> int:
        """Of all that a restore brings back: each digest once."""
        sizes = {entry.sha256: entry.size_bytes for entry in self.files}
        return sum(sizes.values()) + sum(part.size_bytes for part in self.parts.values())


def new_name(at: datetime, taken: Iterable[str]) -> str:
    """A name that sorts behind all those that are there: names say in which order backups were
    made, also where the clock was set back. Then it is the second after the newest's."""
    newest = max(filter(is_name, taken), default="")
    if newest:
        at = max(at, time_of(newest) + _SECOND)
    return at.astimezone(UTC).strftime(_TIME)


def time_of(name: str) -> datetime:
    """When it was made, as its name says."""
    return datetime.strptime(name, _TIME).replace(tzinfo=UTC)


def is_name(text: str) -> bool:
    if _NAME.fullmatch(text) is None:
        return False
    try:
        return time_of(text).year in _YEARS
    except ValueError:
        return False


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def is_file_path(path: str) -> bool:
    """Whether it is one that a backup may have, relative to the data folder."""
    return _FILE.fullmatch(path) is not None


def object_path(sha256: str) -> str:
    """Relative to the folder of the backups."""
    if not is_digest(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    return f"objects/{sha256[:2]}/{sha256}"


def dump(manifest: Manifest) -> bytes:
    value = {"format": FORMAT, **asdict(manifest)}
    value["created_at"] = manifest.created_at.astimezone(UTC).isoformat()
    value["checksum"] = _checksum(value)
    return (json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n").encode()


def load(raw: bytes, name: str) -> Manifest:
    """The manifest of the backup ``name``. Raises BackupDamaged, with a sentence that names it."""
    where = f"{name}/{MANIFEST}"
    try:
        value = json.loads(raw)
        said = value.pop("checksum")
        made_by = value.pop("format")
        is_right = _checksum({"format": made_by, **value}) == said
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as exc:
        raise BackupDamaged(f"{where} is cut off or no manifest.", [f"{where}: cut off"]) from exc
    if not is_right:
        raise BackupDamaged(f"{where} was changed since it was written.", [f"{where}: changed"])
    if made_by != FORMAT:
        newer = "written by a newer version of the appliance"
        raise BackupDamaged(f"{where} was {newer}.", [f"{where}: {newer}"])
    try:
        return _built(value, name)
    except (ValueError, TypeError, KeyError) as exc:
        raise BackupDamaged(
            f"{where} is not as it should be ({exc}).", [f"{where}: wrong"]
        ) from exc


def _built(value: dict[str, Any], name: str) -> Manifest:
    found = msgspec.convert(value, Manifest)
    if found.name != name or not is_name(name):
        raise ValueError("its name")
    if found.created_at.tzinfo is None or found.created_at.year not in _YEARS:
        raise ValueError("its time")
    if not set(found.parts) <= set(PARTS) or DATABASE not in found.parts:
        raise ValueError("its parts")
    paths: set[str] = set()
    for entry in found.files:
        if not is_file_path(entry.path) or not is_digest(entry.sha256) or entry.size_bytes < 0:
            raise ValueError(f"the file {entry.path!r}")
        if entry.path in paths:
            raise ValueError(f"the file {entry.path!r}, which is there twice")
        paths.add(entry.path)
    return found


def _checksum(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
