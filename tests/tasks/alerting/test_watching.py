"""A delivery worker that is dead can't tell of it: the watch does, with messages of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import peewee
import pytest

from appliance import alert_channels, jobs
from appliance.clock import boot_id, boottime_s, now
from appliance.models import Alert, Heartbeat, Job
from appliance.settings import load_settings
from appliance.states import JobState
from appliance.vault import open_vault
from tasks.alerting import sweep, watching
from tests.tasks.alerting.receivers import http_receiver
from tests.tasks.doing import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from tests.tasks.alerting.receivers import Received

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def got(settings: Settings) -> Iterator[Received]:
    with http_receiver() as received:
        alert_channels.add(
            open_vault(settings),
            name="All",
            address=f"json://127.0.0.1:{received.port}/",
            actor=None,
        )
        for name in ("web", "worker-media", "worker-quick", "worker-delivery"):
            beat(name)
        yield received


def beat(process: str, *, ago_s: float = 0.0) -> None:
    Heartbeat.replace(
        process=process, pid=1, boot_id=boot_id(), beat_boottime_s=boottime_s() - ago_s
    ).execute()


def watch(settings: Settings) -> watching.Watched:
    found: list[watching.Watched] = []
    in_thread(lambda: found.append(watching.watch(settings, open_vault(settings))))
    return found[0]


def titles(got: Received) -> list[str]:
    return [body["title"].partition("] ")[2] for _, body in got.requests]


def test_a_silent_delivery_worker_is_told_of_once_and_when_it_is_back(
    settings: Settings, got: Received
) -> None:
    beat("worker-delivery", ago_s=400)
    first, second = watch(settings), watch(settings)
    assert titles(got) == ["The delivery worker is silent"]
    assert (first.delivery, len(first.sent), second.sent) == (False, 1, [])
    beat("worker-delivery")
    Alert.update(last_at=now() - timedelta(minutes=6)).execute()
    assert watch(settings).delivery
    sweep.look(settings)  # its own ticker, back at work
    job = Job.get()
    assert job.payload["title"] == "Over: The delivery worker is silent"


def test_while_the_worker_reports_there_is_nothing_to_do(settings: Settings, got: Received) -> None:
    beat("worker-media", ago_s=400)
    assert watch(settings) == watching.Watched(delivery=True)
    assert got.requests == [] and Alert.select().count() == 0


def test_a_message_that_nobody_took_up_is_sent_once(settings: Settings, got: Received) -> None:
    channel = alert_channels.channels(settings)[0]
    payload = {"channel": channel.id, "title": "Left", "body": "Behind."}
    jobs.create("alert", "left", payload=payload)
    assert watch(settings).sent == []  # the worker may still come
    Job.update(created_at=now() - timedelta(minutes=6)).execute()
    got.status = 500
    assert watch(settings).failed
    assert Job.get().state is JobState.QUEUED
    got.status = 200
    Job.update(created_at=now() - timedelta(minutes=6)).execute()
    assert watch(settings).sent == ["Left"]
    assert watch(settings).sent == []
    assert (titles(got), Job.get().state) == (["Left", "Left"], JobState.CANCELLED)


def test_a_message_that_could_not_be_sent_is_sent_by_the_next_watch(
    settings: Settings, got: Received
) -> None:
    beat("worker-delivery", ago_s=400)
    got.status = 503
    assert "The delivery worker is silent" in watch(settings).failed
    assert Alert.get().told_at is None
    got.status = 200
    assert watch(settings).sent == ["The delivery worker is silent"]


def test_without_a_database_the_setting_s_addresses_are_told_once_a_day(
    settings: Settings, got: Received, tmp_path: Path
) -> None:
    url = f"json://127.0.0.1:{got.port}/"
    told = settings.model_copy(update={"alert_urls": load_settings({}, alert_urls=url).alert_urls})
    problem = peewee.DatabaseError("file is not a database")
    got.status = 503
    assert watching.tell_without_rows(told, problem).failed
    got.status = 200
    assert watching.tell_without_rows(told, problem).sent == ["The database can't be read"]
    assert watching.tell_without_rows(told, problem).sent == []
    assert len(got.requests) == 2
    assert "file is not a database" in got.requests[0][1]["message"]
