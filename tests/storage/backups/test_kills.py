"""SIGKILL in the middle of making, restoring and removing backups, and no room on the disk."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database, open_database, transaction
from appliance.errors import StorageFull
from appliance.migrate import migrate
from appliance.models import Video
from appliance.settings import Settings
from storage import inspection
from storage.backups import in_use, restore, switching
from storage.backups.create import create, no_progress
from storage.backups.folder import BackupFolder
from storage.backups.keeping import Keep
from storage.backups.prune import prune
from storage.backups.verify import verify
from storage.layout import Layout
from tests.killing import in_child, points
from tests.storage.backups.boxes import add_video, files_of

if TYPE_CHECKING:
    from pathlib import Path

    from storage.backups.create import Progress

pytestmark = pytest.mark.usefixtures("db")


def count_videos(settings: Settings) -> int:
    with closing(sqlite3.connect(settings.database_path)) as db:
        return int(db.execute("SELECT COUNT(*) FROM video").fetchone()[0])


def test_a_killed_backup_is_none_and_the_next_one_is_whole(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    first = add_video(layout)
    create(settings, None)
    add_video(layout)
    database.close()

    def work() -> object:
        return create(settings, None)

    count = in_child(work, None)
    assert count is not None and count > 20
    for point in points(count):
        shutil.rmtree(folder.set_folder(folder.names()[-1]))
        changed = layout.video(first.public_id) / "audio.m4a"
        changed.unlink(missing_ok=True)
        changed.write_bytes(os.urandom(500))

        before = folder.names()
        died = in_child(work, point) is None

        left = folder.names()
        assert set(before) <= set(left) and len(left) <= len(before) + 1
        assert died or len(left) == len(before) + 1
        for name in left:
            assert verify(folder, name).problems == [], (point, name)
        made = create(settings, None)
        assert verify(folder, made.name).is_good
        assert not list(folder.tmp.iterdir()) and not list(settings.data.rglob(".pins"))


def test_a_restore_that_is_killed_on_the_way_changes_nothing(
    settings: Settings, layout: Layout
) -> None:
    add_video(layout)
    made = create(settings, None)
    add_video(layout)
    old = files_of(settings.data)
    database.close()

    def work() -> None:
        with in_use.alone(settings.data):
            restore.prepare(settings, made.name)

    count = in_child(work, None)
    assert count is not None and count > 10
    for point in points(count)[: None if os.environ.get("APPLIANCE_TEST_LONG") else 2]:
        in_child(work, point)

        in_use.enter(settings.data)
        in_use.leave()
        assert files_of(settings.data) == old and count_videos(settings) == 2
    work()  # what was left is no hindrance
    assert files_of(settings.data / switching.ASIDE) != {}


def test_a_switch_that_is_killed_leaves_the_old_or_the_new_whole(
    settings: Settings, layout: Layout, tmp_path: Path
) -> None:
    """At every second of its steps, or at each."""
    add_video(layout)
    made = create(settings, None)
    new = files_of(settings.data)
    add_video(layout)
    old = files_of(settings.data)
    database.close()
    with in_use.alone(settings.data):
        restore.prepare(settings, made.name)
    shutil.copytree(settings.data, tmp_path / "as it was")

    def work() -> None:
        with in_use.alone(settings.data):
            restore.switch(settings)

    seen = []
    count = in_child(work, None)
    assert count is not None and count > 15
    step = 1 if os.environ.get("APPLIANCE_TEST_LONG") else 2
    for point in range(1, count + 1, step):
        shutil.rmtree(settings.data)
        shutil.copytree(tmp_path / "as it was", settings.data)

        assert in_child(work, point) is None

        in_use.enter(settings.data)  # whoever starts next
        in_use.leave()
        here = files_of(settings.data)
        assert here in (old, new), point
        assert count_videos(settings) == (2 if here == old else 1), point
        assert not switching.is_due(settings.data)
        if here == new:
            (kept,) = switching.kept(settings.data)
            assert files_of(settings.data / kept) == old, point
        seen.append(here == new)
    # One point of no return: once it is the new, it stays the new.
    assert seen == sorted(seen) and set(seen) == {True, False}


def test_a_killed_removal_harms_no_other_backup(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    keep = Keep(daily=1, weekly=0, monthly=0)
    video = add_video(layout)

    def make_two() -> None:
        (layout.video(video.public_id) / "audio.m4a").unlink(missing_ok=True)
        (layout.video(video.public_id) / "audio.m4a").write_bytes(os.urandom(700))
        create(settings, None)
        (layout.video(video.public_id) / "audio.m4a").unlink()
        create(settings, None)

    def work() -> None:
        prune(settings, keep)

    make_two()
    database.close()
    count = in_child(work, None)
    assert count is not None and len(folder.names()) == 1
    for point in points(count):
        make_two()
        in_child(work, point)

        for name in folder.names():
            assert verify(folder, name).problems == [], point
        work()
        assert len(folder.names()) == 1
        named = {entry.sha256 for entry in folder.manifest(folder.names()[0]).files}
        assert {path.name for path in folder.objects.rglob("*") if path.is_file()} == named


def test_backups_are_right_while_others_write(
    settings: Settings, layout: Layout, folder: BackupFolder, tmp_path: Path
) -> None:
    for _ in range(5):
        add_video(layout)
    stop = threading.Event()

    def come_and_go() -> None:
        rng = random.Random(6)
        with database.connection_context():
            while not stop.is_set():
                with transaction():
                    add_video(layout, size=rng.randrange(100, 5000))
                    gone = Video.select().order_by(Video.id).first()
                    Video.delete().where(Video.id == gone.id).execute()
                shutil.rmtree(layout.video(gone.public_id))

    writer = threading.Thread(target=come_and_go)
    writer.start()
    try:
        made = [create(settings, None) for _ in range(4)]
    finally:
        stop.set()
        writer.join()

    assert [one.problems for one in made] == [[], [], [], []]
    assert len({folder.manifest(one.name).files[0].path for one in made}) > 1, "nothing changed"
    box = Settings.model_validate(
        {"data": tmp_path / "b", "backup_folder": settings.backups, "disk_reserve": 0}
    )
    with in_use.alone(box.data):
        restore.prepare(box, made[2].name, without_sign_ins=True)
        restore.switch(box)
    database.close()
    open_database(box.database_path)
    with database.connection_context():
        found = inspection.look_through(Layout(box.data), 0, 100)
        assert len(found.videos) == 5 and found.wrong == []
    manifest = folder.manifest(made[2].name)
    assert files_of(box.data) == {entry.path: entry.sha256 for entry in manifest.files}


# No room


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 24 MiB for the backups."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs to mount a file system")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def fill_up(disk: Path) -> None:
    """Others' bytes, to the last one."""
    with (disk / "other").open("wb", buffering=0) as other:
        for size in (1024**2, 4096):
            with suppress(OSError):
                while other.write(bytes(size)) == size:
                    pass


