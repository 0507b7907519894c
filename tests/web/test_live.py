"""The stream of events, as a browser reads it."""

from __future__ import annotations

import json
import signal
import threading
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import events, sessions, tokens, users, videos
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.models import ApiToken, Event, Role, Session, Source, Visibility
from tests.web.serving import (
    add_user,
    browser,
    prepare,
    script,
    served,
    serving,
    serving_process,
    wait_until,
)
from web import live
from web.auth import Principal
from web.live import merge_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


class Reader:
    """Reads a stream in a thread; ``next()`` is the next message, ``ended`` is set at its end."""

    def __init__(self, client: httpx.Client, last_id: int | None = None) -> None:
        self.messages: Queue[dict[str, Any]] = Queue()
        self.opened = threading.Event()
        self.ended = threading.Event()
        self.was_complete = False  # ended by the server, not cut off
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        self._thread = threading.Thread(target=self._read, args=(client, headers))
        self._thread.start()
        assert self.opened.wait(10), "the stream did not open"

    def _read(self, client: httpx.Client, headers: dict[str, str]) -> None:
        try:
            with client.stream("GET", "/api/v1/events", headers=headers, timeout=60) as answer:
                block: dict[str, Any] = {}
                for line in answer.iter_lines():
                    self.opened.set()
                    name, _, value = line.partition(": ")
                    if line and name:
                        block[name] = value
                    elif block.get("event"):
                        self.messages.put({**block, "data": json.loads(block["data"])})
                        block = {}
                    else:
                        block = {}
                self.was_complete = True
        except (httpx.TransportError, httpx.StreamError):
            pass
        finally:
            self.opened.set()
            self.ended.set()

    def next(self, seconds: float = 10) -> dict[str, Any]:
        try:
            return self.messages.get(timeout=seconds)
        except Empty:
            raise AssertionError("no message came") from None

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def box(settings: Settings) -> Iterator[str]:
    prepare(settings)
    with serving(settings) as url:
        yield url


def record(type: str, subject: str = "test:1", **more: Any) -> int:
    with database.connection_context():
        return events.record(type, subject, **more)


def test_event_arrives_with_number_type_and_data(box: str) -> None:
    with browser(box, add_user()) as client:
        reader = Reader(client)
        number = record("test.happened", word="line\nbreak", video_id="v1")
        message = reader.next()
    assert message["id"] == str(number)
    assert message["event"] == "test.happened"
    assert message["data"]["word"] == "line\nbreak"
    assert message["data"]["subject"] == "test:1"


def test_stream_goes_on_after_last_event_id_without_gap_or_double(box: str) -> None:
    user = add_user()
    first = record("test.one")
    others = [record("test.more") for _ in range(5)]
    with browser(box, user) as client:
        reader = Reader(client, last_id=first)
        newer = record("test.newer")
        numbers = [int(reader.next()["id"]) for _ in range(6)]
    assert numbers == [*others, newer]


def test_reader_too_far_behind_is_told_to_load_anew(box: str) -> None:
    user = add_user()
    first = record("test.one")
    with database.connection_context(), database.atomic():
        for _ in range(live.MAX_REPLAY + 1):
            events.record("test.more", "test:1")
    with browser(box, user) as client:
        assert Reader(client, last_id=first).next()["event"] == "resync"


@pytest.mark.parametrize("gone", ["pruned", "from another database"])
def test_reader_of_lost_events_is_told_to_load_anew(box: str, gone: str) -> None:
    user = add_user()
    numbers = [record("test.one") for _ in range(5)]
    last = numbers[0] if gone == "pruned" else numbers[-1] + 1000
    if gone == "pruned":
        with database.connection_context():
            Event.delete().where(Event.id < numbers[3]).execute()
    with browser(box, user) as client:
        assert Reader(client, last_id=last).next()["event"] == "resync"


def test_private_events_reach_their_owner_and_admins_only(box: str) -> None:
    owner, editor = add_user(), add_user("editor@example.org", Role.EDITOR)
    other = add_user("other@example.org", Role.EDITOR)
    with (
        browser(box, owner) as c1,
        browser(box, editor) as c2,
        browser(box, other) as c3,
    ):
        readers = [Reader(c1), Reader(c2), Reader(c3)]
        with database.connection_context():
            video = videos.create(
                owner=editor, filename="a.mp4", source=Source.API, visibility=Visibility.PRIVATE
            )
            events.record("test.admins", "test:1", admins_only=True)
            events.record("test.end", "test:1")
        seen = []
        for reader in readers:
            types = []
            while (message := reader.next())["event"] != "test.end":
                types.append(message["event"])
            seen.append(types)
    assert video.visibility is Visibility.PRIVATE
    assert seen == [["video.created", "test.admins"], ["video.created"], []]


