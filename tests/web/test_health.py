"""What a watchdog and an admin are told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance import jobs
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.heartbeats import SILENT_AFTER_S, WORKERS
from appliance.models import Heartbeat, Job, Role
from tests.web.serving import add_user, browser, prepare, serving

if TYPE_CHECKING:
    from appliance.settings import Settings


def beat(name: str, *, ago_s: float = 0.0, boot: str | None = None) -> None:
    with database.connection_context():
        Heartbeat.replace(
            process=f"worker-{name}",
            pid=1,
            boot_id=boot or boot_id(),
            beat_boottime_s=boottime_s() - ago_s,
        ).execute()


def test_live_needs_no_database(settings: Settings) -> None:
    with serving(settings) as url, browser(url) as client:
        settings.database_path.rename(settings.data / "away.db")
        assert client.get("/health/live").json() == {"status": "alive"}


def test_ready_when_all_workers_report(settings: Settings) -> None:
    prepare(settings)
    with serving(settings) as url, browser(url, add_user()) as client:
        for name in WORKERS:
            beat(name)
        answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reasons": []})


def test_a_token_that_is_unknown_is_refused_and_not_sent_to_the_sign_in_page(
    settings: Settings,
) -> None:
    prepare(settings)
    with serving(settings) as url, browser(url) as client:
        for word in ("ma_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", "\u00e9"):
            headers = {"Authorization": f"Bearer {word}".encode()}
            answer = client.get("/health/ready", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_unready_names_the_silent_worker_to_admins_only(settings: Settings) -> None:
    prepare(settings)
    owner, viewer = add_user(), add_user("viewer@example.org", Role.VIEWER)
    with (
        serving(settings) as url,
        browser(url, owner) as admin,
        browser(url, viewer) as other,
        browser(url) as stranger,
    ):
        beat("media", ago_s=SILENT_AFTER_S + 1)
        beat("quick", boot="an earlier start of the machine")
        beat("delivery")
        answer = admin.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == [
            "The media worker does not report.",
            "The quick worker does not report.",
        ]
        for client in (other, stranger):
            assert client.get("/health/ready").json() == {"status": "unready"}


def test_unready_when_the_disk_reserve_is_touched(settings: Settings) -> None:
    prepare(settings)
    greedy = settings.model_copy(update={"disk_reserve": 2**60})
    with serving(greedy) as url, browser(url, add_user()) as client:
        for name in WORKERS:
            beat(name)
        answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "uploads stop below" in answer.json()["reasons"][0]


def test_unready_when_a_queue_stands_still(settings: Settings) -> None:
    prepare(settings)
    with serving(settings) as url, browser(url, add_user()) as client:
        for name in WORKERS:
            beat(name)
        with database.connection_context():
            Heartbeat.update(started_at=now() - timedelta(hours=1)).execute()
            jobs.create("encode", "old")
            Job.update(created_at=now() - timedelta(minutes=12)).execute()
        answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        "The media queue stands still: its oldest job has waited for 12 minutes."
    ]
