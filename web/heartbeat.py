"""The web process says that it is alive, and where it listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Any

import anyio.to_thread
import peewee

from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.models import Heartbeat

log = logging.getLogger("appliance.web")

PROCESS = "web"
BEAT_S = 5.0


async def beat_for_ever(listen: str) -> None:
    """Until cancelled. ``listen``: where others on this box reach us (the practice platform)."""
    started_at = now()
    while True:
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


def remove() -> None:
    """A clean stop leaves no trace of a process that would look dead."""
    with contextlib.suppress(peewee.DatabaseError), database.connection_context():
        Heartbeat.delete().where(
            Heartbeat.process == PROCESS, Heartbeat.pid == os.getpid()
        ).execute()
