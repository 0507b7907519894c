"""Fixtures for all tests: real parts, in a folder of their own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.settings import Settings
from storage.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Thousands of programs are started, each of which would compile all that it imports anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a box of its own; leases and sweeps are short, so that tests needn't wait."""
    return Settings(
        data=tmp_path / "data",
        listen="127.0.0.1:0",
        lease_s=2,
        sweep_s=0.5,
        disk_reserve="10 MiB",  # type: ignore[arg-type]
    )


@pytest.fixture
def layout(settings: Settings) -> Layout:
    layout = Layout(settings.data)
    layout.make_folders()
    return layout


@pytest.fixture
def db(settings: Settings, layout: Layout) -> Iterator[None]:
    """A migrated database, bound and open on this thread."""
    open_database(settings.database_path)
    migrate(settings)
    with database.connection_context():
        yield
