"""The practice platform as a part of the web process."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from litestar import Router

from web.practice import api, pages, stand_in_pages
from web.practice.platform import Practice
from web.practice.stand_ins import STAND_INS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from litestar import Litestar

    from appliance.settings import Settings
    from web.practice.stand_ins import StandIn

log = logging.getLogger("appliance.web")

TIDY_EVERY_S = 3600.0


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
            stand_in_pages.show,
            stand_in_pages.watch,
            stand_in_pages.send_copy,
            stand_in_pages.remove_copy,
            stand_in_pages.change_faults,
            *(kind.routes() for kind in STAND_INS),
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

    def begin_stand_ins() -> list[StandIn]:
        begun = []
        for kind in STAND_INS:
            stand_in = app.state[kind.name] = kind.make(settings, app.state.listen)
            stand_in.begin()
            begun.append(stand_in)
        return begun

    practice = app.state.practice = await anyio.to_thread.run_sync(begin)
    stand_ins = await anyio.to_thread.run_sync(begin_stand_ins)
    tidying = asyncio.create_task(_tidy_for_ever(stand_ins))
    try:
        yield
    finally:
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)
        for stand_in in stand_ins:
            await anyio.to_thread.run_sync(stand_in.end)
        await anyio.to_thread.run_sync(practice.fetcher.stop)


async def _tidy_for_ever(stand_ins: Sequence[StandIn]) -> None:
    """Until cancelled: a box that runs for a year keeps no year of sessions and tokens."""
    while True:
        await asyncio.sleep(TIDY_EVERY_S)
        for stand_in in stand_ins:
            try:
                await anyio.to_thread.run_sync(stand_in.tidy)
            except (OSError, sqlite3.Error) as exc:  # a full disk, say: the next time will do
                log.warning("a stand-in could not tidy up: %s", exc)