def test_stream_ends_when_the_session_is_revoked(box: str) -> None:
    user = add_user()
    with browser(box, user) as client:
        reader = Reader(client)
        with database.connection_context():
            sessions.revoke(user, Session.get(Session.user == user).id)
        assert reader.ended.wait(10), "the stream went on"


def test_stream_ends_when_the_token_is_revoked(box: str) -> None:
    user = add_user()
    with script(box, user, [Scope.READ]) as client:
        reader = Reader(client)
        with database.connection_context():
            tokens.revoke(user, ApiToken.get(ApiToken.user == user).public_id)
        assert reader.ended.wait(10), "the stream went on"


def test_stream_ends_when_the_user_is_deactivated(box: str) -> None:
    owner, editor = add_user(), add_user("editor@example.org", Role.EDITOR)
    with script(box, editor) as client:
        reader = Reader(client)
        with database.connection_context():
            users.deactivate(editor, actor=owner)
        assert reader.ended.wait(10), "the stream went on"


def test_stream_with_much_to_say_ends_with_its_token(
    box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.live.COMMENT_S", 0.5)
    owner = add_user()
    with script(box, owner) as client:
        reader = Reader(client)
        with database.connection_context():
            ApiToken.update(expires_at=now()).where(ApiToken.user == owner).execute()

        def ended() -> bool:
            record("test.more")
            return reader.ended.is_set()

        wait_until("the stream ends", ended, seconds=10)


def test_token_without_read_gets_no_stream(box: str) -> None:
    with script(box, add_user(), [Scope.UPLOAD]) as client:
        assert client.get("/api/v1/events").status_code == 403


def test_progress_is_merged_and_the_last_one_arrives(box: str) -> None:
    with browser(box, add_user()) as client:
        reader = Reader(client)
        for step in range(40):
            record("job.progress", "job:1", step=step)
        record("test.end")
        steps = []
        while not steps or steps[-1] != 39:
            message = reader.next()
            if message["event"] == "job.progress":
                steps.append(message["data"]["step"])
    assert len(steps) < 40
    assert steps == sorted(steps)


def test_slow_reader_is_told_to_load_anew(settings: Settings) -> None:
    prepare(settings)
    user = add_user()
    stream = live._Stream(Principal(user, None))
    with database.connection_context():
        rows = [
            Event.create(type="test.one", subject="test:1") for _ in range(live.MAX_WAITING + 1)
        ]
    for row in rows[:-1]:
        stream.put(row)
    assert not stream.lost
    stream.put(rows[-1])
    assert stream.lost


def test_merge_keeps_the_newest_progress_of_what_is_still_going_on() -> None:
    def event(number: int, type: str, subject: str) -> Event:
        return Event(id=number, type=type, subject=subject)

    rows = [
        event(1, "job.progress", "job:a"),
        event(2, "job.progress", "job:b"),
        event(3, "job.progress", "job:a"),
        event(4, "job.completed", "job:b"),
    ]
    assert [row.id for row in merge_progress(rows)] == [3, 4]


def test_open_stream_does_not_hold_up_the_end_of_the_server(settings: Settings) -> None:
    prepare(settings)
    user = add_user()
    with served(settings) as running:
        client = browser(running.url, user)
        reader = Reader(client)
        running.app.state.live.end_soon()
        assert reader.ended.wait(5), "the stream went on"
        assert reader.was_complete
        client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_signal_ends_streams_and_then_the_process(
    settings: Settings, number: signal.Signals
) -> None:
    prepare(settings)
    user = add_user()
    with serving_process(settings) as (url, process), browser(url, user) as client:
        reader = Reader(client)
        process.send_signal(number)
        assert reader.ended.wait(20), "the stream went on"
        assert reader.was_complete, "the stream was cut off, not ended"
        assert process.wait(timeout=20) == 0


def test_watcher_survives_a_database_that_is_locked(settings: Settings) -> None:
    prepare(settings)
    user = add_user()
    with serving(settings) as url, browser(url, user) as client:
        reader = Reader(client)
        with database.connection_context(), database.atomic("EXCLUSIVE"):
            events.record("test.one", "test:1")
        wait_until("the event is here", lambda: not reader.messages.empty())
