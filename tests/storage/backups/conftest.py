"""As all tests' fixtures, but the database may be closed, and others opened, in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.db import database, open_database
from appliance.migrate import migrate
from storage.backups.folder import BackupFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout


@pytest.fixture
def db(settings: Settings, layout: Layout) -> Iterator[None]:
    open_database(settings.database_path)
    migrate(settings)
    database.connect()
    yield
    if not database.is_closed():
        database.close()


@pytest.fixture
def folder(settings: Settings) -> BackupFolder:
    return BackupFolder(settings.backups)
