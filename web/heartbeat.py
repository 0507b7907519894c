"""The web process says that it is alive, and where it listens: to the box, and to systemd.

systemd's watchdog is fed only by a look that says something: the event loop has come round to it,
and the database has answered. When either doesn't for ``WatchdogSec=``, the process is ended and
started again. Writing is not looked at: with a full disk a new start would mend nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import peewee

from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.models import Heartbeat
from appliance.notify import ALIVE, notify, tell_status
from storage.backups import switching

if TYPE_CHECKING:
    from pathlib import Path

    from web.live import Live

log = logging.getLogger("appliance.web")

PROCESS = "web"
BEAT_S = 5.0


async def beat_for_ever(listen: str, live: Live, data: Path) -> None:
    """Until cancelled. ``listen``: where others on this box reach us (the practice platform)."""
    started_at = now()
    while True:
        if switching.is_due(data):
            log.info("the web process makes way for a restored backup")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        tell_status(f"Serves {listen}; live pages open: {live.reader_count}")
        try:
            await anyio.to_thread.run_sync(beat, listen, started_at)
        except peewee.OperationalError as exc:
            log.warning("the web process could not say that it is alive: %s", exc)
        await asyncio.sleep(BEAT_S)


def beat(listen: str, started_at: Any) -> None:
    columns: dict[Any, Any] = {
        Heartbeat.pid: os.getpid(),
        Heartbeat.boot_id: boot_id(),
        Heartbeat.beat_boottime_s: boottime_s(),
        Heartbeat.beat_at: now(),
        Heartbeat.started_at: started_at,
        Heartbeat.info: {"listen": listen},
    }
    with database.connection_context():
        Heartbeat.insert({Heartbeat.process: PROCESS, **columns}).on_conflict(
            conflict_target=[Heartbeat.process], update=columns
        ).execute()


async def feed_watchdog(within_s: float) -> None:
    """Until cancelled. ``within_s``: how long systemd waits for the next word."""
    # A thread of its own: those of requests may all be busy, and that is no reason to end.
    own_thread = anyio.CapacityLimiter(1)
    while True:
        if await anyio.to_thread.run_sync(_database_answers, limiter=own_thread):
            notify(ALIVE)
        await asyncio.sleep(within_s / 3)


def _database_answers() -> bool:
    try:
        with database.connection_context():
            Heartbeat.get_or_none()
    except peewee.DatabaseError as exc:
        log.error("the database could not be read: %s", exc)
        return False
    return True


def remove() -> None:
    """A clean stop leaves no trace of a process that would look dead."""
    with contextlib.suppress(peewee.DatabaseError), database.connection_context():
        Heartbeat.delete().where(
            Heartbeat.process == PROCESS, Heartbeat.pid == os.getpid()
        ).execute()