@pytest.mark.needs_root
def test_a_full_disk_is_said_and_the_backups_before_stay(
    settings: Settings, layout: Layout, small_disk: Path
) -> None:
    box = settings.model_copy(update={"backup_folder": small_disk / "backups"})
    folder = BackupFolder(box.backups)
    add_video(layout)
    first = create(box, None)
    large = add_video(layout, size=20_000_000)
    with pytest.raises(StorageFull, match="are free"):
        create(box, None)
    large.delete_instance()
    shutil.rmtree(layout.video(large.public_id))
    add_video(layout, size=200_000)

    def fill(stage: str, fraction: float) -> None:
        if stage == "Copying files":
            fill_up(small_disk)

    with pytest.raises(StorageFull, match="those before are untouched"):
        create(box, None, fill)

    assert folder.names() == [first.name] and verify(folder, first.name).is_good
    assert not list(folder.tmp.iterdir()) and not list(settings.data.rglob(".pins"))
    (small_disk / "other").unlink()
    made = create(box, None)
    assert verify(folder, made.name).is_good


@pytest.mark.needs_root
def test_two_mounts_of_one_disk_have_no_links_and_that_is_counted(
    settings: Settings, small_disk: Path
) -> None:
    """As a unit has them that may write to two folders."""
    database.close()
    mounted = small_disk / "backups"
    mounted.mkdir()
    box = settings.model_copy(update={"data": small_disk / "box", "backup_folder": mounted})
    small = Layout(box.data)
    small.make_folders()
    open_database(box.database_path)
    migrate(box)
    with database.connection_context():
        add_video(small, size=6_000_000)
    subprocess.run(["mount", "--bind", str(mounted), str(mounted)], check=True)
    try:
        with pytest.raises(StorageFull, match="The backup needs 17"):
            create(box, None)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
    assert create(box, None).new_bytes == 0


@pytest.mark.needs_root
def test_a_restore_onto_a_full_disk_leaves_the_old_data_serving(
    settings: Settings, layout: Layout, small_disk: Path
) -> None:
    for _ in range(3):
        add_video(layout, size=200_000)
    made = create(settings, None)
    database.close()
    box = settings.model_copy(
        update={"data": small_disk / "box", "backup_folder": settings.backups}
    )
    small = Layout(box.data)
    small.make_folders()
    open_database(box.database_path)
    migrate(box)
    with database.connection_context():
        kept = add_video(small)
    old = files_of(box.data)

    def bring_back(progress: Progress) -> None:
        with in_use.alone(box.data):
            restore.prepare(box, made.name, without_sign_ins=True, progress=progress)

    def fill(stage: str, fraction: float) -> None:
        if fraction > 0.3:
            fill_up(small_disk)

    # Known before, and found out on the way.
    fill_up(small_disk)
    with pytest.raises(StorageFull, match="are free. Make room there first; nothing was changed"):
        bring_back(no_progress)
    (small_disk / "other").unlink()
    with pytest.raises(StorageFull, match="full, so the backup was not restored; nothing in .* ha"):
        bring_back(fill)

    assert files_of(box.data) == old and not (box.data / switching.ASIDE).exists()
    assert not switching.is_due(box.data)
    in_use.enter(box.data)  # the box starts with it, also while the disk is full
    in_use.leave()
    with database.connection_context():
        assert [row.id for row in Video.select()] == [kept.id]
    (small_disk / "other").unlink()
    bring_back(no_progress)
    with in_use.alone(box.data):
        restore.switch(box)
    assert count_videos(box) == 3
