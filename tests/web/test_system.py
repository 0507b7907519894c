"""The System page and `GET /api/v1/system`; the check-up and the bundle from the browser."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import backup_runs, certificates
from appliance.certificates import Certificate
from appliance.clock import boot_id, boottime_s, now
from appliance.models import Account, Alert, AuditEntry, Heartbeat, Setting
from appliance.states import AccountState
from tasks.checkup import task as checkup
from tests.tasks.doing import run_all
from tests.web.serving import browser, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User
    from tests.web.serving import Served


@pytest.fixture
def page(one_server: Served, owner: User) -> Iterator[httpx.Client]:
    with browser(one_server.url, owner) as client:
        yield client


def test_the_box_in_one_answer(sender: httpx.Client) -> None:
    Heartbeat.delete().execute()
    Setting.delete().where(Setting.name == checkup.NAME).execute()
    Heartbeat.create(process="web", pid=1, boot_id=boot_id(), beat_boottime_s=boottime_s(), info={})
    Heartbeat.create(
        process="worker-media", pid=1, boot_id=boot_id(), beat_boottime_s=boottime_s() - 90
    )
    Account.create(platform="youtube", remote_id="1", name="Pier", state=AccountState.RECONNECT)
    Alert.create(key="disk_low:data", kind="disk_low", title="Full", text="It is.")
    backup_runs.fail(backup_runs.begin("create"), "No room.")
    found = sender.get("/api/v1/system").json()
    processes = {process["name"]: process for process in found["processes"]}
    assert [processes[n]["alive"] for n in ("web", "media", "quick", "delivery")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert processes["media"]["silent_s"] >= 90 and processes["quick"]["silent_s"] is None
    assert {queue["name"] for queue in found["queues"]} == {"media", "quick", "delivery"}
    assert "The media worker does not report." in found["reasons"]
    assert found["backups"]["error"] == "No room."
    assert [account["name"] for account in found["reconnect"]] == ["Pier"]
    assert [alert["key"] for alert in found["alerts"]] == ["disk_low:data"]
    assert found["machine"]["memory_bytes"] > found["machine"]["memory_free_bytes"] > 0
    assert found["disk"]["reserve_bytes"] == 10 * 2**20
    assert found["certificate"] is None
    assert found["checkup"] == {"at": None, "running": False, "findings": []}


def test_check_now_is_a_job_and_its_findings_show(
    page: httpx.Client, sender: httpx.Client, one_server: Served
) -> None:
    assert send_form(page, "/settings/system/check").status_code == 303
    assert "The box is being checked" in page.get("/settings/system").text
    run_all(one_server.settings)
    found = sender.get("/api/v1/system").json()["checkup"]
    assert found["at"] and not found["running"]
    order = [finding["verdict"] for finding in found["findings"]]
    assert order == sorted(order, key=["bad", "note", "good"].index)
    shown = page.get("/settings/system").text
    assert "Credentials key" in shown and "Check now" in shown
    begun = sender.post("/api/v1/system/check")
    assert begun.status_code == 202 and begun.json()["job_id"]


def test_the_page_in_words(page: httpx.Client, one_server: Served) -> None:
    certificates.keep(Certificate(now(), "box.example", error="refused"))
    backup_runs.complete(backup_runs.begin("create", scheduled=True))
    type(backup_runs.begin("create")).update(
        started_at=now() - timedelta(days=3), finished_at=now() - timedelta(days=3)
    ).execute()
    shown = page.get("/settings/system").text
    for words in ("Delivery worker", "Queues", "Late:", "Machine on for", "Check now"):
        assert words in shown, words


@pytest.mark.parametrize("path", ["/settings/system/diagnostics", "/api/v1/system/diagnostics"])
def test_the_bundle_is_downloaded_and_that_is_written_down(
    page: httpx.Client, sender: httpx.Client, path: str
) -> None:
    answer = (sender if path.startswith("/api") else page).get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    assert ".zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
        assert {"README.txt", "doctor.json", "settings.json"} <= set(bundle.namelist())
        assert "owner@example.org" not in "".join(
            bundle.read(n).decode() for n in bundle.namelist()
        )
    assert AuditEntry.select().where(AuditEntry.action == "system.diagnostics").count() == 1
