"""Migrations: the schema is the models', a backup comes first, and no kill leaves half of one."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance import migrate as migrations
from appliance.db import database, open_database
from appliance.errors import SettingsError
from appliance.migrate import migrate, require_current
from appliance.models import ALL, Setting

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout

# A second version for the tests: it copies a table and fills it, as real ones do.
SECOND = """
STATEMENTS = [
    "CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, text TEXT NOT NULL)",
    "INSERT INTO note (text) SELECT name FROM setting",
    "ALTER TABLE setting RENAME TO setting_before",
    'CREATE TABLE setting (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL,'
    ' value TEXT NOT NULL, updated_at TEXT NOT NULL)',
    "INSERT INTO setting SELECT * FROM setting_before",
    "DROP TABLE setting_before",
]

def up(migrator, db):
    for number, statement in enumerate(STATEMENTS):
        db.execute_sql(statement)
        BETWEEN(number)
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of migrations of our own, with the real first one in it."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrations, "FOLDER", folder)
    return folder


@pytest.fixture
def box(settings: Settings, layout: Layout) -> Settings:
    """A box of the first version with one row in it."""
    open_database(settings.database_path)
    migrate(settings)
    with database.connection_context():
        Setting.create(name="kept", value=1)
    return settings


def schema(path: Path) -> dict[tuple[str, str], object]:
    """Tables with their columns and foreign keys, indexes with what they cover; not their text."""
    with closing(sqlite3.connect(path)) as db:
        found: dict[tuple[str, str], object] = {}
        for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master"):
            if name.startswith(("sqlite_", "video_search", "schema_migration")):
                continue
            if kind == "table":
                # Without defaults: added columns need one in SQLite, the models give values.
                columns = [
                    (column, kind, needed, key)
                    for _, column, kind, needed, _, key in db.execute(f"PRAGMA table_info({name})")
                ]
                keys = [row[2:] for row in db.execute(f"PRAGMA foreign_key_list({name})")]
                found[kind, name] = (sorted(columns), sorted(keys))
            else:
                parts = [row[2] for row in db.execute(f"PRAGMA index_info({name})")]
                condition = " ".join(sql.partition(" WHERE ")[2].split()).strip("()")
                found[kind, name] = ("UNIQUE" in sql, parts, condition)
        return found


def test_the_migrated_schema_is_the_one_of_the_models(
    settings: Settings, layout: Layout, tmp_path: Path
) -> None:
    open_database(settings.database_path)
    migrate(settings)
    fresh = tmp_path / "models.db"
    open_database(fresh)
    with database.connection_context():
        database.create_tables(ALL)
    assert schema(settings.database_path) == schema(fresh)


def test_all_rows_that_models_know_are_in_the_list_of_tables(box: Settings) -> None:
    with closing(sqlite3.connect(box.database_path)) as db:
        tables = {
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }
    expected = {model._meta.table_name for model in ALL} | {"schema_migration"}
    assert {name for name in tables if not name.startswith(("sqlite_", "video_search"))} == expected


def test_a_second_run_has_nothing_to_do(box: Settings) -> None:
    assert migrate(box) == []
    assert not (box.data / "backups").exists()  # nothing to guard against


def test_a_backup_that_holds_the_rows_comes_before_a_migration(
    box: Settings, scripts: Path
) -> None:
    (scripts / "0098_notes.py").write_text(SECOND.replace("BETWEEN(number)", "pass"))
    assert migrate(box) == ["0098_notes"]
    (backup,) = (box.data / "backups").iterdir()
    assert backup.name.startswith("before-0098_notes-")
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT name FROM setting").fetchall() == [("kept",)]
        assert not copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'note'").fetchall()
    with closing(sqlite3.connect(box.database_path)) as db:
        assert db.execute("SELECT text FROM note").fetchall() == [("kept",)]


def test_a_database_of_a_newer_version_is_left_alone(box: Settings) -> None:
    with database.connection_context():
        database.execute_sql(
            "INSERT INTO schema_migration (name, applied) VALUES ('0099_future', '2030-01-01')"
        )
    before = schema(box.database_path)
    for start in (migrate, require_current):
        with pytest.raises(SettingsError, match="newer version .*0099_future"):
            start(box)
    assert schema(box.database_path) == before


def test_an_older_database_is_not_worked_on_before_it_is_migrated(
    box: Settings, scripts: Path
) -> None:
    require_current(box)
    (scripts / "0098_notes.py").write_text(SECOND.replace("BETWEEN(number)", "pass"))
    with pytest.raises(SettingsError, match="appliance migrate"):
        require_current(box)
    migrate(box)
    require_current(box)


def test_a_new_box_gets_its_tables_at_the_first_command(settings: Settings, layout: Layout) -> None:
    open_database(settings.database_path)
    require_current(settings)
    with database.connection_context():
        assert Setting.select().count() == 0


def test_a_migration_that_fails_changes_nothing(box: Settings, scripts: Path) -> None:
    (scripts / "0098_notes.py").write_text(SECOND.replace("BETWEEN(number)", "assert number < 4"))
    before = schema(box.database_path)
    with pytest.raises(AssertionError):
        migrate(box)
    assert schema(box.database_path) == before
    (scripts / "0098_notes.py").write_text(SECOND.replace("BETWEEN(number)", "pass"))
    assert migrate(box) == ["0098_notes"]


def test_a_migration_that_leaves_rows_hanging_is_refused(box: Settings, scripts: Path) -> None:
    (scripts / "0002_hanging.py").write_text(
        "def up(migrator, db):\n"
        "    db.execute_sql('CREATE TABLE a (id INTEGER PRIMARY KEY,'\n"
        "        ' user_id INTEGER REFERENCES user (id))')\n"
        "    db.execute_sql('INSERT INTO a (user_id) VALUES (12345)')\n"
    )
    before = schema(box.database_path)
    with pytest.raises(SettingsError, match="0002_hanging.*nothing was changed"):
        migrate(box)
    assert schema(box.database_path) == before


KILLED = """
import os, sys
from pathlib import Path
from appliance import migrate
from appliance.db import open_database
from appliance.settings import Settings
data, folder = map(Path, sys.argv[1:])
migrate.FOLDER = folder
settings = Settings(data=data)
open_database(settings.database_path)
migrate.migrate(settings)
"""


@pytest.mark.parametrize("after", range(6))
def test_killed_between_two_statements_it_starts_again_from_before(
    box: Settings, scripts: Path, after: int
) -> None:
    script = scripts / "0098_notes.py"
    kill = f"number == {after} and __import__('os').kill(__import__('os').getpid(), 9)"
    script.write_text(SECOND.replace("BETWEEN(number)", kill))
    before = schema(box.database_path)
    command = [sys.executable, "-c", KILLED, str(box.data), str(scripts)]
    assert subprocess.run(command, check=False).returncode == -9
    assert schema(box.database_path) == before
    script.write_text(SECOND.replace("BETWEEN(number)", "pass"))
    assert migrate(box) == ["0098_notes"]
    with closing(sqlite3.connect(box.database_path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT text FROM note").fetchall() == [("kept",)]
        assert db.execute("SELECT name FROM setting").fetchall() == [("kept",)]


def test_many_that_start_at_once_migrate_once(settings: Settings, layout: Layout) -> None:
    open_database(settings.database_path)
    start = threading.Barrier(4)
    applied: list[list[str]] = []

    def run() -> None:
        start.wait()
        applied.append(migrate(settings))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = sorted(
        file.stem for file in Path(migrations.__file__).parent.glob("migrations/0*.py")
    )
    assert sorted(applied) == [[], [], [], everything]
