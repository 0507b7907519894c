"""The data folder on another disk: every byte, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database, open_database
from appliance.errors import ApplianceError, Conflict, InvalidInput, NotFound, StorageFull
from appliance.migrate import migrate
from appliance.models import Video
from storage import moved, moving
from storage.backups import in_use
from storage.backups.create import create
from storage.layout import Layout
from storage.media import free_bytes
from tests.killing import in_child, points
from tests.storing import add_ready_video
from tests.tasks.test_full_disk import needs_root
from tests.web.test_upload_crashes import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

pytestmark = [pytest.mark.needs_root, needs_root]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Another disk, with room."""
    with small_disk(tmp_path / "disk", "256m"):
        yield tmp_path / "disk"


@pytest.fixture
def box(settings: Settings, layout: Layout) -> Iterator[Settings]:
    """A box with two videos, one of them with a version that is the very original."""
    open_database(settings.database_path)
    migrate(settings)
    with database.connection_context():
        for number in range(2):
            original = random.Random(number).randbytes(3_000_000)
            video = add_ready_video(layout, original=original, social=bytes(50_000))
            known = hashlib.sha256(original).hexdigest()
            Video.update(sha256=known).where(Video.id == video.id).execute()
        os.link(layout.original(video.public_id), layout.video(video.public_id) / "twin.mp4")
        (layout.tmp / "work").mkdir()
        (layout.tmp / "work/half.mp4").write_bytes(bytes(1000))
        (layout.uploads / "part").write_bytes(b"so far")
    database.close()
    yield settings
    database.close()


