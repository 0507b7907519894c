"""Releases: what is decided about them, and what is kept of it."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance import database_copies, release_lock, releases
from appliance.cli.release import release as release_command
from appliance.doctor import Verdict
from appliance.errors import Conflict, NotFound, SettingsError
from appliance.releases import Facts, Journal, Past, Phase, Prefix, Under, Undo
from appliance.trial_unit import trial_unit
from tests.tasks.test_full_disk import fill, needs_root
from tests.web.test_upload_crashes import small_disk

if TYPE_CHECKING:
    from appliance.settings import Settings

UNDER = Under(to="2", previous="1", began_at="", changes_schema=True, backup="/b.db", aside="/a.db")
FACTS = Facts(
    "0.2.0",
    applied=("0001_initial",),
    pending=("0002_more",),
    database_bytes=1_000_000,
    free_bytes=10**9,
    rehearsed_s=0.5,
)


@pytest.mark.parametrize(
    ("phase", "changes", "expected"),
    [
        (Phase.STOPPING, True, Undo(False, False, False)),
        (Phase.BACKING_UP, True, Undo(False, False, False)),
        (Phase.MIGRATING, True, Undo(True, False, False)),
        (Phase.TRYING, True, Undo(True, False, False)),
        (Phase.SWITCHING, True, Undo(True, True, False)),
        (Phase.OPENING, True, Undo(True, True, True)),
        (Phase.CHECKING, True, Undo(True, True, True)),
        (Phase.MIGRATING, False, Undo(False, False, False)),
        (Phase.SWITCHING, False, Undo(False, True, False)),
        (Phase.CHECKING, False, Undo(False, True, False)),
    ],
)
def test_what_has_happened_is_what_is_taken_back(
    phase: Phase, changes: bool, expected: Undo
) -> None:
    assert releases.undo_of(replace(UNDER, phase=phase, changes_schema=changes)) == expected


def test_posting_pauses_where_somebody_has_started_what_was_cut_short() -> None:
    under = replace(UNDER, phase=Phase.SWITCHING, delivering=True)
    assert releases.undo_of(under) == Undo(restore=True, switch=True, pause_posting=True)
    # Nothing is put back, so nothing that was posted is forgotten.
    under = replace(under, phase=Phase.STOPPING)
    assert releases.undo_of(under) == Undo(restore=False, switch=False, pause_posting=False)


def test_a_first_install_has_no_database_to_put_back() -> None:
    under = replace(UNDER, phase=Phase.CHECKING, previous=None, backup=None, aside=None)
    assert releases.undo_of(under) == Undo(restore=False, switch=True, pause_posting=False)


@pytest.mark.parametrize("phase", list(Phase))
def test_what_people_may_have_used_stands_after_a_cut(phase: Phase) -> None:
    under = replace(UNDER, phase=phase)
    assert releases.is_accepted(under) is (phase in (Phase.OPENING, Phase.CHECKING))
    assert not releases.is_accepted(replace(under, undoing="It was unwell."))


@pytest.mark.parametrize(
    ("facts", "bad"),
    [
        (FACTS, ""),
        (replace(FACTS, pending=(), rehearsed_s=None), ""),
        (replace(FACTS, applied=(), pending=("0001_initial",), free_bytes=0), ""),  # a new box
        (Facts("0.2.0", settings_error="colour is no setting."), "Settings"),
        (replace(FACTS, newer=("0003_later",), rehearsed_s=None), "Database"),
        (replace(FACTS, free_bytes=30_000_000, rehearsed_s=None), "Space"),
        (replace(FACTS, rehearsal_error="no such column: x", rehearsed_s=None), "Rehearsal"),
    ],
    ids=["good", "same schema", "new box", "setting", "newer", "space", "rehearsal"],
)
def test_only_what_would_go_wrong_keeps_a_release_out(facts: Facts, bad: str) -> None:
    found = releases.judge(facts)
    assert [each.check for each in found if each.verdict is Verdict.BAD] == ([bad] if bad else [])
    assert all(each.mend for each in found if each.verdict is Verdict.BAD)


def test_work_under_way_is_told_and_no_hindrance() -> None:
    found = releases.judge(replace(FACTS, jobs={"encode": 2, "probe": 1}, uploads=3))[-1]
    assert (found.found, found.verdict) == ("2 × encode, 1 × probe, 3 upload(s)", Verdict.GOOD)


def test_facts_survive_the_way_between_two_releases() -> None:
    facts = replace(FACTS, findings=tuple(releases.judge(FACTS)), jobs={"encode": 1})
    assert releases.facts_from(json.loads(json.dumps(asdict(facts)))) == facts
    with pytest.raises(SettingsError, match="isn't understood"):
        releases.facts_from({"version": "0.0.1"})


# Folder and journal


def install(prefix: Prefix, *names: str) -> None:
    for name in names:
        program = releases.program_of(prefix.release(name))
        program.parent.mkdir(parents=True)
        program.touch()


def test_the_link_leads_to_one_release_or_to_none(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path)
    install(prefix, "1", "2")
    assert prefix.active() is None
    for name in ("1", "2", None):
        prefix.switch(name)
        assert prefix.active() == name
        assert prefix.current.exists() is (name is not None)


def test_only_whole_releases_of_this_prefix_are_taken(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path / "opt")
    install(prefix, "1")
    install(Prefix(tmp_path / "elsewhere"), "2")
    (prefix.releases / "half").mkdir()
    assert prefix.names() == ["1"]
    assert prefix.find(prefix.release("1")) == "1"
    with pytest.raises(NotFound, match="no bin/appliance"):
        prefix.find(prefix.releases / "half")
    with pytest.raises(SettingsError, match="releases are installed there"):
        prefix.find(tmp_path / "elsewhere/releases/2")


def test_the_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path)
    assert releases.read_journal(prefix) == Journal()
    begun = Journal(UNDER, (Past("1", None, "then", "active"),))
    releases.write_journal(prefix, begun)
    assert releases.read_journal(prefix) == begun
    moved = begun.moved(phase=Phase.TRYING)
    assert moved.under == replace(UNDER, phase=Phase.TRYING)
    ended = moved.ended("rolled_back", "now", "It was unwell.")
    assert ended.under is None
    assert ended.past[-1] == Past("2", "1", "now", "rolled_back", "It was unwell.", "/b.db")
    prefix.journal.write_text("{")
    with pytest.raises(SettingsError, match="can't be read"):
        releases.read_journal(prefix)
    prefix.journal.write_text('{"under": {"phase": "dancing"}, "past": []}')
    with pytest.raises(SettingsError, match="another version"):
        releases.read_journal(prefix)


@pytest.mark.needs_root
@needs_root
def test_the_way_back_is_written_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "opt", "2m"):
        prefix = Prefix(tmp_path / "opt")
        releases.lay_in_spare(prefix)
        begun = Journal(UNDER)
        releases.write_journal(prefix, begun)
        fill(tmp_path / "opt/filler")
        undoing = begun.moved(undoing="The disk is full.")
        for journal in (undoing, undoing.ended("rolled_back", "now", "The disk is full.")):
            releases.write_journal(prefix, journal)
            assert releases.read_journal(prefix) == journal
        prefix.switch("1")
        fill(tmp_path / "opt/filler")
        with pytest.raises(OSError, match="No space"):  # nothing was begun then
            releases.lay_in_spare(prefix)


def test_what_is_being_removed_is_no_release(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path)
    # The last time it was cut short.
    install(prefix, "1", "2", ".removed-0")
    assert sorted(prefix.names()) == ["1", "2"]
    releases.remove(prefix, ["1"])
    assert [path.name for path in prefix.releases.iterdir()] == ["2"]


def test_nothing_is_removed_while_a_release_is_taken_into_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = Prefix(tmp_path)
    install(prefix, "1", "2", "3", "4")
    prefix.switch("1")
    monkeypatch.setattr(release_lock, "WAIT_FOR_OTHER_S", 0.0)
    words = ["prune", "--keep", "0", "--prefix", str(tmp_path), "--only-releases"]
    with release_lock.alone(prefix.lock, print):
        done = CliRunner().invoke(release_command, words)
        assert isinstance(done.exception, Conflict)
        assert sorted(prefix.names()) == ["1", "2", "3", "4"]
    CliRunner().invoke(release_command, words, catch_exceptions=False)
    assert prefix.names() == ["1"]


PAST = [
    Past("1", None, "", "active"),
    Past("2", "1", "", "active", backup="/b.db"),
    Past("3", "2", "", "rolled_back"),
    Past("4", "2", "", "active"),
]


@pytest.mark.parametrize(
    ("active", "keep", "gone"),
    [
        ("4", 0, ["1", "2", "3"]),
        ("4", 1, ["1", "3"]),
        ("4", 2, ["3"]),
        ("4", 3, []),
        ("2", 1, ["3", "4"]),
    ],
)
def test_what_was_in_use_last_stays_longest(active: str, keep: int, gone: list[str]) -> None:
    assert releases.to_prune(["1", "2", "3", "4"], PAST, active, keep) == gone


@pytest.mark.parametrize(("active", "previous"), [("4", "2"), ("2", "1"), ("1", None), ("3", None)])
def test_the_way_back_leads_to_what_was_in_use(active: str, previous: str | None) -> None:
    found = releases.before(PAST, active)
    assert (found.previous if found else None) == previous


def test_the_way_back_says_what_it_costs_before_it_is_taken() -> None:
    last = PAST[1]
    assert releases.pick_way_back(last, None, ["1", "2"]) == "1"
    assert releases.pick_way_back(last, "2", ["1", "2"]) == "2"
    with pytest.raises(Conflict, match="isn't there any more"):
        releases.pick_way_back(last, None, ["2"])
    with pytest.raises(Conflict, match="No release was in use before"):
        releases.pick_way_back(None, None, ["1", "2"])
    facts = replace(FACTS, newer=("0003_later",))
    assert releases.pick_backup(last, "1", facts, True) == "/b.db"
    with pytest.raises(Conflict, match=r"\(0003_later\).*`appliance release rollback --restore-b"):
        releases.pick_backup(last, "1", facts, False)
    # Another than the one before: nobody knows which backup is from before it.
    with pytest.raises(Conflict, match=r"Restore a backup .*: `appliance backup list`"):
        releases.pick_backup(last, "0", facts, True)


# The unit that a release is tried in


INSTALLED = """# /etc/systemd/system/appliance-web.service
[Unit]
Description=Web
Requires=appliance-web.socket
After=network.target \\
  appliance-web.socket

