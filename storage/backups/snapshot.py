"""The database as it was at one moment, while others go on writing; and what it says of files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from appliance.durable import sync_file
from appliance.errors import ApplianceError
from storage.media_types import RENDITION_FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# How long writers may keep us waiting for the one moment.
_PATIENCE_S = 60.0


class DatabaseDamaged(ApplianceError):
    code = "database_damaged"


def take(
    database: Path, target: Path, at_that_moment: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    """Copy the database to ``target`` as it is when nobody writes; an open connection to the copy.

    ``at_that_moment`` is called while writers wait: files are removed, and put in their places,
    by those who hold the lock for writing, so what it sees fits the copy. Raises DatabaseDamaged.
    """
    with (
        closing(_connect(database)) as writer,
        closing(_connect(database)) as reader,
    ):
        writer.execute("BEGIN IMMEDIATE")
        try:
            reader.execute("BEGIN")
            # The first read fixes what this connection sees. Source: sqlite.org/wal.html
            reader.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            at_that_moment(reader)
        finally:
            writer.execute("ROLLBACK")
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            check(copy)
        except BaseException:
            copy.close()
            raise
    sync_file(target)
    return copy


def check(copy: sqlite3.Connection) -> None:
    """Raises DatabaseDamaged when pages or foreign keys are wrong."""
    verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise DatabaseDamaged(f"The database is damaged: {verdict}. Restore the last good backup.")
    hanging = copy.execute("PRAGMA foreign_key_check").fetchone()
    if hanging is not None:
        raise DatabaseDamaged(
            f"The database is damaged: rows of “{hanging[0]}” belong to nothing. Restore the last "
            "good backup."
        )


def _connect(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{database.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE_S, isolation_level=None
    )
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def finishing_uploads(connection: sqlite3.Connection) -> list[str]:
    """All their bytes are here, and nobody has adopted them yet."""
    rows = connection.execute("SELECT public_id FROM upload WHERE state = 'finishing'")
    return [row[0] for row in rows]


def schema(connection: sqlite3.Connection) -> list[str]:
    """The migrations that were applied."""
    return [row[0] for row in connection.execute("SELECT name FROM schema_migration ORDER BY name")]


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """By table."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {
        name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]
        for (name,) in sorted(tables)
    }


def ids_of_videos(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT public_id FROM video")}


def kept_files(connection: sqlite3.Connection) -> dict[str, tuple[int, str | None]]:
    """``VIDEO/FILE`` → bytes and SHA-256 as the rows say; {} where they are of an older schema,
    just before a migration. As storage/inspection.py, whose rows are bound to another database."""
    try:
        return _kept_files(connection)
    except sqlite3.OperationalError as exc:
        if "no such column" not in str(exc):
            raise
        return {}


def _kept_files(connection: sqlite3.Connection) -> dict[str, tuple[int, str | None]]:
    found: dict[str, tuple[int, str | None]] = {
        f"{video}/original": (int(size), digest)
        for video, size, digest in connection.execute(
            "SELECT public_id, size_bytes, sha256 FROM video"
            " WHERE received_at IS NOT NULL AND original_removed_at IS NULL"
        )
    }
    for video, profile, size, digest in connection.execute(
        "SELECT video.public_id, profile, rendition.size_bytes, rendition.sha256"
        " FROM rendition JOIN video ON video.id = video_id WHERE rendition.state = 'ready'"
    ):
        if profile in RENDITION_FILES:
            found[f"{video}/{RENDITION_FILES[profile].name}"] = (int(size), digest)
    return found
