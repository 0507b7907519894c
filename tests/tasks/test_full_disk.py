"""A disk without room: work waits and goes on, nothing half-written is served, deleting works."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from appliance import jobs
from appliance.db import database, open_database
from appliance.errors import StorageFull
from appliance.migrate import migrate
from appliance.models import Job, Rendition, Role, Video
from appliance.states import JobState, RenditionState, VideoState
from storage import ballast, budget
from storage.layout import Layout
from storage.media import free_bytes
from tasks import trash
from tests import media
from tests.factories import make_user
from tests.storing import add_ready_video
from tests.tasks.doing import again, bring_in, job_of, rendition_of, run_all, run_one, run_social
from tests.web.test_upload_crashes import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


# Before work begins


def test_work_that_would_not_fit_waits_with_numbers(
    db: None, settings: Settings, layout: Layout
) -> None:
    add_ready_video(layout, original=bytes(900_000), social=bytes(50_000))
    small = settings.model_copy(update={"disk_budget": 1_000_000})
    budget.require_room(small, 50_000)
    with pytest.raises(StorageFull, match=r"about 51\.0 kB, and 50\.0 kB are left of the 1\.0 MB"):
        budget.require_room(small, 51_000)
    with pytest.raises(StorageFull, match="empty the bin"):
        budget.require_room(settings, free_bytes(layout.data) + 1)


def test_what_runs_already_is_counted_but_not_oneself(
    db: None, settings: Settings, layout: Layout
) -> None:
    small = settings.model_copy(update={"disk_budget": 1_000_000})
    for name in "ab":
        jobs.create("encode", name, room_bytes=600_000)
    first = jobs.claim("media", "me", lease_s=60)
    assert first is not None
    budget.require_room(small, 600_000, job=first)
    second = jobs.claim("media", "you", lease_s=60)
    assert second is not None
    with pytest.raises(StorageFull):
        budget.require_room(small, 600_000, job=second)


def test_an_encode_waits_for_the_budget_and_goes_on(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.webm_vp9(), size_bytes=400_000)
    small = settings.model_copy(update={"disk_budget": 410_000})
    run_one(small, "quick")
    job = job_of(video, "encode")
    assert job.room_bytes > 10_000
    run_all(small)
    job = Job.get_by_id(job.id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert "space" in job.stage.lower()
    assert again(video).state is VideoState.PROCESSING  # waiting is no failure
    Job.update(run_after=None).execute()
    run_all(settings)
    assert again(video).state is VideoState.READY


# On a disk that is really full


@pytest.fixture
def disk(settings: Settings) -> Iterator[Settings]:
    """A box on a disk of 16 MiB."""
    with small_disk(settings.data, "16m"):
        roomy = settings.model_copy(update={"disk_reserve": 0, "sandbox": "limits"})
        Layout(roomy.data).make_folders()
        open_database(roomy.database_path)
        migrate(roomy)
        with database.connection_context():
            yield roomy
        database.close()


def fill(file: Path, leave: int = 0) -> None:
    """Take all of the disk but ``leave`` bytes."""
    with file.open("wb", buffering=0) as stream:
        left = free_bytes(file.parent) - leave
        try:
            while left > 0:
                left -= stream.write(bytes(min(left, 1 << 20)))
        except OSError:
            assert leave == 0


def noise() -> Path:
    """Whatever it is encoded by, it takes megabytes."""
    grain = "testsrc2=size={size}:rate={fps}:duration={seconds},noise=alls=100:allf=t"
    return media.clip("noise.avi", "-c:v", "mpeg4", "-q:v", "9", source=grain, size="320x240")


@pytest.mark.needs_root
@needs_root
def test_an_encode_that_meets_the_end_of_the_disk_waits_and_goes_on(disk: Settings) -> None:
    layout = Layout(disk.data)
    video = bring_in(disk, noise())
    run_one(disk, "quick")
    # The estimate says that it fits, and it doesn't.
    Job.update(room_bytes=0).execute()
    filler = disk.data / "filler"
    # Some for the log of the database; what other work would leave behind must not take it.
    fill(filler, leave=1_500_000)
    run_social(disk)
    job = job_of(video, "encode")
    assert (job.state, job.attempts, job.crashes) == (JobState.QUEUED, 0, 0), job.error
    assert "space" in job.stage.lower()
    assert rendition_of(video).state is not RenditionState.READY
    assert not layout.rendition(video.public_id, "social").exists()
    assert list(layout.tmp.iterdir()) == []  # no leftovers take the last room
    filler.unlink()
    Job.update(run_after=None).execute()
    run_all(disk)
    rendition = rendition_of(video)
    assert rendition.state is RenditionState.READY
    assert layout.rendition(video.public_id, "social").stat().st_size == rendition.size_bytes


@pytest.mark.needs_root
@needs_root
def test_deleting_works_without_a_byte_left(disk: Settings) -> None:
    layout = Layout(disk.data)
    admin = make_user("admin@example.org", Role.ADMIN)
    videos = [add_ready_video(layout, original=bytes(500_000)) for _ in range(3)]
    assert ballast.take_on(disk, layout)
    # The log of the database is written anew from its start, so what it has is no room to spare.
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    fill(disk.data / "filler")
    assert free_bytes(disk.data) == 0
    trash.throw_away(videos[0], admin, layout)
    assert again(videos[0]).state is VideoState.TRASHED
    assert not layout.ballast.exists()  # it was needed
    fill(disk.data / "more")
    trash.remove_for_good(again(videos[0]), admin, layout)
    assert not layout.trashed(videos[0].public_id).exists()
    assert free_bytes(disk.data) >= 300_000  # the log of the database took some
    assert Video.select().count() == 2
    assert Rendition.select().count() == 2
    assert database.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)
    (disk.data / "filler").unlink()
    assert ballast.take_on(disk, layout)


def test_ballast_is_laid_in_only_where_there_is_room(
    db: None, settings: Settings, layout: Layout
) -> None:
    full = settings.model_copy(update={"disk_reserve": free_bytes(layout.data)})
    assert not ballast.take_on(full, layout)
    assert ballast.take_on(settings, layout)
    assert layout.ballast.stat().st_size == ballast.BALLAST_BYTES
    for piece in (layout.ballast, layout.door):
        assert ballast.drop(piece)
        assert not ballast.drop(piece)
        assert not ballast.take_on(full, layout)
        assert ballast.take_on(settings, layout)
