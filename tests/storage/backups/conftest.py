"""As all tests' fixtures, but the database may be closed, and others opened, in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.db import database
from storage.backups.folder import BackupFolder
from tests.factories import make_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout


@pytest.fixture
def db(settings: Settings, layout: Layout) -> Iterator[None]:
    make_tables(settings)
    database.connect()
    yield
    if not database.is_closed():
        database.close()


@pytest.fixture
def folder(settings: Settings) -> BackupFolder:
    return BackupFolder(settings.backups)