[Service]
Type=notify
User=appliance
ExecStartPre=/bin/true
ExecStart=/opt/appliance/current/bin/appliance \\
    web
Sockets=appliance-web.socket
Restart=always
ProtectSystem=strict
SystemCallFilter=@system-service \\
    ~@resources

[Install]
WantedBy=appliance.target

# /etc/systemd/system/appliance-web.service.d/credentials.conf
[Service]
LoadCredentialEncrypted=credentials_key:/etc/appliance/credentials/credentials_key.cred
"""


def test_a_trial_has_the_walls_of_the_real_unit_and_nothing_of_its_public() -> None:
    assert trial_unit(INSTALLED, Path("/opt/appliance/releases/2")).splitlines() == [
        "[Unit]",
        "Description=Web",
        "[Service]",
        "Type=notify",
        "User=appliance",
        "ProtectSystem=strict",
        "SystemCallFilter=@system-service  ~@resources",
        "[Service]",
        "LoadCredentialEncrypted=credentials_key:/etc/appliance/credentials/credentials_key.cred",
        "[Service]",
        "ExecStart=/opt/appliance/releases/2/bin/appliance web "
        "--listen unix:/run/appliance-trial/web.sock",
        "RuntimeDirectory=appliance-trial",
        "RuntimeDirectoryMode=0700",
        "Restart=no",
        "TimeoutStartSec=60",
    ]


def copies(*times: int, ending: str = ".db") -> list[str]:
    return [f"before-0.2.0-aaaa-2026010{time}T000000Z{ending}" for time in times]


def test_copies_of_upgrades_long_ago_go_and_those_of_the_way_back_stay() -> None:
    all_of_them = [
        *copies(5, 1, 3, 2, 4),
        *copies(1, 4, ending="-undone.db"),
        *copies(1, ending="-undone.db-wal"),
        *copies(2, ending="-undone-replaced.db"),
        "sets",
        "before-lunch.db",
    ]
    old = [*copies(1, ending="-undone.db"), *copies(1, ending="-undone.db-wal"), *copies(1)]
    of_second = [*copies(2, ending="-undone-replaced.db"), *copies(2)]
    assert database_copies.pick_old(all_of_them, frozenset()) == sorted([*old, *of_second])
    assert database_copies.pick_old(all_of_them, frozenset(copies(2))) == sorted(old)
    assert database_copies.pick_old(copies(7, 8, 9), frozenset()) == []


def test_the_way_back_is_the_copy_from_before_what_is_in_use() -> None:
    past = (
        Past("2", "1", "", "active", backup="/b/to-2.db"),
        Past("3", "2", "", "rolled_back", backup="/b/to-3.db"),
    )
    assert database_copies.find_way_back(Journal(None, past), "2") == {"to-2.db"}
    assert database_copies.find_way_back(Journal(UNDER, past), "2") == {"to-2.db", "b.db"}
    assert database_copies.find_way_back(Journal(), None) == frozenset()


def test_old_copies_are_removed_unless_nobody_knows_the_way_back(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.data / "backups"
    folder.mkdir(parents=True)
    prefix = Prefix(tmp_path / "opt")
    release = prefix.release("2")
    (release / "bin").mkdir(parents=True)
    (release / "bin/appliance").touch()
    prefix.switch("2")
    needed = str(folder / copies(1)[0])
    releases.write_journal(prefix, Journal(None, (Past("2", "1", "", "active", backup=needed),)))
    for name in copies(*range(1, 7)):
        (folder / name).touch()
    monkeypatch.setenv("APPLIANCE_DATA", str(settings.data))
    words = ["prune", "--user", getpass.getuser(), "--prefix", str(prefix.path), "--json"]
    done = CliRunner().invoke(release_command, [*words, "--only-releases"], catch_exceptions=False)
    assert json.loads(done.stdout) == {"removed": [], "removed_copies": []}
    done = CliRunner().invoke(release_command, words, catch_exceptions=False)
    assert json.loads(done.stdout) == {"removed": [], "removed_copies": copies(2, 3)}
    # A journal that can't be read: who knows which of them is the way back.
    (folder / copies(7)[0]).touch()
    prefix.journal.write_text("half of")
    assert database_copies.forget_old(settings, prefix) == []
    prefix.journal.unlink()
    gone = database_copies.forget_old(settings, prefix)
    assert [path.name for path in gone] == copies(1, 4)
    assert sorted(path.name for path in folder.iterdir()) == copies(5, 6, 7)
