"""What is wrong with a box becomes rows and messages; all but the clock of old rows is real."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import accounts, alert_channels, backup_runs, certificates, jobs, kept
from appliance.alerts import path_of
from appliance.certificates import Certificate
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.models import (
    Account,
    Alert,
    AlertChannel,
    Damage,
    Heartbeat,
    Job,
    Post,
    PostTarget,
)
from appliance.states import AccountState, AlertState, PostState, TargetState
from appliance.vault import open_vault
from tasks.alerting import disk_history, sweep, troubles
from tests.factories import make_video
from tests.tasks.alerting.receivers import http_receiver
from tests.tasks.doing import run_all

if TYPE_CHECKING:
    from appliance.settings import Settings

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def all_alive(db: None) -> None:
    for name in ("web", "worker-media", "worker-quick", "worker-delivery"):
        beat(name)


def beat(process: str, *, ago_s: float = 0.0, **columns: Any) -> None:
    Heartbeat.replace(
        process=process,
        pid=1,
        boot_id=boot_id(),
        beat_boottime_s=boottime_s() - ago_s,
        started_at=now() - timedelta(hours=1),
        **columns,
    ).execute()


def keys(settings: Settings) -> list[str]:
    return [trouble.key for trouble in troubles.gather(settings)]


def make_account(**columns: Any) -> Account:
    values = {"platform": "youtube", "remote_id": "UC1", "name": "Harbour Museum", **columns}
    return Account.create(**values)


def fail_post(account: Account, **columns: Any) -> Post:
    post = Post.create(
        video=make_video(),
        title="Tide",
        **{"state": PostState.FAILED, "finished_at": now(), **columns},
    )
    PostTarget.create(post=post, account=account, state=TargetState.FAILED, error="It is locked.")
    return post


def test_nothing_is_wrong_with_a_healthy_box(settings: Settings) -> None:
    assert keys(settings) == []
    sweep.look(settings)
    assert Alert.select().count() == Job.select().count() == 0


def test_each_silent_process_is_found(settings: Settings) -> None:
    beat("worker-media", ago_s=240)
    Heartbeat.delete().where(Heartbeat.process == "web").execute()
    found = {trouble.key: trouble for trouble in troubles.gather(settings)}
    assert sorted(found) == ["worker_silent:media", "worker_silent:web"]
    assert found["worker_silent:media"].lasts >= timedelta(minutes=4)
    assert "4 minutes ago" in found["worker_silent:media"].text


def test_a_queue_that_stands_still_is_found_a_busy_one_is_not(settings: Settings) -> None:
    job = jobs.create("encode", "one")
    Job.update(created_at=now() - timedelta(minutes=20)).execute()
    assert keys(settings) == ["queue_stuck:media"]
    jobs.create("encode", "two")
    assert jobs.claim("media", "test", lease_s=60) is not None
    assert keys(settings) == []
    Job.delete().where(Job.id == job.id).execute()
    # Just started, after a night: its wait is not the worker's.
    Job.update(created_at=now() - timedelta(hours=9)).execute()
    beat("worker-media")
    Heartbeat.update(started_at=now()).where(Heartbeat.process == "worker-media").execute()
    assert keys(settings) == []


def test_a_disk_below_its_reserve_is_found(settings: Settings) -> None:
    assert keys(settings.model_copy(update={"disk_reserve": 2**60})) == ["disk_low:data"]


def test_backups_that_are_late_or_failed_are_found(settings: Settings) -> None:
    def run(kind: str, *, ago: timedelta, error: str = "") -> None:
        made = backup_runs.begin(kind, scheduled=True)
        backup_runs.fail(made, error) if error else backup_runs.complete(made)
        times = {"started_at": now() - ago, "finished_at": now() - ago}
        type(made).update(**times).where(type(made).id == made.id).execute()

    run("create", ago=timedelta(hours=40))
    run("drill", ago=timedelta(hours=1), error="A file differs.")
    run("verify", ago=timedelta(hours=1), error="A bit has flipped.")
    found = {trouble.key: trouble for trouble in troubles.gather(settings)}
    assert sorted(found) == ["backup_failed:verify", "backup_late:create", "drill_failed:drill"]
    assert found["drill_failed:drill"].text == "A file differs."
    run("create", ago=timedelta(hours=1), error="No room.")
    assert "backup_failed:create" in keys(settings)
    run("create", ago=timedelta(0))
    run("drill", ago=timedelta(0))
    run("verify", ago=timedelta(0))
    assert keys(settings) == []
    # It was made, and good, of a box whose files are not.
    backup_runs.complete(backup_runs.begin("create"), problems=["videos/1/a.mp4: missing"])
    (found_now,) = troubles.gather(settings)
    assert (found_now.key, found_now.text) == ("backup_failed:files", "videos/1/a.mp4: missing")
    run("create", ago=timedelta(0))
    assert keys(settings) == []


def test_an_account_to_connect_again_is_found_practice_is_not(settings: Settings) -> None:
    real = make_account(state=AccountState.RECONNECT, error="Its password was changed.")
    make_account(remote_id="UC2", state=AccountState.RECONNECT, practice=True)
    make_account(remote_id="UC3", expires_at=now() + timedelta(days=60))
    soon = make_account(remote_id="UC4", expires_at=now() + timedelta(days=3))
    wanted = [f"account_reconnect:{account.public_id}" for account in (real, soon)]
    assert sorted(keys(settings)) == sorted(wanted)


def test_many_accounts_that_are_lost_at_once_are_told_of_in_one(settings: Settings) -> None:
    for number in range(9):
        make_account(remote_id=f"UC{number}", name=f"{number}", state=AccountState.RECONNECT)
    alert_channels.add(open_vault(settings), name="All", address="json://127.0.0.1:9/", actor=None)
    sweep.look(settings)
    sweep.look(settings)
    assert Job.select().count() == Alert.select().count() == troubles.MOST_ACCOUNTS + 1
    more = Alert.get(Alert.key == "account_reconnect:more")
    assert "9 accounts" in more.text and path_of(more.key) == "/settings/accounts"


def test_posts_that_failed_are_found_for_a_day_many_in_one(settings: Settings) -> None:
    account = make_account()
    post = fail_post(account)
    fail_post(make_account(remote_id="p", platform="practice"))
    fail_post(account, finished_at=now() - timedelta(days=2))
    assert keys(settings) == [f"post_failed:{post.public_id}"]
    for _ in range(9):
        fail_post(account)
    assert keys(settings)[5:] == ["post_failed:more"]


def test_a_damaged_file_is_found_unless_it_is_being_mended(settings: Settings) -> None:
    Damage.create(video=make_video(), name="social", problem="missing", mending=True)
    assert keys(settings) == []
    Damage.create(video=make_video(), name="original", problem="size")
    assert keys(settings) == ["file_damaged:all"]


def served(begins_in: timedelta, ends_in: timedelta, *, read_ago: timedelta) -> Certificate:
    at = now()
    return Certificate(at - read_ago, "box.example", at + begins_in, at + ends_in, "Authority")


def test_a_certificate_that_was_not_renewed_is_found(settings: Settings) -> None:
    settings = settings.model_copy(update={"public_url": "https://box.example"})
    day = timedelta(days=1)
    certificates.keep(served(-60 * day, 30 * day, read_ago=day))
    assert keys(settings) == []
    certificates.keep(served(-80 * day, 10 * day, read_ago=day))
    (trouble,) = troubles.gather(settings)
    assert (trouble.key, trouble.title) == ("certificate:served", "The certificate ends in 10 days")
    certificates.keep(served(-95 * day, -5 * day, read_ago=day))
    assert troubles.gather(settings)[0].title == "The certificate has ended"
    # Of an authority of one's own: made for hours, and anew in time.
    certificates.keep(served(-20 * day / 24, -8 * day / 24, read_ago=timedelta(hours=18)))
    assert keys(settings) == []
    assert keys(settings.model_copy(update={"public_url": "http://box.example"})) == []


def test_an_alert_opens_is_told_and_is_cleared(settings: Settings) -> None:
    account = make_account(state=AccountState.RECONNECT)
    with http_receiver() as got:
        address = f"json://127.0.0.1:{got.port}/"
        vault = open_vault(settings)
        alert_channels.add(vault, name="All", address=address, actor=None)
        alert_channels.add(vault, name="Disk", address=address, kinds=["disk_low"], actor=None)
        for _ in range(3):
            sweep.look(settings)
        run_all(settings)
        assert len(got.requests) == 1
        message = got.requests[0][1]
        assert message["title"].endswith("“Harbour Museum” (youtube) must be connected again")
        assert f"/settings/accounts/{account.public_id}" in message["message"]

        accounts.mark_connected(account)
        sweep.look(settings)
        assert Alert.get().state is AlertState.OPEN  # not gone for long enough
        Alert.update(last_at=now() - timedelta(minutes=6)).execute()
        sweep.look(settings)
        run_all(settings)
        assert Alert.get().state is AlertState.CLEARED
        assert [m["title"].partition("] ")[2][:4] for _, m in got.requests] == ["“Har", "Over"]


def test_without_a_channel_it_waits_for_one(settings: Settings) -> None:
    make_account(state=AccountState.RECONNECT)
    sweep.look(settings)
    assert (Alert.get().told_at, Job.select().count()) == (None, 0)
    alert_channels.add(open_vault(settings), name="Late", address="json://127.0.0.1:9/", actor=None)
    sweep.look(settings)
    assert (Alert.get().told_at is not None, Job.select().count()) == (True, 1)


def test_a_channel_that_is_switched_off_hears_nothing(settings: Settings) -> None:
    make_account(state=AccountState.RECONNECT)
    vault = open_vault(settings)
    row = alert_channels.add(vault, name="Off", address="json://127.0.0.1:9/", actor=None)
    alert_channels.change(vault, AlertChannel.get_by_id(row.id), enabled=False, actor=None)
    sweep.look(settings)
    assert Job.select().count() == 0


def test_during_a_planned_stop_nothing_is_told(settings: Settings) -> None:
    make_account(state=AccountState.RECONNECT)
    sweep.be_quiet("upgrade", timedelta(minutes=10))
    sweep.look(settings)
    assert Alert.select().count() == 0
    sweep.end_quiet()
    sweep.look(settings)
    assert Alert.get().state is AlertState.OPEN
    until = sweep.be_quiet("too long", timedelta(days=9))
    assert until <= now() + sweep.MAX_QUIET
    # Set back by two days, the clock must not make it a long one.
    assert not sweep.is_quiet(now() - timedelta(days=2))


def test_an_upgrade_is_quiet_and_ends_no_quiet_of_somebody_else(settings: Settings) -> None:
    until = sweep.begin_upgrade()
    assert until is not None and sweep.is_quiet(now())
    assert sweep.begin_upgrade() is None  # cut short before
    sweep.end_upgrade()
    assert not sweep.is_quiet(now())

    sweep.be_quiet("work on the disks", timedelta(hours=1))
    assert sweep.begin_upgrade() is None
    sweep.end_upgrade()
    assert sweep.is_quiet(now())


def test_a_sweep_with_nothing_wrong_writes_nothing(settings: Settings) -> None:
    sweep.look(settings)  # the room on the disk, once a day
    before = database.execute_sql("SELECT total_changes()").fetchone()
    sweep.look(settings)
    assert database.execute_sql("SELECT total_changes()").fetchone() == before


def test_the_trend_of_the_disk(settings: Settings) -> None:
    begin, gib = date(2026, 5, 1), 2**30
    shrinking = {begin + timedelta(days=n): (100 - 2 * n) * gib for n in range(10)}
    assert disk_history.days_until(shrinking, 10 * gib) == pytest.approx(36)
    assert disk_history.days_until({begin: gib}, 0) is None
    assert disk_history.days_until({}, 0) is None
    growing = {day: -free for day, free in shrinking.items()}
    assert disk_history.days_until(growing, 0) is None
    disk_history.note(settings)
    disk_history.note(settings)
    assert list(disk_history.history()) == [datetime.now(UTC).date()]
    assert len(kept.read(disk_history.NAME)) == 1
