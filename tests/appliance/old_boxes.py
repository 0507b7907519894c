"""Boxes of earlier versions: their schema, and rows as those versions wrote them.

The rows are plain SQL, frozen like the migrations: today's models say nothing about them.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance import migrate as migrations
from appliance.db import open_database
from appliance.passwords import hash_password
from storage.layout import Layout

if TYPE_CHECKING:
    from appliance.settings import Settings

PASSWORD = "before the upgrade, and after"
(
    USER, ACCOUNT, VIDEO, ARRIVING, RENDITION, POST, TARGET, WAITING, HELD, UPLOAD, LINK,
    CONNECTION, SLOT,
) = (f"{number:026}" for number in range(13))  # fmt: skip
SCRIPTS = sorted(file.stem for file in migrations.FOLDER.glob("0*.py"))
SENT, POSTED, SO_FAR = b"the original" * 100, b"the version" * 50, b"half of it"
LENGTH = 2 * len(SO_FAR)


def make_old_box(settings: Settings, scripts: int) -> None:
    """A box whose program knew only so many scripts, with people, videos and work in it."""
    layout = Layout(settings.data)
    layout.make_folders()
    known = settings.data.parent / "known"
    known.mkdir()
    for name in SCRIPTS[:scripts]:
        shutil.copy(migrations.FOLDER / f"{name}.py", known)
    open_database(settings.database_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "FOLDER", known)
        migrations.migrate(settings)
    with closing(sqlite3.connect(settings.database_path)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        for table, row in (each for part in rows_by_script()[:scripts] for each in part):
            if table == "rendition" and scripts >= 3:
                row["recipe"] = str(row.pop("profile_version"))
            if table == "job" and scripts >= 3:
                row |= {"cores": 4.0, "memory_mib": 400}
            columns = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" for _ in row)
            db.execute(f'INSERT INTO "{table}" ({columns}) VALUES ({marks})', [*row.values()])
        db.commit()
    layout.video(VIDEO).mkdir()
    layout.original(VIDEO).write_bytes(SENT)
    layout.rendition(VIDEO, "social").write_bytes(POSTED)
    layout.upload(UPLOAD).write_bytes(SO_FAR)


def all_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """What is in each table, by columns; not what SQLite or the migrations keep for themselves."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            name: [dict(row) for row in db.execute(f'SELECT * FROM "{name}" ORDER BY id')]
            for name in names
            if not name.startswith(("sqlite_", "video_search", "schema_migration"))
        }


