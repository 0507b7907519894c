"""Checks of the machine and of what needs care; programs of systemd's stand in for systemd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance import alert_channels, backup_runs, kept
from appliance.clock import now
from appliance.doctor import Verdict
from appliance.models import Account, BackupRun, Event
from appliance.states import AccountState
from appliance.vault import open_vault
from tasks.alerting import disk_history
from tasks.checkup import care, owner, running, system, task
from tests.tasks.doing import run_all

if TYPE_CHECKING:
    from appliance.settings import Settings


def program(folder: Path, name: str, answer: str, code: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed box whose `systemctl` and `timedatectl` say what a test wants."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(system, "RUNNING", tmp_path)
    monkeypatch.setattr(system, "is_installed", lambda: True)
    return tmp_path / "bin"


def units(machine: Path, **states: str) -> None:
    rows = [
        {"unit": name, "load": "loaded", "active": "active", "sub": "x"} for name in system.WANTED
    ]
    for name, state in states.items():
        rows = [row for row in rows if row["unit"] != name]
        if state:
            rows.append({"unit": name, "load": "loaded", "active": state, "sub": "dead"})
    program(machine, "systemctl", json.dumps(rows))


def test_units_that_failed_or_are_missing_are_named(machine: Path, settings: Settings) -> None:
    units(machine)
    assert system.check_units(settings).verdict is Verdict.GOOD
    units(machine, **{"appliance-web.service": "failed", "appliance-backup.timer": ""})
    found = system.check_units(settings)
    assert found.verdict is Verdict.BAD
    assert "appliance-backup.timer is not loaded" in found.found
    assert "appliance-web.service is failed" in found.found
    assert "systemctl restart 'appliance-backup.timer' 'appliance-web.service'" in found.mend


def test_a_systemd_that_does_not_answer_is_a_note(machine: Path, settings: Settings) -> None:
    program(machine, "systemctl", "", code=1)
    program(machine, "timedatectl", "", code=1)
    for check in (system.check_units, system.check_time_sync):
        found = check(settings)
        assert (found.verdict, "can't be asked" in found.found) == (Verdict.NOTE, True)


@pytest.mark.parametrize(("said", "verdict"), [("yes", Verdict.GOOD), ("no", Verdict.NOTE)])
def test_whether_the_clock_is_kept(
    machine: Path, settings: Settings, said: str, verdict: Verdict
) -> None:
    program(machine, "timedatectl", said)
    assert system.check_time_sync(settings).verdict is verdict


def test_whether_the_journal_is_kept(
    machine: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system, "JOURNAL", tmp_path / "none")
    assert system.check_journal(settings).verdict is Verdict.NOTE
    (tmp_path / "none").mkdir()
    assert system.check_journal(settings).verdict is Verdict.GOOD


@pytest.mark.usefixtures("db")
def test_backups_by_age_end_and_place(settings: Settings) -> None:
    assert (care.check_backups(settings).verdict, care.check_drill(settings).found) == (
        Verdict.NOTE,
        "never",
    )
    backup_runs.complete(backup_runs.begin("create", scheduled=True))
    settings.backups.mkdir()
    found = care.check_backups(settings)
    assert (found.verdict, found.mend[:33]) == (Verdict.NOTE, "Set APPLIANCE_BACKUP_FOLDER to a ")
    backup_runs.complete(backup_runs.begin("create"), problems=["videos/1/a.mp4: missing"])
    found = care.check_backups(settings)
    assert (found.verdict, "videos/1/a.mp4: missing" in found.found) == (Verdict.BAD, True)
    BackupRun.update(
        started_at=now() - timedelta(days=3), finished_at=now() - timedelta(days=3)
    ).execute()
    found = care.check_backups(settings)
    assert (found.verdict, found.found) == (Verdict.BAD, "late: the last is 3 days old")
    backup_runs.fail(backup_runs.begin("drill"), "A file differs.")
    found = care.check_drill(settings)
    assert (found.verdict, "A file differs." in found.found) == (Verdict.BAD, True)
    backup_runs.fail(backup_runs.begin("create"), "No room.")
    assert "No room." in care.check_backups(settings).found


@pytest.mark.usefixtures("db")
def test_alerts_need_a_channel_that_works(settings: Settings) -> None:
    assert care.check_alerts(settings).verdict is Verdict.NOTE
    vault = open_vault(settings)
    row = alert_channels.add(vault, name="Mail", address="json://127.0.0.1/", actor=None)
    assert care.check_alerts(settings).verdict is Verdict.GOOD
    alert_channels.note_sent(row.public_id, error="It is away.", at=now())
    found = care.check_alerts(settings)
    assert (found.verdict, row.public_id in found.mend) == (Verdict.BAD, True)


@pytest.mark.usefixtures("db")
def test_an_account_to_connect_again_is_bad(settings: Settings) -> None:
    assert care.check_accounts(settings).verdict is Verdict.GOOD
    Account.create(platform="youtube", remote_id="1", name="Pier", state=AccountState.RECONNECT)
    assert "Pier" in care.check_accounts(settings).found


@pytest.mark.usefixtures("db")
def test_a_disk_that_fills_up_soon_is_told(settings: Settings) -> None:
    assert running.check_space(settings).verdict is Verdict.GOOD
    today, gib = date.today(), 2**30
    kept.write(
        disk_history.NAME,
        {(today - timedelta(days=n)).isoformat(): (4 + 2 * n) * gib for n in range(8)},
    )
    found = running.check_space(settings)
    assert (found.verdict, "full in about 2 days" in found.found) == (Verdict.NOTE, True)


@pytest.mark.usefixtures("db")
def test_check_now_keeps_what_it_finds(settings: Settings) -> None:
    assert task.last() == ("", [])
    assert task.start(None).id == task.start(None).id  # one at a time
    run_all(settings)
    at, findings = task.last()
    assert at and len(findings) == len(task.CHECKS)
    assert all(each.mend for each in findings if each.verdict is not Verdict.GOOD)
    assert Event.select().where(Event.type == "system.checked").count() == 1


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_root_makes_belongs_to_the_box() -> None:
    # Not in pytest's own folder: nobody else may look into that.
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        Path(folder).chmod(0o755)
        # The proxy's group, say; what is made is of the user's own.
        os.chown(data, 65534, 1)
        code = (
            "from pathlib import Path; from tasks.checkup.owner import become_owner; import sys;"
            "d = Path(sys.argv[1]); become_owner(d); (d / 'made').touch()"
        )
        root = Path(owner.__file__).parents[2]
        subprocess.run([sys.executable, "-c", code, str(data)], check=True, cwd=root)
        made = (data / "made").stat()
        assert (made.st_uid, made.st_gid) == (65534, 65534)
