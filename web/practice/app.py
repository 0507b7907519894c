"""The practice platform as a part of the web process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from litestar import Router

from web.practice import api, pages
from web.practice.platform import Practice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar import Litestar

    from appliance.settings import Settings


def practice_app(settings: Settings) -> Router:
    """Everything below ``/practice``."""
    return Router(
        "/practice",
        route_handlers=[
            Router(
                "/api/v1",
                route_handlers=[
                    api.create_container,
                    api.publish,
                    api.list_media,
                    api.show_media,
                    api.remove_media,
                    api.list_faults,
                    api.set_faults,
                ],
            ),
            pages.overview,
            pages.watch,
            pages.send_file,
            pages.change_faults,
            pages.remove,
        ],
    )


@asynccontextmanager
async def practising(app: Litestar) -> AsyncIterator[None]:
    """While the web process runs; ends within two seconds, a fetch under way is done again."""
    settings = app.state.settings
    if not settings.practice:
        yield
        return

    def begin() -> Practice:
        practice = Practice(settings, app.state.vault, app.state.listen)
        practice.store.tidy()
        practice.fetcher.start()
        return practice

    practice = app.state.practice = await anyio.to_thread.run_sync(begin)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(practice.fetcher.stop)
