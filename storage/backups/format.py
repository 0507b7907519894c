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
from datetime import UTC, datetime
from typing import Any

from appliance.errors import ApplianceError
from appliance.ids import PATTERN

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "appliance.db"
SETTINGS = "appliance.toml"
SECRETS = "secrets.json"
PARTS = (DATABASE, SETTINGS, SECRETS)

_NAME = re.compile(r"\d{8}T\d{6}Z(?:-\d{1,3})?")
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

    @property
    def size_bytes(self) -> int:
        """Of all that a restore brings back: each digest once."""
        sizes = {entry.sha256: entry.size_bytes for entry in self.files}
        return sum(sizes.values()) + sum(part.size_bytes for part in self.parts.values())


def new_name(at: datetime, taken: set[str]) -> str:
    """A name that sorts by time; of two in one second the later gets a number."""
    name = first = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while name in taken:
        number += 1
        name = f"{first}-{number}"
    return name


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


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
    except (ValueError, TypeError, AttributeError, KeyError) as exc:
        raise BackupDamaged(f"{where} is cut off or no manifest.", [f"{where}: cut off"]) from exc
    if _checksum({"format": made_by, **value}) != said:
        raise BackupDamaged(f"{where} was changed since it was written.", [f"{where}: changed"])
    if made_by != FORMAT:
        raise BackupDamaged(f"{where} was written by a newer version of the appliance.")
    try:
        return _built(value, name)
    except (ValueError, TypeError, KeyError) as exc:
        raise BackupDamaged(
            f"{where} is not as it should be ({exc}).", [f"{where}: wrong"]
        ) from exc


def _built(value: dict[str, Any], name: str) -> Manifest:
    parts = {key: Part(**part) for key, part in value.pop("parts").items()}
    files = [Entry(**entry) for entry in value.pop("files")]
    if not set(parts) <= set(PARTS) or DATABASE not in parts:
        raise ValueError("its parts")
    for entry in files:
        if not is_file_path(entry.path) or not is_digest(entry.sha256) or entry.size_bytes < 0:
            raise ValueError(f"the file {entry.path!r}")
    if value.get("name") != name or not is_name(name):
        raise ValueError("its name")
    created_at = datetime.fromisoformat(value.pop("created_at"))
    return Manifest(parts=parts, files=files, created_at=created_at, **value)


def _checksum(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
