"""Rows for tests, with only what matters said."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase

from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.models import Role, Source, User, Video, Visibility
from appliance.settings import Settings
from appliance.states import VideoState


def make_tables(settings: Settings) -> SqliteDatabase:
    """Bind a database as `migrate` leaves it; a new one in a tenth of the time."""
    if settings.database_path.exists():
        bound = open_database(settings.database_path)
        migrate(settings)
        return bound
    settings.data.mkdir(parents=True, exist_ok=True)
    settings.database_path.write_bytes(_migrated())
    return open_database(settings.database_path)


@cache
def _migrated() -> bytes:
    """The file of a database that was migrated, once for each process of the tests."""
    bound = database.obj
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        open_database(settings.database_path)
        migrate(settings)
        content = settings.database_path.read_bytes()
    if bound is not None:
        database.initialize(bound)
    return content


def make_user(email: str = "editor@example.org", role: Role = Role.EDITOR, **columns: Any) -> User:
    return User.create(email=email, role=role, **columns)


def make_video(owner: User | None = None, **columns: Any) -> Video:
    values: dict[str, Any] = {
        "owner": owner,
        "filename": "clip.mp4",
        "title": "Clip",
        "source": Source.BROWSER,
        "visibility": Visibility.TEAM,
        "state": VideoState.RECEIVED,
        **columns,
    }
    return Video.create(**values)
