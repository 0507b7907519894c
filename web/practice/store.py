"""What the practice platform keeps: one SQLite file and the videos that it fetched.

Its own, like a platform's: the appliance's database knows nothing of it.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from web.practice.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINER_LIFETIME = timedelta(hours=24)  # Source: platforms.md §3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS media (
    id TEXT PRIMARY KEY,
    video_url TEXT NOT NULL,
    title TEXT NOT NULL,
    caption TEXT NOT NULL,
    status_code TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '',
    error_subcode INTEGER,
    created_at TEXT NOT NULL,
    ready_after TEXT NOT NULL,
    fetched_at TEXT,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT NOT NULL DEFAULT '',
    heads INTEGER NOT NULL DEFAULT 0,
    ranges INTEGER NOT NULL DEFAULT 0,
    fetch_s REAL NOT NULL DEFAULT 0,
    post_id TEXT UNIQUE,
    published_at TEXT
);
CREATE INDEX IF NOT EXISTS media_created ON media (created_at);
CREATE TABLE IF NOT EXISTS fault (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""


@dataclass(frozen=True)
class Media:
    """One video that was handed over. ``status_code`` as Instagram's containers have it."""

    id: str
    video_url: str
    title: str
    caption: str
    status_code: str  # IN_PROGRESS FINISHED ERROR EXPIRED PUBLISHED
    status: str
    error_subcode: int | None
    created_at: str
    ready_after: str
    fetched_at: str | None
    size_bytes: int
    sha256: str
    heads: int
    ranges: int
    fetch_s: float
    post_id: str | None
    published_at: str | None


_COLUMNS = ", ".join(field.name for field in fields(Media))


class Store:
    """All methods open a connection of their own, so any thread may call them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._connection() as db:
            db.executescript(_SCHEMA)

    def file(self, media_id: str) -> Path:
        if not media_id.isdecimal():
            raise ValueError("no id of the practice platform")
        return self.files / f"{media_id}.mp4"

    def create(self, *, video_url: str, title: str, caption: str, slow_s: float) -> str:
        """A container that is still to be fetched; its id."""
        began = now()
        media_id = _new_number()
        with self._connection() as db:
            db.execute(
                "INSERT INTO media (id, video_url, title, caption, status_code, created_at,"
                " ready_after) VALUES (?, ?, ?, ?, 'IN_PROGRESS', ?, ?)",
                (media_id, video_url, title, caption, _text(began),
                 _text(began + timedelta(seconds=slow_s))),
            )  # fmt: skip
        return media_id

    def get(self, media_id: str) -> Media | None:
        """By the id of the container or of the post."""
        found = self._select("WHERE id = ? OR post_id = ?", media_id, media_id)
        return found[0] if found else None

    def newest(self, *, limit: int = 500) -> list[Media]:
        return self._select("ORDER BY created_at DESC, id LIMIT ?", limit)

    def published(self, *, limit: int = 500) -> list[Media]:
        return self._select("WHERE post_id IS NOT NULL ORDER BY published_at DESC LIMIT ?", limit)

    def unfetched(self) -> list[Media]:
        found = self._select("WHERE status_code = 'IN_PROGRESS' ORDER BY created_at")
        return [media for media in found if media.status_code == "IN_PROGRESS"]

    def settle(self, media_id: str, status_code: str, status: str, **columns: Any) -> bool:
        """The fetch ended; False when the container is gone meanwhile."""
        columns = {"status_code": status_code, "status": status, **columns}
        names = ", ".join(f"{name} = ?" for name in columns)
        with self._connection() as db:
            done = db.execute(
                f"UPDATE media SET {names} WHERE id = ? AND status_code = 'IN_PROGRESS'",
                (*columns.values(), media_id),
            )
            return done.rowcount == 1

    def publish(self, media_id: str) -> str | None:
        """Make a finished container public; the post's id, None when it isn't finished.

        One conditional UPDATE: of two calls for one container, one publishes.
        """
        if (found := self.get(media_id)) is None or found.status_code != "FINISHED":
            return None
        post_id = _new_number()
        with self._connection() as db:
            done = db.execute(
                "UPDATE media SET status_code = 'PUBLISHED', post_id = ?, published_at = ?"
                " WHERE id = ? AND status_code = 'FINISHED'",
                (post_id, _text(now()), media_id),
            )
            return post_id if done.rowcount == 1 else None

    def delete(self, media_id: str) -> bool:
        """Row first, then the file: at worst an unreferenced file stays for `tidy`."""
        found = self.get(media_id)
        if found is None:
            return False
        with self._connection() as db:
            db.execute("DELETE FROM media WHERE id = ?", (found.id,))
        self.file(found.id).unlink(missing_ok=True)
        return True

    def tidy(self) -> None:
        """Remove files that no row names, and those of expired containers. For the start."""
        live = ("IN_PROGRESS", "FINISHED", "PUBLISHED")
        kept = {media.id for media in self._select("") if media.status_code in live}
        for path in self.files.iterdir():
            if path.stem not in kept:
                path.unlink(missing_ok=True)

    def faults(self) -> dict[str, float]:
        with self._connection() as db:
            return {str(name): float(value) for name, value in db.execute("SELECT * FROM fault")}

    def set_fault(self, name: str, value: float) -> None:
        with self._connection() as db:
            db.execute("INSERT OR REPLACE INTO fault VALUES (?, ?)", (name, value))

    def clear_fault(self, name: str | None = None) -> None:
        with self._connection() as db:
            if name is None:
                db.execute("DELETE FROM fault")
            else:
                db.execute("DELETE FROM fault WHERE name = ?", (name,))

    def take_fault(self, name: str) -> float | None:
        """Its value when it is set (which uses it up, unless it lasts); None otherwise."""
        with self._connection() as db:
            row = db.execute("SELECT value FROM fault WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            if FAULTS[name].lasts:
                return float(row[0])
            # Of two calls at the same time one takes it.
            taken = db.execute("DELETE FROM fault WHERE name = ?", (name,)).rowcount == 1
            return float(row[0]) if taken else None

    def _select(self, rest: str, *values: Any) -> list[Media]:
        with self._connection() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM media {rest}", values).fetchall()
        return [_as_of_now(Media(*row)) for row in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.folder / "practice.db", timeout=10)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # What was answered must be true after a power cut, as on a real platform.
            db.execute("PRAGMA synchronous = FULL")
            with db:
                yield db
        finally:
            db.close()


def _as_of_now(media: Media) -> Media:
    """What time makes of a container: slow ones still work, old ones have expired."""
    at = now()
    if media.status_code == "PUBLISHED":
        return media
    if media.created_at < _text(at - CONTAINER_LIFETIME):
        return replace(media, status_code="EXPIRED", status="The container has expired.")
    if media.status_code == "FINISHED" and media.ready_after > _text(at):
        return replace(media, status_code="IN_PROGRESS", status="In progress")
    return media


def _new_number() -> str:
    """Ids are decimal, like Instagram's."""
    return str(10**16 + secrets.randbelow(9 * 10**16))


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
