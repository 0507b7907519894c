"""Files compared with their rows, both ways: nothing is missed silently, nothing lies about."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import doctor, jobs
from appliance.clock import now
from appliance.db import database
from appliance.job_kinds import KINDS
from appliance.models import Damage, Job, Priority, Rendition, Role, Setting, Video
from appliance.states import JobState, RenditionState, VideoState
from storage import orphans, usage
from tasks import tidy, trash, turns
from tests.factories import make_user
from tests.storing import ORIGINAL, SOCIAL, add_ready_video, add_rendition, write
from tests.tasks.doing import again, run_one

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout

NOBODY = "0" * 26


@pytest.fixture
def old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file got its name can't be set back; how long that counts as new can."""
    monkeypatch.setattr(orphans, "FORGOTTEN_S", -1.0)


def look(settings: Settings, kind: str = "tidy") -> Job:
    tidy.start(kind)
    job = run_one(settings, "delivery")
    assert job.state is JobState.COMPLETED, job.error
    return job


def aside(layout: Layout) -> list[str]:
    day = layout.orphans / now().date().isoformat()
    return sorted(str(path.relative_to(day)) for path in day.rglob("*") if path.is_file())


# Files without rows


@pytest.mark.usefixtures("old_at_once")
def test_files_of_nobody_are_set_aside_where_they_can_be_found(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = add_ready_video(layout)
    write(layout.media / NOBODY / "original", b"of nobody")
    write(layout.trash / NOBODY / "social.mp4", b"of nobody")
    write(layout.media / "readme.txt", b"dropped here")
    write(layout.tmp / "core", b"half")
    write(layout.video(video.public_id) / "social.mp4.part", b"half written")
    write(layout.video(video.public_id) / "preview.mp4", b"no row says so")
    look(settings)
    assert aside(layout) == [
        f"media/{NOBODY}/original",
        f"media/{video.public_id}/preview.mp4",
        f"media/{video.public_id}/social.mp4.part",
        "media/readme.txt",
        "tmp/core",
        f"trash/{NOBODY}/social.mp4",
    ]
    assert sorted(path.name for path in layout.video(video.public_id).iterdir()) == [
        "original",
        "poster.webp",
        "social.mp4",
    ]
    assert usage.take_stock(settings, layout).orphans.files == 6
    assert Damage.select().count() == 0


def test_what_is_new_may_still_get_its_row(db: None, settings: Settings, layout: Layout) -> None:
    video = add_ready_video(layout)
    fresh = [
        layout.media / NOBODY / "original",
        layout.tmp / "core",
        layout.video(video.public_id) / "preview.mp4",
    ]
    for path in fresh:
        write(path, b"a moment ago")
    look(settings)
    assert all(path.exists() for path in fresh)


@pytest.mark.usefixtures("old_at_once")
def test_what_was_set_aside_goes_when_the_bin_would(
    db: None, settings: Settings, layout: Layout
) -> None:
    write(layout.media / "stray", b"x")
    look(settings)
    old = layout.orphans / (now() - timedelta(days=9)).date().isoformat()
    (layout.orphans / now().date().isoformat()).rename(old)
    young = layout.orphans / (now() - timedelta(days=6)).date().isoformat()
    write(layout.media / "other", b"y")
    look(settings)
    (layout.orphans / now().date().isoformat()).rename(young)
    look(settings)
    assert not old.exists()
    admin = make_user("admin@example.org", Role.ADMIN)
    trash.empty(admin, layout)
    assert young.exists()
    assert trash.remove_set_aside(admin, layout).files == 1
    assert not young.exists()
    assert usage.take_stock(settings, layout).orphans == orphans.Amount()


# Rows without files


def damages() -> list[tuple[str, str, bool]]:
    return [(row.name, row.problem, row.mending) for row in Damage.select().order_by(Damage.name)]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_missing_and_cut_files_are_told_and_made_anew(
    db: None, settings: Settings, layout: Layout
) -> None:
    lost, cut_off = add_ready_video(layout), add_ready_video(layout)
    layout.rendition(lost.public_id, "social").unlink()
    cut(layout.rendition(cut_off.public_id, "social"))
    look(settings)
    assert damages() == [("social", "missing", True), ("social", "size", True)]
    assert all(row.state is RenditionState.PENDING for row in Rendition.select())
    assert Job.select().where(Job.rendition.is_null(False)).count() == 2
    assert not layout.rendition(cut_off.public_id, "social").exists()  # nobody is given half of it
    assert again(lost).state is VideoState.READY
    found = doctor.check_files(settings)
    assert (found.verdict, found.found[:7]) == (doctor.Verdict.NOTE, "2 files")


def test_a_lost_original_is_told_and_what_was_made_of_it_stays(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = add_ready_video(layout)
    layout.original(video.public_id).unlink()
    look(settings)
    assert damages() == [("original", "missing", False)]
    assert Rendition.get().state is RenditionState.READY
    layout.original(video.public_id).write_bytes(ORIGINAL)  # somebody found it
    look(settings)
    assert damages() == []


def test_a_version_without_original_is_lost_and_says_so(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = add_ready_video(layout, original_removed_at=now())
    layout.original(video.public_id).unlink()
    layout.rendition(video.public_id, "social").unlink()
    look(settings)
    rendition = Rendition.get()
    assert rendition.state is RenditionState.FAILED
    assert "no original to make it of" in rendition.error
    look(settings)
    assert damages() == [("social", "missing", False)]


@pytest.mark.usefixtures("old_at_once")
def test_what_is_put_back_from_a_backup_is_in_use_again(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = add_ready_video(layout, original_removed_at=now())
    file = layout.rendition(video.public_id, "social")
    file.unlink()
    look(settings)
    assert Rendition.get().state is RenditionState.FAILED
    file.write_bytes(SOCIAL)
    look(settings)
    assert Rendition.get().state is RenditionState.READY
    assert file.exists()
    assert damages() == []


def test_the_only_copy_stays_however_damaged_and_heals(
    db: None, settings: Settings, layout: Layout
) -> None:
    """Its twin is the same file by another name, which is no source."""
    videos = [add_ready_video(layout, original_removed_at=now()) for _ in range(2)]
    files = [layout.rendition(video.public_id, "social") for video in videos]
    files[1].unlink()
    files[1].hardlink_to(files[0])
    for video in videos:
        layout.original(video.public_id).unlink()
    rotted = SOCIAL[:-1] + b"X"
    files[0].write_bytes(rotted)
    look(settings, "verify")
    assert damages() == [("social", "content", False)] * 2
    assert all(row.state is RenditionState.READY for row in Rendition.select())
    look(settings)
    assert [file.read_bytes() for file in files] == [rotted] * 2
    assert len(damages()) == 2
    files[1].unlink()
    files[1].write_bytes(SOCIAL)  # from a backup
    look(settings)
    assert Damage.get().video_id == videos[0].id
    look(settings, "verify")  # now there is something to make the other one of
    assert damages() == [("social", "content", True)]


def test_in_the_bin_it_is_told_and_after_a_restore_made_anew(
    db: None, settings: Settings, layout: Layout
) -> None:
    user = make_user()
    video = add_ready_video(layout, user)
    trash.throw_away(video, user, layout)
    (layout.trashed(video.public_id) / "social.mp4").unlink()
    look(settings)
    assert damages() == [("social", "missing", False)]
    trash.take_out(again(video), user, layout, settings)
    look(settings)
    assert damages() == [("social", "missing", True)]


def test_the_look_goes_on_where_its_turn_ended(
    db: None, settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [add_ready_video(layout) for _ in range(3)]
    layout.original(videos[2].public_id).unlink()
    monkeypatch.setattr(turns, "TURN_S", -1.0)
    monkeypatch.setattr(turns, "PAUSE", timedelta(0))
    monkeypatch.setattr(tidy, "_AT_ONCE", 1)
    tidy.start("tidy")
    turns_taken = 0
    while run_one(settings, "delivery").state is JobState.QUEUED:
        turns_taken += 1
    assert turns_taken == 3
    assert damages() == [("original", "missing", False)]
    assert usage.looked_before()["other_files"] == 3


def test_what_a_policy_removed_is_not_missed(db: None, settings: Settings, layout: Layout) -> None:
    video = add_ready_video(layout, original_removed_at=now())
    look(settings)  # also finishes the removal that a crash had cut short
    assert not layout.original(video.public_id).exists()
    assert damages() == []


# Reading all of it


def test_reading_finds_what_sizes_do_not_show(db: None, settings: Settings, layout: Layout) -> None:
    whole, rotted = add_ready_video(layout), add_ready_video(layout, original=ORIGINAL[::-1])
    add_rendition(layout, whole, "preview", b"preview")
    layout.original(rotted.public_id).write_bytes(ORIGINAL)
    layout.rendition(rotted.public_id, "social").write_bytes(SOCIAL[:-1] + b"X")
    look(settings)
    assert damages() == []
    look(settings, "verify")
    # The one can't be made of the other: it stays in use, as the only copy.
    assert damages() == [("original", "content", False), ("social", "content", False)]
    assert Rendition.get(Rendition.video == rotted).state is RenditionState.READY
    assert layout.rendition(rotted.public_id, "social").exists()
    assert Rendition.select().where(Rendition.video == whole).count() == 2
    done = tidy.verified()
    assert (done["files"], done["wrong"]) == (5, 2)
    assert done["bytes"] == done["of_bytes"]
    assert done["finished_at"]


def test_reading_goes_on_where_it_was_stopped(
    db: None, settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        add_ready_video(layout)
    monkeypatch.setattr(turns, "TURN_S", -1.0)  # one video, then others in the line come first
    monkeypatch.setattr(turns, "PAUSE", timedelta(0))
    tidy.start("verify")
    seen = []
    while run_one(settings, "delivery").state is JobState.QUEUED:
        seen.append(tidy.verified()["files"])
        tidy.start("verify")  # asked for once more: it is the same reading
    assert seen == [2, 4, 6]
    assert tidy.verified()["finished_at"]


# When


def test_the_daily_look_begins_a_day_after_the_first_start(
    db: None, settings: Settings, layout: Layout
) -> None:
    tidy.start_due(settings)
    tidy.start_due(settings)
    assert Job.select().count() == 0
    long_ago = (now() - timedelta(days=2)).isoformat()
    Setting.update(value={"tidy": long_ago, "retain": long_ago}).execute()
    add_ready_video(layout)
    tidy.start_due(settings)
    tidy.start_due(settings)
    assert [job.kind for job in Job.select()] == ["tidy"]
    Setting.update(value={"tidy": now().isoformat(), "retain": long_ago}).execute()
    tidy.start_due(settings.model_copy(update={"keep_originals": "delete:1"}))
    assert [job.kind for job in Job.select()] == ["tidy", "retain"]


def test_doctor_is_content_when_all_is_well(db: None, settings: Settings, layout: Layout) -> None:
    assert doctor.check_files(settings).verdict is doctor.Verdict.GOOD
    look(settings)
    assert doctor.check_files(settings).verdict is doctor.Verdict.GOOD


def test_posts_never_wait_for_housekeeping(db: None) -> None:
    tidy.start("tidy", Priority.NORMAL)
    tidy.start("retain", Priority.NORMAL)
    first = jobs.claim("delivery", "one", lease_s=60)
    assert first is not None and first.kind == "tidy"
    assert jobs.claim("delivery", "two", lease_s=60) is None
    jobs.create("publish", "publish")
    second = jobs.claim("delivery", "two", lease_s=60)
    assert second is not None and second.kind == "publish"
    jobs.complete(first)
    third = jobs.claim("delivery", "one", lease_s=60)
    assert third is not None and third.kind == "retain"


def test_jobs_of_the_storage_belong_to_no_video(db: None) -> None:
    for kind in ("tidy", "retain", "verify", "empty_bin"):
        assert KINDS[kind].queue == "delivery"
        assert tidy.start(kind).id == tidy.start(kind).id
    assert Video.select().count() == 0


def test_the_bin_is_emptied_by_a_job_when_its_time_has_come(
    db: None, settings: Settings, layout: Layout
) -> None:
    user = make_user()
    old, young = add_ready_video(layout, user), add_ready_video(layout, user)
    trash.throw_away(young, user, layout)
    trash.start_emptying(settings, layout)
    assert Job.select().count() == 0
    trash.throw_away(old, user, layout)
    Video.update(deleted_at=now() - timedelta(days=8)).where(Video.id == old.id).execute()
    trash.start_emptying(settings, layout)
    trash.start_emptying(settings, layout)
    assert [job.kind for job in Job.select()] == ["empty_bin"]
    assert run_one(settings, "delivery").state is JobState.COMPLETED
    assert [video.id for video in Video.select()] == [young.id]
    assert not layout.trashed(old.public_id).exists()
    assert layout.trashed(young.public_id).exists()


def test_the_daily_look_teaches_the_database_its_sizes(
    db: None, settings: Settings, layout: Layout
) -> None:
    add_ready_video(layout)
    look(settings)
    known = {table for (table,) in database.execute_sql("SELECT tbl FROM sqlite_stat1").fetchall()}
    assert {"video", "job"} <= known
