"""What the web process does when it starts and stops."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread

from appliance.db import open_database
from appliance.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar import Litestar

    from appliance.settings import Settings


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    await anyio.to_thread.run_sync(_prepare, settings)
    yield


def _prepare(settings: Settings) -> None:
    """Make true what requests rely on; each step may be repeated at any start."""
    open_database(settings.database_path)
    migrate(settings)
