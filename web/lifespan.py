"""What the web process does when it starts and stops."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from appliance import accounts, sessions
from appliance.clock import now
from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.notify import watchdog_s
from storage import uploads
from tasks.queue import connect
from web import heartbeat
from web.granted import Granted
from web.live import Live
from web.practice.app import practising

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from litestar import Litestar

    from appliance.settings import Settings
    from appliance.vault import Vault


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    listen: str = app.state.listen
    await anyio.to_thread.run_sync(_prepare, settings, app.state.vault)
    await anyio.to_thread.run_sync(heartbeat.beat, listen, now())
    live = app.state.live = Live(settings)
    live.start()
    granted = app.state.granted = Granted(settings.database_path)
    await app.state.joins.resume()
    beating = [asyncio.create_task(heartbeat.beat_for_ever(listen, live, settings.data))]
    if (within_s := watchdog_s()) is not None:
        beating.append(asyncio.create_task(heartbeat.feed_watchdog(within_s)))
    with _told_of_signals(live):
        try:
            async with practising(app):
                yield
        finally:
            for task in beating:
                task.cancel()
            await asyncio.gather(*beating, return_exceptions=True)
            live.stop()
            granted.close()
            await app.state.joins.stop()
            await anyio.to_thread.run_sync(heartbeat.remove)


def _prepare(settings: Settings, vault: Vault) -> None:
    """Make true what requests rely on; each step may be repeated at any start."""
    open_database(settings.database_path)
    migrate(settings)
    connect(settings)
    with database.connection_context():
        sessions.remove_dead(settings)
        uploads.recover(settings)
        accounts.ensure_builtin(settings, vault)


@contextmanager
def _told_of_signals(live: Live) -> Iterator[None]:
    """End the streams at the first signal: the server waits for open answers before it stops.

    The server's own handlers are called after ours. A server in a thread has no signals; who
    stops that one calls ``live.end_soon``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    servers: dict[signal.Signals, Any] = {}

    def on_signal(number: int, frame: Any) -> None:
        live.end_soon()
        before = servers[signal.Signals(number)]
        if callable(before):
            before(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        servers[number] = signal.getsignal(number)
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, before in servers.items():
            if signal.getsignal(number) is on_signal:
                signal.signal(number, before)
