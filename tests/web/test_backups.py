"""Settings → Backups and its API: what an admin sees, starts, and is shown once."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from appliance.models import BackupRun, Job, Role, Setting
from appliance.states import JobState, RunState
from storage.backups.folder import BackupFolder
from storage.layout import Layout
from tests.storage.backups.boxes import add_video
from tests.tasks.doing import run_all
from tests.web.serving import add_user, browser, script, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.web.serving import Served

KEY = re.compile(r"(?:[0-9A-Z]{5}-){6}[0-9A-Z]{5}")


@pytest.fixture(autouse=True)
def folder(one_server: Served) -> Iterator[BackupFolder]:
    """Without the backups and choices of earlier tests."""
    yield BackupFolder(one_server.settings.backups)
    shutil.rmtree(one_server.settings.backups, ignore_errors=True)
    Setting.delete().where(Setting.name.in_(["recovery_key", "backup_keep"])).execute()


@pytest.fixture
def admin(one_server: Served) -> Iterator[httpx.Client]:
    with browser(one_server.url, add_user()) as client:
        yield client


def page(client: httpx.Client, address: str = "/settings/backups") -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


def test_from_the_first_backup_to_its_removal(
    one_server: Served, box: Layout, admin: httpx.Client, folder: BackupFolder
) -> None:
    add_video(box)
    assert "No backups yet" in page(admin)
    assert "on the same disk" in page(admin)

    assert send_form(admin, "/settings/backups").headers["location"].endswith("done=create")
    assert "Waiting for the delivery worker" in page(admin)
    run_all(one_server.settings)

    (name,) = folder.names()
    text = page(admin)
    assert "1 video · 4 files" in text and "Not verified yet" in text and name in text
    assert "Back up now" in text and f"backup restore {name}" in text
    send_form(admin, f"/settings/backups/{name}/verify")
    send_form(admin, "/settings/backups/drill")
    run_all(one_server.settings)
    text = page(admin)
    assert "Verified" in text and "was restored on trial" in text

    assert "It is the only backup there is." in page(admin, f"/settings/backups/{name}/remove")
    send_form(admin, f"/settings/backups/{name}/remove")
    run_all(one_server.settings)
    assert folder.names() == [] and "No backups yet" in page(admin)
    assert not Job.select().where(Job.state != JobState.COMPLETED).exists()


def test_damage_is_told_with_the_name_of_the_file(
    one_server: Served, box: Layout, admin: httpx.Client, folder: BackupFolder
) -> None:
    video = add_video(box)
    send_form(admin, "/settings/backups")
    run_all(one_server.settings)
    folder.object(str(video.sha256)).unlink()

    send_form(admin, f"/settings/backups/{folder.names()[0]}/verify")
    run_all(one_server.settings)

    text = page(admin)
    assert "Damaged" in text and f"media/{video.public_id}/original: missing" in text
    assert BackupRun.get(BackupRun.kind == "verify").state is RunState.FAILED
    job = Job.select().order_by(Job.id.desc()).get()
    assert job.state is JobState.FAILED and "missing" in job.error


def test_the_recovery_key_is_shown_once(admin: httpx.Client) -> None:
    assert "There is no recovery key" in page(admin)
    answer = send_form(admin, "/settings/backups/key")
    (key,) = set(KEY.findall(answer.text))
    assert answer.headers["cache-control"] == "no-store"

    assert key not in page(admin) + page(admin, "/settings/backups/key")
    assert all(key not in str(row.value) for row in Setting.select())
    assert send_form(admin, "/settings/backups/key").status_code == 409
    again = send_form(admin, "/settings/backups/key", replace="yes")
    assert KEY.findall(again.text)[0] != key


def test_how_many_are_kept_is_chosen(admin: httpx.Client) -> None:
    wrong = send_form(admin, "/settings/backups/policy", daily="0", weekly="1", monthly="x")
    assert wrong.status_code == 422 and 'value="0"' in wrong.text
    right = send_form(admin, "/settings/backups/policy", daily="3", weekly="0", monthly="12")
    assert right.status_code == 303
    assert 'name="monthly" type="text" value="12"' in page(admin)


def test_the_api_says_and_does_the_same(
    one_server: Served, box: Layout, folder: BackupFolder
) -> None:
    add_video(box)
    with script(one_server.url, add_user()) as client:
        assert client.get("/api/v1/backups").json()["items"] == []
        assert client.post("/api/v1/backups").status_code == 202
        made = client.post("/api/v1/backups/recovery-key")
        assert made.status_code == 201 and KEY.fullmatch(made.json()["recovery_key"])
        assert client.post("/api/v1/backups/recovery-key").status_code == 409
        run_all(one_server.settings)
        (name,) = folder.names()
        assert client.get(f"/api/v1/backups/{name}").json()["state"] == "unread"
        assert client.post(f"/api/v1/backups/{name}/verify").status_code == 202
        assert client.post("/api/v1/backups/drill").status_code == 202
        run_all(one_server.settings)
        found = client.get("/api/v1/backups").json()
        assert found["items"][0]["state"] == "good" and found["items"][0]["has_secrets"]
        assert found["drill"]["state"] == "completed" and found["recovery_key"]["id"]
        assert (
            client.patch("/api/v1/backups/policy", json={"daily": 2}).json()["keep"]["daily"] == 2
        )
        assert client.patch("/api/v1/backups/policy", json={"daily": 0}).status_code == 422
        assert client.get("/api/v1/backups/20200101T000000Z").status_code == 404
        assert client.delete("/api/v1/backups/..").status_code in (404, 405)
        assert client.delete(f"/api/v1/backups/{name}").status_code == 202
        assert client.delete("/api/v1/backups/old-data").json() == {"removed": []}
        run_all(one_server.settings)
    assert folder.names() == []


def test_only_admins(one_server: Served) -> None:
    with browser(one_server.url, add_user("e@example.org", Role.EDITOR)) as client:
        assert client.get("/settings/backups").status_code == 403