def run(box: Settings, *words: str, code: int = 0) -> Any:
    """An `appliance storage move` on a box that is stopped."""
    process = begin(box, *words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return json.loads(out) if code == 0 else err


def begin(box: Settings, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "appliance.cli", "storage", "move", *words, "--json",
         "--services", "none", "--user", "root"],
        env={**os.environ, "APPLIANCE_DATA": str(box.data)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """The digest of each file below the folders that hold what people sent."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("media", "uploads", "trash")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    }


def is_whole(box: Settings) -> bool:
    with closing(sqlite3.connect(box.database_path)) as db:
        assert db.execute("SELECT count(*) FROM video").fetchone() == (2,)
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_all_of_it_is_on_the_other_disk_under_the_old_path(box: Settings, disk: Path) -> None:
    before, target = contents(box.data), disk / "appliance"
    target.mkdir()
    (box.data.parent / "usb").mkdir()
    (box.data / "backups").symlink_to("../usb")  # an admin's
    with in_use.alone(box.data):
        assert "The box is running" in run(box, str(target), code=1)
    said = run(box, str(target))
    assert (box.data / "backups").samefile(box.data.parent / "usb")
    assert (said["changed"], said["wrong"]) == (True, [])
    assert box.data.is_symlink()
    assert box.data.resolve() == target
    assert contents(box.data) == contents(target) == before
    assert len(before) == 8
    assert is_whole(box)
    assert (target / "tmp").is_dir()
    assert not (target / "tmp/work").exists()  # jobs make that anew
    (twin,) = target.rglob("twin.mp4")
    assert twin.stat().st_nlink == 2  # still one file with two names
    # Again: nothing to do. The old folder stays until it is forgotten.
    assert run(box, str(target)) == {"changed": False}
    old = box.data.with_name("data.old")
    assert contents(old) == before
    assert run(box, "--forget-old", "--yes") == {"old": [str(old)]}
    assert not old.exists()
    assert contents(box.data) == before


def move(box: Settings, target: Path) -> Path:
    """As the command does, within this process; where the old folder is."""
    moved.settle_switch(box.data)
    moving.refuse_place(box.data, target)
    mover = moving.Mover(box.data, target, {}, lambda done: None)
    mover.copy(final=False)
    mover.copy(final=True)
    return moved.switch(box.data, target)


def test_a_second_move_leads_the_same_link_on(box: Settings, disk: Path, tmp_path: Path) -> None:
    (disk / "one").mkdir()
    move(box, disk / "one")
    with small_disk(tmp_path / "third", "256m"):
        before = contents(box.data)
        (tmp_path / "third/two").mkdir()
        assert move(box, tmp_path / "third/two") == disk / "one"
        assert (contents(box.data), is_whole(box)) == (before, True)
        # Both places where it was, in one go.
        old = box.data.with_name("data.old")
        assert moved.forget_old(box.data) == [disk / "one", old]
        assert (list((disk / "one").iterdir()), list(old.iterdir())) == ([], [])
        shutil.rmtree(box.data.resolve())


def test_a_kill_anywhere_is_gone_on_from(box: Settings, disk: Path, tmp_path: Path) -> None:
    before, target = contents(box.data), disk / "appliance"
    shutil.copytree(box.data, tmp_path / "as it was")
    whole = sum(1 for _ in box.data.rglob("*"))

    def start_anew() -> None:
        for folder in (box.data, box.data.with_name("data.old"), box.data.with_name("data.new")):
            if folder.is_symlink():
                folder.unlink()
            elif folder.exists():
                shutil.rmtree(folder)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        shutil.copytree(tmp_path / "as it was", box.data)

    def work() -> None:
        move(box, target)

    start_anew()
    count = in_child(work, None)
    assert count is not None and count > whole
    # Some of the copying, and each step of the switch.
    some = points(count - 4)[: None if os.environ.get("APPLIANCE_TEST_LONG") else 4]
    for point in [*some, *range(count - 3, count + 1)]:
        start_anew()
        assert in_child(work, point) is None
        assert (contents(box.data), is_whole(box)) == (before, True), point
        moved.settle_switch(box.data)
        if not box.data.is_symlink():
            move(box, target)
        assert (contents(target), is_whole(box)) == (before, True), point
        assert box.data.resolve() == target and (box.data.with_name("data.old")).is_dir()


def test_what_was_compared_is_not_copied_again_and_changes_are(box: Settings, disk: Path) -> None:
    def copy(*, final: bool = False) -> moving.Tally:
        return moving.Mover(box.data, disk, {}, lambda done: None).copy(final=final)

    first = copy()
    assert (first.copied, copy().copied) == (first.files - 1, 0)  # one is a second name
    (box.data / "uploads/part").write_bytes(b"so far, and more")
    (gone,) = list(box.data.rglob("twin.mp4"))
    gone.unlink()
    (box.data / "uploads/fresh").write_bytes(b"new")
    assert copy().copied == 2
    assert copy(final=True).copied >= 1  # the database
    assert contents(disk) == contents(box.data)


def test_what_a_backup_shares_with_the_media_is_one_file_afterwards(
    box: Settings, disk: Path
) -> None:
    media, group = box.data / "media", 54321
    # As installed: what the proxy reads belongs to its group, backups don't.
    for folder in (media, *media.iterdir()):
        os.chown(folder, -1, group)
        folder.chmod(0o2750)
    for path in media.rglob("*/*"):
        os.chown(path, -1, group)
    with database.connection_context():
        create(box, None)
        changed = Layout(box.data).original(Video.select().first().public_id)
        known = moving.known_digests(box.data)
    database.close()
    with changed.open("r+b") as file:
        file.write(b"flipped")  # in the backup, too
    before = shared(box.data)
    assert sum(len(names) > 1 for names in before) >= 4
    apart = sum(path.stat().st_size for path in box.data.rglob("*") if path.is_file())
    assert moving.total_bytes(box.data) < apart - 6_000_000

    target = disk / "appliance"
    moving.lay_out(box.data, target)
    tally = moving.Mover(box.data, target, known, lambda done: None).copy(final=False)
    assert tally.wrong == [str(changed.relative_to(box.data))]
    # Removed while the box ran: the backup has it still, and it isn't copied once more.
    gone = next(path for path in media.glob("*/original") if path != changed)
    gone.unlink()
    again = moving.Mover(box.data, target, known, lambda done: None)
    last = again.copy(final=True)
    assert {path.name for path in box.data.glob("*.db")} >= {"appliance.db"}
    assert last.copied <= len(list(box.data.glob("*.db*")))
    assert last.bytes == moving.total_bytes(box.data)
    assert shared(target) == shared(box.data)
    assert {path.stat().st_gid for path in (target / "media").rglob("*")} == {group}
    assert moving.total_bytes(target) == moving.total_bytes(box.data)
    needed = moving.total_bytes(box.data) + free_bytes(disk)
    moving.refuse(box.data, target, needed - 64 * 1024**2)  # what is there is there once


def shared(data: Path) -> list[list[str]]:
    """The names of each file that is moved, where it has several: those together."""
    names: dict[int, list[str]] = {}
    for path in sorted(data.rglob("*")):
        if path.is_file() and path.relative_to(data).parts[0] in ("media", "uploads", "backups"):
            names.setdefault(path.stat().st_ino, []).append(str(path.relative_to(data)))
    return sorted(names.values())


def test_a_number_that_was_given_to_another_file_makes_no_link(box: Settings, disk: Path) -> None:
    first, second = sorted(Layout(box.data).media.glob("*/original"))
    os.link(second, second.with_name("twin-of-second.mp4"))
    mover = moving.Mover(box.data, disk, {}, lambda done: None)
    mover.copy(final=False)
    # As if `first` had been removed and its number were that of `second`.
    found = second.stat()
    mover.first = {(found.st_dev, found.st_ino): str(first.relative_to(box.data))}
    (disk / second.relative_to(box.data)).unlink()
    mover.copy(final=False)
    assert contents(disk) == contents(box.data)


def test_a_file_that_had_changed_silently_is_named(box: Settings, disk: Path) -> None:
    with database.connection_context():
        video = Video.select().first()
        path = Layout(box.data).original(video.public_id)
        known = moving.known_digests(box.data)
    with path.open("r+b") as file:
        file.write(b"flipped")
    tally = moving.Mover(box.data, disk, known, lambda done: None).copy(final=True)
    assert tally.wrong == [str(path.relative_to(box.data))]


def test_a_disk_that_is_too_small_is_told_first_and_one_that_fills_up_then(
    box: Settings, tmp_path: Path
) -> None:
    before = contents(box.data)
    with small_disk(tmp_path / "small", "5m"):
        with pytest.raises(StorageFull, match=r"has 5\.2 MB free, and 7\d\.\d MB are needed"):
            moving.refuse(box.data, tmp_path / "small", moving.total_bytes(box.data))
        with pytest.raises(StorageFull, match="no room left"):
            moving.Mover(box.data, tmp_path / "small", {}, lambda done: None).copy(final=False)
    assert contents(box.data) == before
    assert not box.data.is_symlink()


def test_places_that_won_t_do_are_refused_with_a_reason(
    box: Settings, disk: Path, tmp_path: Path
) -> None:
    def refused(target: Path, kind: type[ApplianceError], words: str) -> None:
        with pytest.raises(kind, match=words):
            moving.refuse(box.data, target, 1000)

    refused(box.data / "within", InvalidInput, "lie in one another")
    refused(box.data.parent, InvalidInput, "lie in one another")
    refused(tmp_path / "beside", InvalidInput, "on the same disk")
    refused(disk / "missing", InvalidInput, "is no folder")
    (disk / "taken").mkdir()
    (disk / "taken/file").touch()
    refused(disk / "taken", Conflict, "not empty")
    # Before root has given it away, and also where folders are all that is in it.
    (disk / "homes/somebody").mkdir(parents=True)
    before = (disk / "homes").stat().st_mode
    assert "not empty" in run(box, str(disk / "homes"), code=1)
    assert (disk / "homes").stat().st_mode == before
    with small_disk(box.data / "inside", "1m"):
        refused(disk / "new", Conflict, "a disk of its own inside")
    box.data.with_name("data.old").mkdir()
    refused(disk / "new", Conflict, "from another move")
    box.data.with_name("data.old").rmdir()
    (disk / "other").mkdir()
    (disk / "other" / moved.NOTES).write_text('{"source": "/srv/elsewhere"}\n')
    refused(disk / "other", Conflict, "where /srv/elsewhere is being moved to")
    (disk / "locked").mkdir(mode=0o700)
    disk.chmod(0o755)
    code = """
import os, sys
from pathlib import Path
from storage import moved, moving
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    moving.refuse(Path("/usr"), Path(sys.argv[1]), 1)
except Exception as exc:
    print(exc)
"""
    # Where others may not look, the temporary folder of the tests, this would be refused anyway.
    mounted = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(mounted)], capture_output=True, text=True, check=True
        )
    finally:
        mounted.rmdir()
    assert "may not write to" in done.stdout
    with pytest.raises(NotFound, match="was not moved"):
        moved.forget_old(box.data)
    with small_disk(tmp_path / "mounted", "1m"), pytest.raises(Conflict, match="very top"):
        moving.refuse(tmp_path / "mounted", disk / "new", 1)