def rows_by_script() -> list[list[tuple[str, dict[str, Any]]]]:
    """For each script the rows of the tables that it brought, in an order that keys allow."""
    at = _text(datetime.now(UTC) - timedelta(hours=1))
    later = _text(datetime.now(UTC) + timedelta(days=1))
    job = {
        "priority": 50, "attempts": 0, "max_attempts": 5, "crashes": 0, "fence": 0,
        "cancel_requested": 0, "stage": "", "progress": 0.0, "payload": "{}", "created_at": at,
    }  # fmt: skip
    first = [
        ("user", {
            "id": 1, "public_id": USER, "email": "owner@example.org", "name": "Ada",
            "role": "owner", "password_hash": hash_password(PASSWORD), "time_zone": "UTC",
            "theme": "dark", "shortcuts": 1, "created_at": at,
        }),
        ("session", {
            "id": 1, "token_hash": "hash", "user_id": 1, "created_at": at, "last_seen_at": at,
            "expires_at": later, "address": "::1", "agent": "a browser",
        }),
        ("account", {
            "id": 1, "public_id": ACCOUNT, "platform": "webhook", "name": "Ours",
            "remote_id": "ours", "state": "connected", "credentials": None, "options": "{}",
            "created_by_id": 1, "created_at": at,
        }),
        ("video", {
            "id": 1, "public_id": VIDEO, "owner_id": 1, "state": "ready", "visibility": "team",
            "source": "browser", "title": "Wäsche im Wind", "description": "Two lines\nof text",
            "filename": "wind.mp4", "size_bytes": len(SENT), "duration_s": 2.0, "width": 160,
            "height": 120, "facts": "{}", "poster_version": 1, "link_generation": 1,
            "created_at": at, "received_at": at, "ready_at": at,
        }),
        ("video", {  # that the upload in flight becomes
            "id": 2, "public_id": ARRIVING, "owner_id": 1, "state": "uploading",
            "visibility": "team", "source": "browser", "title": "More", "description": "",
            "filename": "more.mp4", "size_bytes": LENGTH, "poster_version": 0,
            "link_generation": 1, "created_at": at,
        }),
        ("rendition", {
            "id": 1, "public_id": RENDITION, "video_id": 1, "profile": "social",
            "profile_version": 1, "state": "ready", "wanted": 0, "method": "transcode",
            "facts": "{}", "size_bytes": len(POSTED), "created_at": at, "ready_at": at,
        }),
        ("post", {
            "id": 1, "public_id": POST, "video_id": 1, "author_id": 1, "state": "scheduled",
            "approval": "not_needed", "title": "Wind", "description": "", "publish_at": later,
            "time_zone": "UTC", "created_at": at, "updated_at": at,
        }),
        ("post_target", {
            "id": 1, "public_id": TARGET, "post_id": 1, "account_id": 1, "generation": 1,
            "state": "waiting", "stage": "", "overrides": "{}", "checkpoint": "{}",
            "rendition_id": 1, "created_at": at, "updated_at": at,
        }),
        ("job", {
            **job, "id": 1, "public_id": WAITING, "kind": "encode", "queue": "media",
            "key": "encode:waiting", "video_id": 1, "rendition_id": 1, "state": "queued",
        }),
        ("job", {  # of a worker that the upgrade has stopped
            **job, "id": 2, "public_id": HELD, "kind": "poster", "queue": "quick",
            "key": "poster:held", "video_id": 1, "state": "running", "fence": 1,
            "lease_owner": "quick", "lease_until": 1.0, "lease_boot": "before", "started_at": at,
        }),
        ("upload", {
            "id": 1, "public_id": UPLOAD, "token_hash": "hash", "owner_id": 1, "video_id": 2,
            "source": "browser", "state": "receiving", "length": LENGTH,
            "complete_declared": 0, "metadata_raw": "",
            "filename": "more.mp4", "content_type": "video/mp4", "durable_offset": len(SO_FAR),
            "boot_id": "before", "created_at": at, "touched_at": at, "expires_at": later,
        }),
        ("setting", {"id": 1, "name": "note", "value": '"kept"', "updated_at": at}),
    ]  # fmt: skip
    second = [
        ("guest_link", {
            "id": 1, "public_id": LINK, "token_hash": "hash", "created_by_id": 1, "title": "Send",
            "note": "", "tag": "wind", "visibility": "team", "created_at": at,
        }),
        ("video_tag", {"id": 1, "video_id": 1, "name": "wind"}),
    ]  # fmt: skip
    third = [
        ("damage", {
            "id": 1, "video_id": 1, "name": "original", "problem": "missing", "mending": 0,
            "found_at": at,
        }),
        ("job_run", {
            "id": 1, "job_id": 2, "fence": 1, "worker": "quick", "started_at": at, "outcome": "",
            "stage": "", "progress": 0.5,
        }),
        ("job_day", {
            "id": 1, "day": at[:10], "kind": "encode", "completed": 3, "failed": 1, "cancelled": 0,
            "seconds": 4.5,
        }),
    ]  # fmt: skip
    fourth = [
        ("connection", {
            "id": 1, "public_id": CONNECTION, "platform": "youtube", "practice": 1,
            "state": "connected", "secret_hash": "hash", "user_id": 1, "account_id": 1,
            "found": "[]", "created_at": at, "updated_at": at, "expires_at": later,
        }),
        ("quota_use", {
            "id": 1, "account_id": 1, "target_id": 1, "bucket": "calls", "units": 50, "at": at,
        }),
        ("slot", {
            "id": 1, "public_id": SLOT, "weekday": 2, "time": "09:30", "time_zone": "Europe/Berlin",
            "created_by_id": 1, "created_at": at,
        }),
    ]  # fmt: skip
    fifth = [
        ("backup_run", {
            "id": 1, "kind": "create", "state": "completed", "name": "a", "pid": 1,
            "boot_id": "before", "info": "{}", "started_at": at, "finished_at": at,
        }),
        ("alert", {
            "id": 1, "key": "disk", "kind": "disk", "state": "open", "title": "Little room",
            "text": "", "first_at": at, "last_at": at,
        }),
    ]  # fmt: skip
    return [first, second, third, fourth, fifth]


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
