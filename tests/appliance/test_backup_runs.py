"""Runs of backups as rows: who is at it, what died, what the newest of them say."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from appliance import backup_runs
from appliance.clock import now
from appliance.models import BackupRun, Event
from appliance.states import RunState

pytestmark = pytest.mark.usefixtures("db")


def test_a_run_is_told_while_it_goes_and_when_it_ends() -> None:
    run = backup_runs.begin("create", scheduled=True)
    backup_runs.report(run, "Copying", 0.5)
    assert [row.id for row in backup_runs.running()] == [run.id]

    backup_runs.complete(run, "one", files=3)

    row = BackupRun.get_by_id(run.id)
    assert (row.state, row.name, row.info["files"]) == (RunState.COMPLETED, "one", 3)
    assert backup_runs.running() == []
    told = [event.type for event in Event.select().order_by(Event.id)]
    assert told == ["backup.running", "backup.completed"]
    assert backup_runs.scheduled_since() == row.started_at


def test_a_run_of_a_process_that_died_has_failed() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    run = backup_runs.begin("create")
    BackupRun.update(pid=process.pid, info={}).execute()

    assert backup_runs.settle_dead() == 1

    assert BackupRun.get_by_id(run.id).state is RunState.FAILED
    assert "ended before it was done" in BackupRun.get_by_id(run.id).error


@pytest.mark.parametrize(
    "columns", [{"boot_id": "another start"}, {"info": {"pid_started": "1"}, "pid": os.getpid()}]
)
def test_a_number_that_came_again_is_another_process(columns: dict[str, object]) -> None:
    backup_runs.begin("drill")
    BackupRun.update(**columns).execute()

    assert backup_runs.running() == []


def test_a_failure_stands_until_something_newer_went_well() -> None:
    backup_runs.complete(backup_runs.begin("create"), "one")
    backup_runs.fail(backup_runs.begin("create"), "The disk is full.")
    backup_runs.fail(backup_runs.begin("drill"), "A file has changed.")
    found = backup_runs.latest(backup_runs.newest())
    assert found.backup is not None and found.backup.name == "one"
    assert found.backup_failed is not None and found.drill_failed is not None

    backup_runs.complete(backup_runs.begin("create"), "two")

    found = backup_runs.latest(backup_runs.newest())
    assert found.backup is not None and found.backup.name == "two"
    assert found.backup_failed is None


def test_late_is_what_is_older_than_a_day_and_a_half() -> None:
    backup_runs.complete(backup_runs.begin("create"), "one")
    found = backup_runs.latest(backup_runs.newest())
    long_ago, later = now() - timedelta(days=30), now() + timedelta(hours=37)

    assert not backup_runs.is_late(found, expected_since=long_ago, at=now())
    assert backup_runs.is_late(found, expected_since=long_ago, at=later)
    assert not backup_runs.is_late(found, expected_since=None, at=later)
    nothing = backup_runs.Latest()
    assert backup_runs.is_late(nothing, expected_since=long_ago, at=now())
    assert not backup_runs.is_late(nothing, expected_since=now(), at=now())
