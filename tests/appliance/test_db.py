"""The database: what must be true survives, and what goes in comes out."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from peewee import OperationalError

from appliance.db import database, find, is_full, transaction, update_where
from appliance.models import Account, Setting, User, Video
from appliance.states import VideoState
from appliance.vault import Vault
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from appliance.settings import Settings

pytestmark = pytest.mark.usefixtures("db")


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10_000)],
)
def test_every_connection_has_the_pragmas(pragma: str, value: object) -> None:
    seen = [database.obj.pragma(pragma)]

    def look() -> None:
        with database.connection_context():
            seen.append(database.obj.pragma(pragma))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [value, value]


def test_a_transaction_takes_the_write_lock_at_its_start(settings: Settings) -> None:
    with closing(sqlite3.connect(settings.database_path, timeout=0)) as other:
        with transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


def test_an_error_inside_takes_all_of_a_transaction_back() -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        make_user("one@example.org")
        with transaction():
            make_user("two@example.org")
        raise ZeroDivisionError
    assert User.select().count() == 0


def test_a_full_disk_in_a_transaction_is_what_the_caller_hears_of(db: None) -> None:
    pages = database.execute_sql("PRAGMA page_count").fetchone()[0]
    database.execute_sql(f"PRAGMA max_page_count={pages + 10}")
    with pytest.raises(OperationalError, match="disk is full") as full, transaction():
        Setting.create(name="a", value="x")
        Setting.create(name="b", value="x" * 1_000_000)
    assert is_full(full.value)
    assert Setting.select().count() == 0
    with transaction():
        Setting.create(name="c", value="x")
    assert Setting.select().count() == 1


def test_a_commit_is_on_disk_when_it_returns_even_if_the_process_dies(settings: Settings) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from appliance.db import database, open_database, transaction
        from appliance.models import Setting
        open_database(Path(sys.argv[1]))
        with database.connection_context():
            with transaction():
                Setting.create(name="kept", value=1)
            with transaction():
                Setting.create(name="lost", value=1)
                os.kill(os.getpid(), 9)
        """
    )
    command = [sys.executable, "-c", script, str(settings.database_path)]
    assert subprocess.run(command, check=False).returncode == -9
    assert [row.name for row in Setting.select()] == ["kept"]


def test_a_forgotten_connection_fails_at_once() -> None:
    failed: list[str] = []

    def forget() -> None:
        try:
            User.select().count()
        except Exception as exc:
            failed.append(type(exc).__name__)

    thread = threading.Thread(target=forget)
    thread.start()
    thread.join()
    assert failed == ["InterfaceError"]


def test_times_are_kept_in_utc_and_sort_as_text() -> None:
    early = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    late = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    make_video(title="late", created_at=late)
    make_video(title="early", created_at=early)
    found = list(Video.select().order_by(Video.created_at))
    assert [video.title for video in found] == ["early", "late"]
    assert found[0].created_at == early
    assert found[0].created_at.tzinfo is not None
    with pytest.raises(ValueError, match="without zone"):
        make_video(created_at=datetime(2026, 1, 1))


def test_unknown_states_go_neither_in_nor_out() -> None:
    video = make_video()
    with pytest.raises(ValueError, match="finished"):
        Video.update(state="finished").execute()
    database.execute_sql("UPDATE video SET state = 'finished'")
    with pytest.raises(ValueError, match="finished"):
        Video.get_by_id(video.id)


def test_a_secret_in_clear_does_not_fit_into_its_column() -> None:
    with pytest.raises(ValueError, match="sealed"):
        Account.create(platform="practice", name="x", remote_id="x", credentials='{"token": "abc"}')
    sealed = Vault(bytes(32)).encrypt({"token": "abc"}, bound_to="account:1")
    assert Account.create(platform="practice", name="x", remote_id="x", credentials=sealed).id


def test_rows_that_others_need_are_not_left_hanging() -> None:
    user = make_user()
    video = make_video(owner=user, state=VideoState.READY)
    user.delete_instance()
    assert Video.get_by_id(video.id).owner_id is None


def test_find_finds_what_peewee_would() -> None:
    user = make_user()
    make_video(user)
    video = make_video(user, state=VideoState.READY, received_at=datetime.now(UTC))
    for column, value in ((Video.public_id, video.public_id), (Video.id, video.id)):
        found, expected = find(Video, column, value), Video.get(column == value)
        assert found is not None
        assert found.__data__ == expected.__data__
    assert isinstance(found.received_at, datetime)
    assert found.state is VideoState.READY
    assert find(Video, Video.public_id, "x" * 26) is None
    assert find(Video, Video.id, None) is None


def test_update_where_changes_what_peewee_would() -> None:
    video, other = make_video(), make_video(state=VideoState.READY)
    at = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone(timedelta(hours=2)))
    columns = {"received_at": at, "state": VideoState.PROCESSING}
    assert update_where(Video, columns, id=video.id, state=VideoState.RECEIVED) == 1
    assert update_where(Video, columns, id=other.id, state=VideoState.RECEIVED) == 0
    changed = Video.get_by_id(video.id)
    assert (changed.state, changed.received_at) == (VideoState.PROCESSING, at)
    assert Video.get_by_id(other.id).state is VideoState.READY
    with pytest.raises(ValueError, match="without zone"):
        update_where(Video, {"received_at": datetime(2026, 5, 4)}, id=video.id)
