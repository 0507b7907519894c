"""Events as they happen, to everybody who looks and may see them (server-sent events).

One thread watches ``PRAGMA data_version``, which changes with each commit of another connection,
reads the new Event rows and hands them to the open streams. A stream that was away catches up
from the same rows by ``Last-Event-ID``; one that can't (too far behind, pruned, its reader too
slow) is told ``resync``: load anew what you show. The rows are the truth, a stream only a hint.
Source: WHATWG HTML §9.2; sqlite.org/pragma.html#pragma_data_version.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import peewee
from peewee import fn

from appliance import access
from appliance.db import database
from appliance.models import Event
from web.auth import Principal, again
from web.words import machine_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from appliance.settings import Settings

log = logging.getLogger("appliance.web")

WATCH_S = 0.15
COMMENT_S = 15.0
PROGRESS_GAP_S = 0.5  # at most two a second for each thing
MAX_WAITING = 256  # events that a slow reader may be behind
MAX_REPLAY = 1000
_READ_AT_ONCE = 500


class Live:
    """The watcher and the open streams of one web process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.last_id = 0
        self._streams: set[_Stream] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """In the event loop, with a migrated database."""
        self._loop = asyncio.get_running_loop()
        with database.connection_context():
            self.last_id = _newest_id()
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)
        self._thread.start()

    @property
    def reader_count(self) -> int:
        return len(self._streams)

    def end_soon(self) -> None:
        """End all streams: the process stops, and open streams would hold it up. Any thread."""
        self._ended.set()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    def stop(self) -> None:
        """In the event loop, after the last request."""
        self.end_soon()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _wake_all(self) -> None:
        for stream in self._streams:
            stream.wake.set()

    def _watch(self) -> None:
        seen = None
        with database.connection_context():
            while not self._ended.wait(WATCH_S):
                try:
                    version = database.execute_sql("PRAGMA data_version").fetchone()[0]
                    if version == seen:
                        continue
                    fresh = list(
                        Event.select()
                        .where(Event.id > self.last_id)
                        .order_by(Event.id)
                        .limit(_READ_AT_ONCE)
                    )
                except peewee.DatabaseError as exc:
                    log.warning("live updates wait: %s", exc)
                    continue
                # A full page may have more behind it: look again, whatever the version says.
                seen = version if len(fresh) < _READ_AT_ONCE else None
                if fresh and self._loop is not None and not self._loop.is_closed():
                    self.last_id = fresh[-1].id
                    self._loop.call_soon_threadsafe(self._fan_out, fresh)

    def _fan_out(self, fresh: list[Event]) -> None:
        for stream in self._streams:
            for event in fresh:
                stream.put(event)

    async def stream(self, who: Principal, last_id: int | None) -> AsyncIterator[bytes]:
        """What one reader gets. ``last_id``: the last event that it knows; None: from now on."""
        stream = _Stream(who)
        self._streams.add(stream)  # before the look back, so that nothing falls in between
        try:
            yield b"retry: 1000\n: hello\n\n"
            sent_id = self.last_id if last_id is None else last_id
            if last_id is not None:
                missed = await anyio.to_thread.run_sync(_missed, who, last_id)
                if missed is None:
                    sent_id = self.last_id
                    yield _resync(sent_id)
                for event in merge_progress(missed or ()):
                    sent_id = event.id
                    yield message(event)
            stream.known_id = sent_id  # what waits and isn't newer came in the look back
            said_s = checked_s = time.monotonic()
            while not self._ended.is_set():
                await stream.wait(said_s + COMMENT_S)
                if self._ended.is_set():
                    return
                silent = time.monotonic() - said_s >= COMMENT_S
                # Also on a line that is never silent: sessions and tokens end by themselves, too.
                if stream.doubtful or time.monotonic() - checked_s >= COMMENT_S:
                    found = await anyio.to_thread.run_sync(_again, stream.who, self.settings)
                    if found is None:
                        return
                    stream.who, stream.doubtful = found, False
                    checked_s = time.monotonic()
                if stream.lost:
                    stream.clear()
                    stream.known_id = sent_id = self.last_id
                    yield _resync(sent_id)
                for event in stream.take(time.monotonic()):
                    # A progress that was held back may be older than what was sent since: then
                    # it goes without its number, so that Last-Event-ID never runs backwards.
                    yield message(event, numbered=event.id > sent_id)
                    sent_id = max(sent_id, event.id)
                    said_s = time.monotonic()
                if silent:
                    yield b": still here\n\n"
                    said_s = time.monotonic()
        finally:
            self._streams.discard(stream)


