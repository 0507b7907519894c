"""Beside each running job: a thread that keeps its lease, and looks for a cancel, for people who
wait for its place, and whether the work moves."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import peewee

from appliance import jobs, night, scheduling
from appliance.capacity import machine_of
from appliance.clock import boottime_s, now
from appliance.db import database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.context import Context

log = logging.getLogger(__name__)

# A cancel has to reach ffmpeg within a second: half of that for us, half for the end of it.
_LOOK_EVERY_S = 0.4
# Another machine may be about to take what waits.
_LOOKS_BEFORE_WAY = 2


@contextmanager
def watching(context: Context) -> Iterator[None]:
    """Renew the lease each third of it, as long as the body runs."""
    over = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(context, over), name=f"watch-{context.job.public_id}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(context: Context, over: threading.Event) -> None:
    job, lease_s = context.job, context.settings.lease_s
    kept_until_s = boottime_s() + lease_s
    next_beat_s = boottime_s() + lease_s / 3
    in_the_way = 0
    while not over.wait(min(_LOOK_EVERY_S, lease_s / 3)):
        _look_for_signs(context)
        try:
            with database.connection_context():
                if boottime_s() >= next_beat_s:
                    began_s = boottime_s()
                    beat = jobs.beat(job, lease_s=lease_s)
                    kept_until_s, next_beat_s = began_s + lease_s, began_s + lease_s / 3
                else:
                    beat = jobs.look(job)
                in_the_way = in_the_way + 1 if _is_in_the_way(context) else 0
        except peewee.OperationalError as exc:
            # The disk is full, or a writer takes very long. As long as the lease runs nobody
            # else can have the job; after that it may be another's, so we must stop.
            log.warning("the lease of %s could not be renewed: %s", job.public_id, exc)
            if boottime_s() < kept_until_s:
                continue
            beat = jobs.Beat(ours=False, cancel_requested=False)
        if not beat.ours:
            context.lost.set()
            return
        if beat.cancel_requested:
            context.cancel_requested.set()
        if in_the_way >= _LOOKS_BEFORE_WAY:
            context.make_way.set()


def _is_in_the_way(context: Context) -> bool:
    """Something that people wait for has no room because of this job. Wants a connection."""
    job, settings = context.job, context.settings
    if job.cores <= 0:
        return False
    return scheduling.should_make_way(
        job, machine_of(settings), night=night.is_open(settings, now())
    )


def _look_for_signs(context: Context) -> None:
    """Does it still move? What a program writes is looked at always; what it reads (and says
    nothing meanwhile: a look through a long recording) only when nothing else has moved for long.
    """
    context.look_for_bytes()
    if "folder" in vars(context) and context.stands_still_s > context.settings.stall_s / 2:
        context.saw("read", _bytes_read_in(context.folder))


def _bytes_read_in(folder: Path) -> list[tuple[str, str]]:
    """Processes that run in ``folder``, each with the number of bytes that it has read."""
    found = []
    for entry in Path("/proc").iterdir():
        # Other people's processes, and those that end meanwhile, can't be looked at.
        with suppress(OSError):
            if entry.name.isdecimal() and os.readlink(entry / "cwd").startswith(str(folder)):
                found.append((entry.name, (entry / "io").read_text().partition("\n")[0]))
    return sorted(found)
