"""Backups made, looked at and brought back: on the same box and on another."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from appliance import accounts, posting_switch
from appliance.cli import restoring
from appliance.cli.backup import backup
from appliance.db import database, open_database
from appliance.errors import ApplianceError, Conflict, InvalidInput, NotFound
from appliance.migrate import FOLDER, _Runner, migrate
from appliance.models import Account, BackupRun, Post, PostTarget, Session, Upload, Video
from appliance.settings import Settings
from appliance.states import AccountState, RunState, UploadState, VideoState
from appliance.vault import open_vault
from storage.backups import (
    contents,
    format,
    in_use,
    recovery_key,
    restore,
    running,
    switching,
)
from storage.backups.building import Building
from storage.backups.create import create, no_progress
from storage.backups.drill import Drilled, drill
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged
from storage.backups.keeping import Keep
from storage.backups.prune import prune
from storage.backups.verify import verify
from storage.layout import Layout
from storage.usage import take_stock
from tests.factories import make_user
from tests.storage.backups.boxes import add_upload, add_video, files_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("db")


def another(settings: Settings, tmp_path: Path) -> Settings:
    """A new box that sees the backups of the first."""
    return Settings.model_validate(
        {"data": tmp_path / "another", "backup_folder": settings.backups, "disk_reserve": 0}
    )


def bring_back(box: Settings, name: str, **options: object) -> restore.Prepared:
    with in_use.alone(box.data):
        prepared = restore.prepare(box, name, **options)  # type: ignore[arg-type]
        restore.switch(box)
    return prepared


def rows_of(box: Settings, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(box.database_path)) as db:
        return db.execute(sql).fetchall()


def test_a_box_comes_back_elsewhere_as_it_was(
    settings: Settings, layout: Layout, folder: BackupFolder, tmp_path: Path
) -> None:
    for _ in range(3):
        add_video(layout)
    add_video(layout, trashed=True)
    before = files_of(settings.data)
    made = create(settings, None)
    assert (made.files, made.problems) == (16, [])
    assert verify(folder, made.name).is_good

    box = another(settings, tmp_path)
    prepared = bring_back(box, made.name, without_sign_ins=True)

    assert files_of(box.data) == before
    assert prepared.opened.videos == 4
    sql = "SELECT public_id, sha256, state FROM video ORDER BY id"
    assert rows_of(box, sql) == rows_of(settings, sql)
    assert not (box.data / "switch.json").exists() and switching.kept(box.data) == []


def test_the_next_backup_reads_and_keeps_only_what_is_new(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    add_video(layout)
    first = create(settings, None)
    objects = {path.name for path in folder.objects.rglob("*") if path.is_file()}
    video = add_video(layout)

    second = create(settings, None)

    assert (second.files, second.new_files) == (first.files + 4, 4)
    assert objects < {path.name for path in folder.objects.rglob("*") if path.is_file()}
    # By a second name: it takes no room.
    sha256 = format.object_path(str(video.sha256))
    assert (folder.root / sha256).samefile(layout.original(video.public_id))
    assert not list(settings.data.rglob(".pins")) and not list(folder.tmp.iterdir())


def test_what_backups_take_counts_second_names_once(
    settings: Settings, layout: Layout, tmp_path: Path
) -> None:
    def taken(box: Settings) -> tuple[int, int]:
        with database.connection_context():
            (part,) = [one for one in take_stock(box, layout).parts if one.name == "backups"]
        return part.count, part.size_bytes

    video = add_video(layout, size=4_000_000)
    database.close()
    assert taken(settings) == (0, 0)
    made = running.run_create(settings)
    files = list((settings.backups / "sets" / made.name).iterdir())
    only_sets = len(files), sum(path.stat().st_size for path in files)
    assert taken(settings) == only_sets

    sizes = [path.stat().st_size for path in layout.video(video.public_id).iterdir()]
    shutil.rmtree(layout.video(video.public_id))
    running.note_room(settings)  # as the daily look does: now the backup alone has them
    assert taken(settings) == (only_sets[0] + len(sizes), only_sets[1] + sum(sizes))
    elsewhere = settings.model_copy(update={"backup_folder": Path("/proc")})
    assert taken(elsewhere) == (0, 0)  # another disk


def test_the_same_bytes_are_kept_once(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    video = add_video(layout)
    twin = layout.video(video.public_id) / "audio.m4a"
    twin.write_bytes(layout.original(video.public_id).read_bytes())

    made = create(settings, None)

    assert (made.files, made.new_files) == (5, 4)
    manifest = folder.manifest(made.name)
    for like in (settings.data, None):
        aside = settings.data / f"aside-{like is None}"
        aside.mkdir()
        building = Building(folder, manifest, aside, no_progress, like=like)
        assert building.copied_bytes() == 0
        building.run()
        (again,) = aside.rglob("audio.m4a")
        assert again.samefile(again.with_name("original"))


@pytest.mark.needs_root
def test_what_another_group_is_to_read_is_copied_and_counted(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    """As installed, where the proxy reads media by its group, and backups came from elsewhere."""
    add_video(layout)
    made = create(settings, None)
    os.chown(layout.media, -1, 54321)
    layout.media.chmod(0o2750)
    aside = settings.data / "aside"
    aside.mkdir()

    building = Building(folder, folder.manifest(made.name), aside, no_progress, like=settings.data)

    assert building.copied_bytes() == 4000 + 2000 + 300 + 200
    building.run()
    assert {path.stat().st_gid for path in (aside / "media").rglob("*")} == {54321}


def test_what_writes_while_a_backup_is_made_never_waits_for_it(
    settings: Settings, layout: Layout
) -> None:
    """Also not who reports how far it is, in that one moment without writers."""
    add_video(layout)
    told = []

    def write(stage: str, fraction: float) -> None:
        with closing(sqlite3.connect(settings.database_path, timeout=0)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
        told.append(stage)

    create(settings, None, write)

    assert {"Holding the files", "Copying the database"} <= set(told)


@pytest.mark.needs_root
def test_a_file_that_cannot_be_read_spoils_no_backup() -> None:
    """Nobody's box, with a file that root has put there, and one that its disk doesn't give."""
    nobody = 65534
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))
    box = Settings.model_validate({"data": place / "data", "disk_reserve": 0})
    try:
        layout = Layout(box.data)
        layout.make_folders()
        database.close()
        open_database(box.database_path)
        with database.connection_context():
            migrate(box)
            video = add_video(layout)
        for path in (place, *place.rglob("*")):
            os.chown(path, nobody, nobody)
        layout.original(video.public_id).chmod(0)
        os.chown(layout.video(video.public_id) / "social.mp4", 0, 0)
        (layout.video(video.public_id) / "social.mp4").chmod(0o600)
        assert format.is_name("20260101T000000Z")  # loads what nobody may not
        os.seteuid(nobody)
        try:
            made = create(box, None)
        finally:
            os.seteuid(0)
        assert made.files == 2  # poster and cover
        assert sorted(problem.partition("/")[2] for problem in made.problems) == [
            "original: can't be read on the box (Permission denied)",
            f"social.mp4: can't be read on the box ({made.problems[0].partition('(')[2]}",
        ]
    finally:
        shutil.rmtree(place)


def test_others_things_in_the_folder_for_backups_stay(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    (folder.tmp).mkdir(parents=True)
    (folder.tmp / "of others").touch()

    with pytest.raises(Conflict, match="a folder of their own"):
        create(settings, None)

    assert [path.name for path in folder.root.rglob("*")] == ["tmp", "of others"]


def test_backups_that_are_gone_are_missed(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    database.close()
    running.run_create(settings)
    folder.root.rename(folder.root.with_name("unmounted"))
    folder.root.mkdir()

    with pytest.raises(NotFound, match="may not be mounted"):
        running.run_create(settings)

    assert list(folder.root.iterdir()) == []
    folder.sets.mkdir()
    running.run_create(settings)
    assert len(folder.names()) == 1


def test_settings_are_toml_whatever_people_have_called_themselves(settings: Settings) -> None:
    name = "Tea🎬\x7f “m” \\ \n"
    text = contents.settings_text(settings.model_copy(update={"team_name": name}))
    assert tomllib.loads(text)["team_name"] == name


def test_what_is_removed_meanwhile_is_in_the_backup_of_before(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    videos = [add_video(layout) for _ in range(3)]
    gone = videos[1]
    removed = []

    def remove_while_copying(stage: str, fraction: float) -> None:
        if stage == "Copying files" and not removed:
            removed.append(gone.public_id)
            Video.delete().where(Video.id == gone.id).execute()
            for path in layout.video(gone.public_id).iterdir():
                path.unlink()
            layout.video(gone.public_id).rmdir()

    made = create(settings, None, remove_while_copying)

    assert removed and made.problems == [] and made.files == 12
    assert verify(folder, made.name).is_good


def test_a_file_that_came_between_the_looks_is_there(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    add_video(layout)

    def add_between(stage: str, fraction: float) -> None:
        if stage == "Copying the database" and Video.select().count() == 1:
            add_video(layout)

    made = create(settings, None, add_between)

    assert (made.files, made.problems) == (8, [])


def test_damage_of_the_box_is_said_and_does_not_spread(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    video = add_video(layout)
    layout.original(video.public_id).unlink()
    (layout.video(video.public_id) / "social.mp4").write_bytes(os.urandom(2000))

    made = create(settings, None)

    assert made.problems == [
        f"{video.public_id}/original: missing on the box",
        f"{video.public_id}/social.mp4: changed on the box",
    ]


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink()  # a second name of a file of the box
    path.write_bytes(raw)


def _cut(path: Path) -> None:
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(raw[: len(raw) // 2])


def _link(path: Path) -> None:
    """To the same bytes: what is at its end may change later, or be a key of this box."""
    path.rename(path.parents[2] / "planted")
    path.symlink_to(path.parents[2] / "planted")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: list[tuple[str, Callable[[Path], None], str, bool]] = [
    ("object", _flip, "changed", False),
    ("object", _cut, "cut off", True),
    ("object", lambda path: path.unlink(), "missing", True),
    ("object", _link, "a link", True),
    ("object", _pipe, "not a file", True),
    ("appliance.db", _flip, "changed", False),
    ("appliance.db", _cut, "cut off", True),
    ("appliance.db", lambda path: path.unlink(), "missing", True),
    ("manifest.json", _flip, "", True),
    ("manifest.json", _cut, "cut off", True),
    ("manifest.json", lambda path: path.unlink(), "missing", True),
    ("manifest.json", _pipe, "not a file", True),
]


@pytest.mark.parametrize(("what", "damage", "word", "seen_quickly"), DAMAGES)
def test_damage_is_named_and_never_restored(
    settings: Settings,
    layout: Layout,
    folder: BackupFolder,
    what: str,
    damage: Callable[[Path], None],
    word: str,
    seen_quickly: bool,
) -> None:
    video = add_video(layout)
    made = create(settings, None)
    before = files_of(settings.data)
    path = folder.set_folder(made.name) / what
    named = f"{made.name}/{what}"
    if what == "object":
        path = folder.object(str(video.sha256))
        named = f"media/{video.public_id}/original"
    damage(path)

    assert verify(folder, made.name, quick=True).is_good is not seen_quickly
    (problem,) = verify(folder, made.name).problems
    assert named in problem and word in problem

    with pytest.raises(BackupDamaged) as told, in_use.alone(settings.data):
        restore.prepare(settings, made.name)
    assert named in str(told.value) or named.partition("/")[2] in str(told.value)
    assert files_of(settings.data) == before
    assert not (settings.data / "restoring").exists()
    assert Video.get_by_id(video.id).state is VideoState.READY
    # Two at once are not in each other's way.
    inner: list[Drilled] = []

    def drill_too(stage: str, fraction: float) -> None:
        if not inner:
            inner.append(drill(settings, made.name))

    assert named in str(drill(settings, made.name, drill_too).problems)
    assert all(named in str(found.problems) for found in inner)
    assert not list(folder.tmp.iterdir())


def test_the_next_backup_mends_what_verifying_found(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    video = add_video(layout)
    made = create(settings, None)
    _flip(folder.object(str(video.sha256)))
    assert not verify(folder, made.name).is_good

    create(settings, None)

    assert verify(folder, made.name).is_good and folder.damaged() == set()


def test_sign_ins_come_back_by_the_recovery_key_alone(
    settings: Settings, layout: Layout, folder: BackupFolder, tmp_path: Path
) -> None:
    account = Account.create(platform="youtube", name="Channel", remote_id="1")
    accounts.seal(open_vault(settings), account, {"token": "very secret"})
    key, verifier = recovery_key.make()
    secret = settings.model_copy(update={"metrics_token": SecretStr("m" * 40)})
    made = create(secret, verifier)
    everything = b"".join(p.read_bytes() for p in folder.root.rglob("*") if p.is_file())
    assert b"very secret" not in everything
    assert (settings.data / "secret.key").read_bytes() not in everything
    box = another(settings, tmp_path)

    with pytest.raises(InvalidInput, match="another key"):
        restore.prepare(box, made.name)
    wrong, _ = recovery_key.make()
    with pytest.raises(InvalidInput, match="not the recovery key"):
        restore.prepare(box, made.name, key=wrong)
    # A changed byte is no wrong key.
    sealed = folder.set_folder(made.name) / "secrets.json"
    raw = sealed.read_bytes()
    _flip(sealed)
    with pytest.raises(BackupDamaged, match=r"secrets\.json: changed"):
        restore.prepare(box, made.name, key=key)
    sealed.write_bytes(raw)
    assert not box.database_path.exists()
    written = tmp_path / "secrets.toml"
    with restoring.kept_open(written) as file, restoring.box_stopped(box):
        with pytest.raises(InvalidInput, match="sealed for the recovery key"):
            restoring.restore(box, made.name, "", True, file, no_progress)
        done = restoring.restore(
            box, made.name, f" {key.lower().replace('-', '– ')}", False, file, no_progress
        )

    assert done["resealed"] == 1
    assert tomllib.loads(written.read_text()) == {"metrics_token": "m" * 40}
    assert written.stat().st_mode & 0o777 == 0o600
    database.close()
    open_database(box.database_path)
    with database.connection_context():
        found = accounts.credentials(open_vault(box), Account.get())
    assert found == {"token": "very secret"}
    assert (box.data / "secret.key").read_bytes() != (settings.data / "secret.key").read_bytes()


def test_without_the_key_accounts_are_to_be_connected_again(
    settings: Settings, tmp_path: Path
) -> None:
    account = Account.create(platform="youtube", name="Channel", remote_id="1")
    accounts.seal(open_vault(settings), account, {"token": "very secret"})
    made = create(settings, None)
    box = another(settings, tmp_path)

    with pytest.raises(InvalidInput, match="no secrets"):
        restore.prepare(box, made.name)
    prepared = bring_back(box, made.name, without_sign_ins=True)

    assert prepared.opened.reconnect == 1
    assert rows_of(box, "SELECT state, credentials FROM account") == [
        (AccountState.RECONNECT, None)
    ]


def test_what_was_under_way_then_is_over(
    settings: Settings, layout: Layout, tmp_path: Path
) -> None:
    open_one = add_upload(layout, UploadState.RECEIVING)
    whole = add_upload(layout, UploadState.FINISHING, b"all of it")
    Session.create(user=make_user(), token_hash="x", expires_at=datetime.now(UTC))
    BackupRun.create(kind="create", pid=1, boot_id="")
    made = create(settings, None)
    box = another(settings, tmp_path)

    prepared = bring_back(box, made.name, without_sign_ins=True)

    assert prepared.opened.lost_uploads == 1
    states = dict(rows_of(box, "SELECT public_id, state FROM upload"))  # type: ignore[arg-type]
    assert states == {open_one.public_id: "lost", whole.public_id: "finishing"}
    assert Layout(box.data).upload(whole.public_id).read_bytes() == b"all of it"
    ((error,),) = rows_of(box, "SELECT error FROM upload WHERE state = 'lost'")
    assert "Send the file again" in str(error)
    assert rows_of(box, "SELECT COUNT(*) FROM session") == [(0,)]
    assert rows_of(box, "SELECT kind, state FROM backup_run") == [("restore", "completed")]
    assert Upload.get_by_id(open_one.id).state is UploadState.RECEIVING  # of the box as it is


def test_what_was_still_to_be_posted_waits_for_a_person(
    settings: Settings, layout: Layout, tmp_path: Path
) -> None:
    post = Post.create(video=add_video(layout), title="One")
    account = Account.create(platform="practice", name="P", remote_id="1")
    PostTarget.create(post=post, account=account)
    made = create(settings, None)
    assert not posting_switch.is_paused()

    prepared = bring_back(settings, made.name)

    assert prepared.opened.paused
    ((value,),) = rows_of(settings, "SELECT value FROM setting WHERE name = 'posting'")
    assert "may have been posted since" in str(value)


def test_the_data_of_before_is_kept_until_told(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    add_video(layout)
    made = create(settings, None)
    post = Post.create(video=add_video(layout), title="One")
    account = Account.create(platform="practice", name="P", remote_id="1")
    PostTarget.create(post=post, account=account)
    add_upload(layout, UploadState.RECEIVING)
    before = files_of(settings.data)
    database.close()

    bring_back(settings, made.name)

    assert rows_of(settings, "SELECT COUNT(*) FROM video") == [(1,)]
    (old,) = switching.kept(settings.data)
    assert files_of(settings.data / old) == before
    # While the restored database is no database: backups are found, what is kept is looked at.
    kept_database = settings.data / old / "appliance.db"
    whole = kept_database.read_bytes()
    for path in (kept_database, settings.database_path):
        path.write_bytes(b"not a database" * 100)
    shell = CliRunner(env={"APPLIANCE_DATA": str(settings.data)})
    assert made.name in shell.invoke(backup, ["list"]).output
    looked = shell.invoke(backup, ["verify", made.name])
    assert (looked.exit_code, "every byte is what it was" in looked.output) == (0, True)
    with restoring.box_stopped(settings):
        with pytest.raises(Conflict, match="restored already"), restore.only_one(settings.data):
            pass
        with pytest.raises(ApplianceError, match="damaged: file is not a database"):
            restoring.undo(settings)
        kept_database.write_bytes(whole)
        done = restoring.undo(settings)  # and back again
    assert done["paused"] and any("paused" in said for said in restoring.describe(done))
    ((value,),) = rows_of(settings, "SELECT value FROM setting WHERE name = 'posting'")
    assert "went back to its data" in str(value)
    assert rows_of(settings, "SELECT state FROM upload") == [(UploadState.RECEIVING.value,)]
    assert rows_of(settings, "SELECT COUNT(*) FROM video") == [(3,)]
    assert files_of(settings.data) == before
    assert len(switching.remove_kept(settings.data)) == 1
    assert switching.kept(settings.data) == []


def test_a_newer_backup_is_refused(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    database.execute_sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '')")
    made = create(settings, None)

    with pytest.raises(Conflict, match="newer version"):
        restore.prepare(settings, made.name)
    with pytest.raises(Conflict, match="newer version"):
        drill(settings)


def test_an_older_backup_is_migrated(settings: Settings, tmp_path: Path) -> None:
    """As the first released schema left it: all later scripts run aside, before the switch."""
    scripts = sorted(file.stem for file in FOLDER.glob("[0-9]*.py"))
    old = Settings.model_validate({"data": tmp_path / "old", "disk_reserve": 0})
    Layout(old.data).make_folders()
    database.close()
    open_database(old.database_path)
    with database.connection_context():
        _Runner().up(scripts[1])
    made = create(old, None)
    assert BackupFolder(old.backups).manifest(made.name).schema == scripts[:2]

    prepared = bring_back(old, made.name)

    assert prepared.opened.migrated == scripts[2:]
    assert drill(old).migrated == scripts[2:]
    open_database(old.database_path)
    assert migrate(old) == []


def test_only_who_is_alone_restores(settings: Settings) -> None:
    in_use.enter(settings.data)
    try:
        code = (
            "import sys; from pathlib import Path; from storage.backups import in_use\n"
            "with in_use.alone(Path(sys.argv[1])): pass"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(settings.data)], capture_output=True, text=True
        )
    finally:
        in_use.leave()
    assert done.returncode == 1 and "The box is running" in done.stderr


def test_pruning_removes_what_nobody_names(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    video = add_video(layout)
    first = create(settings, None)
    digest = str(video.sha256)
    for path in layout.video(video.public_id).iterdir():
        path.unlink()
    Video.delete().where(Video.id == video.id).execute()
    second = create(settings, None)
    # What others have left, or planted, is neither followed nor in the way.
    elsewhere = folder.root.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / digest).touch()
    (folder.objects / ".DS_Store").touch()
    (folder.objects / "00").symlink_to(elsewhere) if not (folder.objects / "00").exists() else None
    (folder.tmp / "set").symlink_to(elsewhere)

    done = prune(settings, Keep(daily=1, weekly=0, monthly=0))

    assert (done.removed, done.kept, done.objects) == ([first.name], 1, 4)
    assert folder.names() == [second.name] and not folder.object(digest).exists()
    assert (elsewhere / digest).exists() and not list(folder.tmp.iterdir())
    with pytest.raises(NotFound):
        prune(settings, Keep(), names=["20200101T000000Z"])


def test_while_a_manifest_cannot_be_read_no_object_goes(
    settings: Settings, layout: Layout, folder: BackupFolder
) -> None:
    add_video(layout)
    first, second = create(settings, None), create(settings, None)
    _cut(folder.set_folder(second.name) / "manifest.json")

    done = prune(settings, Keep(), names=[first.name])

    assert (done.unread, done.objects) == ([second.name], 0)


def test_two_do_not_work_at_once(settings: Settings, folder: BackupFolder) -> None:
    folder.make()
    with folder.locked(alone=False), pytest.raises(Conflict, match="Another run"):
        create(settings, None)
    assert folder.names() == []


def test_a_drill_says_that_it_would_work(settings: Settings, layout: Layout) -> None:
    add_video(layout)
    made = create(settings, None)

    found = drill(settings)

    assert (found.name, found.files, found.videos, found.problems) == (made.name, 4, 1, [])
    assert BackupRun.select().where(BackupRun.state == RunState.COMPLETED).count() == 0