class _Stream:
    """What waits for one reader."""

    def __init__(self, who: Principal) -> None:
        self.who = who
        self.wake = asyncio.Event()
        self.lost = False  # it was too slow
        self.doubtful = False  # something about its user has changed
        self._waiting: deque[Event] = deque()
        self._held: dict[str, Event] = {}
        self._progress_s: dict[str, float] = {}
        self.known_id = 0

    def put(self, event: Event) -> None:
        user = self.who.user
        if event.type == "user.changed" and event.only_user_id == user.id:
            self.doubtful = True
            self.wake.set()
        if not access.may_see_event(user.role, user.id, event):
            return
        if len(self._waiting) >= MAX_WAITING:
            self.lost = True
        else:
            self._waiting.append(event)
        self.wake.set()

    async def wait(self, until_s: float) -> None:
        if self._held:
            until_s = min(until_s, time.monotonic() + PROGRESS_GAP_S)
        try:
            async with asyncio.timeout(max(0.01, until_s - time.monotonic())):
                await self.wake.wait()
        except TimeoutError:
            return
        self.wake.clear()

    def clear(self) -> None:
        self._waiting.clear()
        self._held.clear()
        self.lost = False

    def take(self, at_s: float) -> list[Event]:
        """What to send now, oldest first: everything but progress that comes too soon."""
        out: list[Event] = []
        while self._waiting:
            event = self._waiting.popleft()
            if event.id <= self.known_id:
                continue
            if is_progress(event):
                self._held[event.subject] = event
            else:
                self._held.pop(event.subject, None)
                self._progress_s.pop(event.subject, None)
                out.append(event)
        for subject in list(self._held):
            if at_s - self._progress_s.get(subject, -PROGRESS_GAP_S) >= PROGRESS_GAP_S:
                self._progress_s[subject] = at_s
                out.append(self._held.pop(subject))
        return sorted(out, key=lambda event: event.id)


def is_progress(event: Event) -> bool:
    return event.type.endswith(".progress")


def merge_progress(events: Iterable[Event]) -> list[Event]:
    """Of each thing's progress the newest alone, and none when the thing went on since."""
    last: dict[str, int] = {event.subject: event.id for event in events}
    return [e for e in events if not is_progress(e) or last[e.subject] == e.id]


def message(event: Event, *, numbered: bool = True) -> bytes:
    """One event as it goes over the line."""
    data: dict[str, Any] = {
        **event.data,
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "at": machine_time(event.at),
    }
    number = f"id: {event.id}\n" if numbered else ""
    text = json.dumps(data, ensure_ascii=True)  # one line, whatever is in it
    return f"{number}event: {event.type}\ndata: {text}\n\n".encode()


def _resync(last_id: int) -> bytes:
    return f'id: {last_id}\nevent: resync\ndata: {{"id": {last_id}, "type": "resync"}}\n\n'.encode()


def _newest_id() -> int:
    return int(Event.select(fn.MAX(Event.id)).scalar() or 0)


def _missed(who: Principal, last_id: int) -> list[Event] | None:
    """What came after ``last_id`` and is theirs to see; None: too much, or no longer there."""
    with database.connection_context():
        oldest = int(Event.select(fn.MIN(Event.id)).scalar() or 0)
        if last_id > _newest_id() or (0 < last_id < oldest - 1):
            return None
        visible = access.visible_events(who.user).where(Event.id > last_id)
        rows: list[Event] = list(visible.limit(MAX_REPLAY + 1))
        return rows if len(rows) <= MAX_REPLAY else None


def _again(who: Principal, settings: Settings) -> Principal | None:
    with database.connection_context():
        return again(who, settings)
