"""Another database in the place of ours: after any cut, doing it again ends in the right one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from appliance.errors import SettingsError
from appliance.swapping import swap_database
from tests.tasks.test_full_disk import fill, needs_root
from tests.web.test_upload_crashes import small_disk


def make(path: Path, word: str) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE word (text TEXT)")
        db.execute("INSERT INTO word VALUES (?)", [word])
        db.commit()
    return path


def word_in(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return str(db.execute("SELECT text FROM word").fetchone()[0])


def left_open(path: Path) -> None:
    """Change the word, and end with it in the log alone, as after a kill."""
    code = f"""
import os, sqlite3
db = sqlite3.connect({str(path)!r})
db.execute("PRAGMA wal_autocheckpoint=0")
db.execute("UPDATE word SET text = 'newer'")
db.commit()
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.with_name(f"{path.name}-wal").stat().st_size


def test_the_backup_takes_the_place_and_what_was_there_stays_whole(tmp_path: Path) -> None:
    path, backup = make(tmp_path / "a.db", "new"), make(tmp_path / "b.db", "old")
    path.chmod(0o640)
    left_open(path)
    swap_database(path, backup, tmp_path / "aside.db")
    assert (word_in(path), word_in(backup), word_in(tmp_path / "aside.db")) == (
        "old",
        "old",
        "newer",
    )
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["renameat", "rename", "link", "unlink", "fsync", "openat"])
def test_a_kill_anywhere_is_mended_by_doing_it_again(tmp_path: Path, call: str) -> None:
    """strace kills it at each of its calls of one kind, in turn."""
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, backup = make(folder / "a.db", "new"), make(folder / "b.db", "old")
        left_open(path)
        aside = folder / "aside.db"
        code = (
            "from pathlib import Path; from appliance.swapping import swap_database;"
            "import os; os.mkdir('begun');"
            f"swap_database(Path({str(path)!r}), Path({str(backup)!r}), Path({str(aside)!r}))"
        )
        done = subprocess.run(
            [
                "strace", "-f", "-qq", "-o", "/dev/null", "-P", str(folder), "-P", str(path),
                "-P", str(path) + "-wal", "-P", str(aside), "-P", str(path) + ".restoring",
                "-e", f"inject={call}:signal=KILL:when={number}",
                sys.executable, "-c", code,
            ],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        swap_database(path, backup, aside)
        assert (word_in(path), word_in(aside)) == ("old", "newer")
        if done.returncode == 0:
            return
    raise AssertionError("it never came to its end")


def test_the_log_of_the_backup_stays_away_from_what_was_set_aside(tmp_path: Path) -> None:
    path, backup = make(tmp_path / "a.db", "new"), make(tmp_path / "b.db", "old")
    aside = tmp_path / "aside.db"
    swap_database(path, backup, aside)
    left_open(path)  # somebody wrote into the restored one, then the power went
    swap_database(path, backup, aside)
    assert (word_in(path), word_in(aside)) == ("old", "new")


@pytest.mark.needs_root
@needs_root
def test_what_is_set_aside_may_lie_on_another_disk(tmp_path: Path) -> None:
    path, backup = make(tmp_path / "a.db", "new"), make(tmp_path / "b.db", "old")
    left_open(path)
    with small_disk(tmp_path / "disk", "4m"):
        aside = tmp_path / "disk/aside.db"
        for _ in range(2):
            swap_database(path, backup, aside)
            assert (word_in(path), word_in(aside)) == ("old", "newer")


def test_a_damaged_or_missing_backup_changes_nothing(tmp_path: Path) -> None:
    path, backup = make(tmp_path / "a.db", "new"), make(tmp_path / "b.db", "old")
    backup.write_bytes(backup.read_bytes()[:5000])
    with pytest.raises(SettingsError, match="damaged"):
        swap_database(path, backup, tmp_path / "aside.db")
    backup.unlink()
    with pytest.raises(SettingsError, match="gone"):
        swap_database(path, backup, tmp_path / "aside.db")
    assert word_in(path) == "new"


@pytest.mark.needs_root
@needs_root
def test_it_works_without_a_byte_left(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        path, backup = make(disk / "a.db", "new"), make(disk / "b.db", "old")
        fill(disk / "filler")
        for _ in range(2):  # the second is as after a cut
            swap_database(path, backup, disk / "aside.db")
            (disk / "filler").unlink(missing_ok=True)
            assert word_in(path) == "old"
