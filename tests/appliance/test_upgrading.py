"""From every version that ever wrote a database to today's: all of it is kept, and goes on."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance import passwords, releases, videos
from appliance.cli.release_steps import step
from appliance.db import database, open_database
from appliance.doctor import Verdict, check_database
from appliance.migrate import migrate
from appliance.models import Job, Post, PostTarget, Upload, User, Video
from appliance.states import JobState, PostState, UploadState
from storage import inspection
from storage.layout import Layout
from tasks import ticker
from tests.appliance import old_boxes
from tests.appliance.old_boxes import SCRIPTS, all_rows, make_old_box
from tests.appliance.test_migrate import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture(params=range(1, len(SCRIPTS) + 1), ids=SCRIPTS)
def scripts(request: pytest.FixtureRequest, settings: Settings) -> Iterator[int]:
    """How many scripts the program knew that wrote the box."""
    make_old_box(settings, request.param)
    yield request.param
    database.close()


def test_what_each_script_brought_has_a_row_in_an_old_box() -> None:
    # Who adds a script adds rows, so that the box of that version is one with something in it.
    assert len(old_boxes.rows_by_script()) == len(SCRIPTS)


def test_a_box_of_any_version_is_rehearsed_and_brought_forward_whole(
    scripts: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_rows(settings.database_path)
    # `release check` asks the new release this, and judges what it says.
    monkeypatch.setenv("APPLIANCE_DATA", str(settings.data))
    monkeypatch.setenv("APPLIANCE_DISK_RESERVE", "10 MiB")
    said = CliRunner().invoke(step, ["look"], catch_exceptions=False)
    facts = releases.facts_from(json.loads(said.stdout))
    bad = [each for each in releases.judge(facts) if each.verdict is Verdict.BAD]
    assert bad == []
    assert facts.pending == tuple(SCRIPTS[scripts:])
    assert facts.rehearsed_s is not None
    assert (facts.jobs, facts.uploads) == ({"poster": 1}, 1)
    assert all_rows(settings.database_path) == before  # it was a look

    open_database(settings.database_path)
    assert migrate(settings) == SCRIPTS[scripts:]
    after = all_rows(settings.database_path)
    for table, rows in before.items():
        assert as_known(after[table], rows) == as_known(rows, after[table]), table
    assert [row["recipe"] for row in after["rendition"]] == ["1"]
    assert check_database(settings).mend == ""  # whole, and no key leads to nothing
    if facts.pending:
        (backup,) = (settings.data / "backups").iterdir()
        assert all_rows(backup) == before
    fresh = settings.model_copy(update={"data": settings.data.parent / "fresh"})
    open_database(fresh.database_path)
    migrate(fresh)
    assert schema(settings.database_path) == schema(fresh.database_path)


def as_known(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that only one version has."""
    if not rows or not others:
        return rows
    shared = rows[0].keys() & others[0].keys()
    return [{k: v for k, v in row.items() if k in shared} for row in rows]


def test_what_was_under_way_in_any_version_goes_on(
    scripts: int, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    open_database(settings.database_path)
    migrate(settings)
    layout = Layout(settings.data)
    with database.connection_context(), caplog.at_level(logging.WARNING):
        ticker.sweep(settings)
        upload = Upload.get(public_id=old_boxes.UPLOAD)
        assert (upload.state, upload.durable_offset) == (
            UploadState.RECEIVING,
            len(old_boxes.SO_FAR),
        )
        assert layout.upload(old_boxes.UPLOAD).read_bytes() == old_boxes.SO_FAR
        jobs = {job.public_id: job for job in Job.select()}
        assert jobs[old_boxes.WAITING].state is JobState.QUEUED
        assert jobs[old_boxes.HELD].state is JobState.QUEUED  # taken back: its worker is gone
        assert jobs[old_boxes.HELD].crashes == 1
        # Nothing of a film's is unknown: it would all begin at once (0003).
        assert jobs[old_boxes.WAITING].cores > 0
        user = User.get(public_id=old_boxes.USER)
        assert passwords.verify(old_boxes.PASSWORD, user.password_hash)
        (video,) = videos.search(Video.select(), "wasche")
        assert (video.public_id, video.owner) == (old_boxes.VIDEO, user)
        (post,) = Post.select()
        assert (post.state, post.video) == (PostState.SCHEDULED, video)
        assert PostTarget.get(post=post).account.name == "Ours"
        assert inspection.look_through(layout, 0, 10).wrong == []
    made_mistakes = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert made_mistakes == []
