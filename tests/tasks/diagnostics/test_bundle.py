"""Secrets are planted everywhere; not one of them is in the bundle."""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from appliance import alert_channels, backup_runs, jobs, tokens
from appliance.access import Scope
from appliance.db import database
from appliance.models import Account, Alert, Job, Role
from appliance.settings import load_settings
from appliance.states import AccountState, JobState
from appliance.vault import open_vault
from tasks.checkup.care import check_accounts
from tasks.diagnostics import bundle
from tasks.diagnostics.scrub import GONE, scrub
from tests.factories import make_user, make_video
from tests.tasks.doing import in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings

MARK = "PLANTED"  # part of each secret that the bundle must not have
CAPABILITY = f"01m7zzk4s2f9wq0c6yv8h3n5tb.{MARK}x9-_Q"
SETTINGS = {
    "google_client_secret": f"GOCSPX-{MARK}",
    "facebook_app_secret": f"{MARK}deadbeef",
    "metrics_token": f"a token for monitoring {MARK}",
    "alert_urls": f"mailtos://box:{MARK}@mail.example.org ntfys://{MARK}topic@ntfy.example.org/x",
    "privacy_contact": f"{MARK}@example.org",
}
LOGS = f"""\
2026-05-01T12:00:00 box appliance[7]: request method=PATCH path=/files/{CAPABILITY} status=204
2026-05-01T12:00:01 box appliance[7]: GET https://video.example.org/public/{MARK}/social.mp4
2026-05-01T12:00:02 box appliance[7]: sent to https://graph.example/v25.0/me?access_token={MARK}&a=b
2026-05-01T12:00:03 box appliance[7]: Authorization: Bearer {MARK}.abc.def
2026-05-01T12:00:04 box appliance[7]: mail of {MARK}.ada@example.org was taken
2026-05-01T12:00:05 box appliance[7]: {{"refresh_token": "1//0{MARK}", "password": "{MARK}"}}
2026-05-01T12:00:06 box appliance[7]: opened: post_failed: “{MARK} wedding” could not be posted
2026-05-01T12:00:07 box appliance[7]: json://user:{MARK}@hooks.example.org/x
2026-05-01T12:00:08 box appliance[7]: cookie=session={MARK} /invite/{MARK} /send/{MARK}/files
2026-05-01T12:00:08 box appliance[7]: mail of {MARK}@appliance-worker.service.example was taken
2026-05-01T12:00:09 box appliance[7]: worker media: 3 jobs of encode took 12.5 s
"""


@pytest.fixture
def planted(
    settings: Settings, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, answer in (("journalctl", LOGS), ("systemctl", "[]")):
        (programs / f"{name}.txt").write_text(answer)
        (programs / name).write_text(f"#!/bin/sh\ncat '{programs / name}.txt'\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    user = make_user(f"{MARK}@example.org", Role.OWNER, name=f"Ada {MARK}")
    token = tokens.create(user, name="x", scopes=[Scope.READ])[1]
    with (programs / "journalctl.txt").open("a") as log:
        log.write(f"2026-05-01T12:00:10 box appliance[7]: token {token}\n")
    vault = open_vault(settings)
    key = (settings.data / "secret.key").read_text()
    with (programs / "journalctl.txt").open("a") as log:
        log.write(f"2026-05-01T12:00:11 box appliance[7]: key {key}\n")
    Account.create(
        platform="youtube", remote_id="1", name=f"Pier {MARK}", state=AccountState.RECONNECT,
        credentials=vault.encrypt({"token": MARK}, bound_to="x"),
    )  # fmt: skip
    alert_channels.add(vault, name=f"To {MARK}", address=f"json://{MARK}@h.example/", actor=None)
    job = jobs.create("encode", "x", video=make_video(title=f"{MARK} wedding"))
    Job.update(
        state=JobState.FAILED, error=f"{MARK} broke", error_code="crashed", detail=MARK
    ).where(Job.id == job.id).execute()
    Alert.create(key="post_failed:x", kind="post_failed", title=MARK, text=MARK)
    backup_runs.fail(backup_runs.begin("create"), f"“{MARK}” is no folder.")
    loaded = load_settings({}, **SETTINGS)
    return settings.model_copy(update={name: getattr(loaded, name) for name in SETTINGS})


def unpack(settings: Settings, *findings: object) -> dict[str, str]:
    made: list[bytes] = []
    in_thread(lambda: made.append(bundle.make(settings, findings or None)))  # type: ignore[arg-type]
    with zipfile.ZipFile(io.BytesIO(made[0])) as zipped:
        return {name: zipped.read(name).decode() for name in zipped.namelist()}


def test_no_planted_secret_is_in_it(planted: Settings) -> None:
    finding = check_accounts(planted)
    assert MARK in finding.found
    files = unpack(planted, finding)
    key = (planted.data / "secret.key").read_text().strip()
    assert len(files) == 13
    for name, text in files.items():
        at = text.find(MARK)
        assert at < 0, f"{name}: {text[max(0, at - 60) : at + 40]}"
        assert key not in text and "token ma_" not in text


def test_what_helps_is_in_it(planted: Settings) -> None:
    files = unpack(planted)
    assert "worker media: 3 jobs of encode took 12.5 s" in files["logs.txt"]
    assert "method=PATCH" in files["logs.txt"] and f"/files/{GONE}" in files["logs.txt"]
    assert json.loads(files["settings.json"])["google_client_secret"] == "set"
    assert json.loads(files["settings.json"])["facebook_app_id"] == ""
    assert ["encode", "crashed", 1] in json.loads(files["jobs.json"])["failed_by_reason"]
    assert json.loads(files["database.json"])["quick_check"] == "ok"
    assert json.loads(files["database.json"])["rows"]["Video"] == 1
    assert json.loads(files["backups.json"])[0]["state"] == "failed"
    assert json.loads(files["versions.json"])["packages"]["apprise"]
    assert json.loads(files["units.json"]) == []
    checked = json.loads(files["doctor.json"])
    assert (checked["at"], checked["findings"]) == ("never", [])
    assert "Press Check now" in checked["mend"]


def test_what_cannot_be_asked_says_so_and_the_rest_is_there(
    planted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    files = unpack(planted)
    assert "can't be read from here" in files["logs.txt"]
    assert "`sudo appliance diagnostics`" in files["logs.txt"]
    assert "missing" in json.loads(files["units.json"])
    database.execute_sql('ALTER TABLE "alert" RENAME TO "gone"')
    files = unpack(planted)
    assert "no such table" in json.loads(files["alerts.json"])["missing"]
    assert json.loads(files["disk.json"])["reserve"] == 10 * 2**20


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T12:00:09 worker media: job 01m7zzk4s2f9wq0c6yv8h3n5tb took 12.5 s",
        '"password_reset_hours": 24',
        "path=/api/v1/videos/01m7zzk4s2f9wq0c6yv8h3n5tb status=200",
        '"metrics_token": "set"',
        "systemd[1]: appliance-worker@media.service: Main process exited, code=killed",
        "appliance-sandbox@7-1234-998.service: Failed with result 'oom-kill'.",
    ],
)
def test_what_tells_nothing_stays(text: str) -> None:
    assert scrub(text) == text


def test_short_names_go_as_whole_words() -> None:
    assert scrub("to connect again: Ada, Al", ["Ada", "Al", "x"]) == (
        f"to connect again: {GONE}, {GONE}"
    )
    assert scrub("Also in Adana, xx", ["Ada", "Al", "x"]) == "Also in Adana, xx"
