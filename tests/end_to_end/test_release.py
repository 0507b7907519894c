"""Upgrades of an installed box, whole: real releases, real processes, requests all the while."""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database, open_database
from storage.layout import Layout
from tests import media
from tests.end_to_end.box import TUS, Box, sha256, wait_for
from tests.tasks.doing import at_work_in
from tests.tasks.test_full_disk import fill, needs_root
from tests.upgrading import NOTES, PROCESSES, Installed
from tests.web.serving import add_token, add_user
from tests.web.test_upload_crashes import small_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

pytestmark = pytest.mark.timeout(900)  # where others take the processors, too

SEED = 6
LONG = os.environ.get("APPLIANCE_TEST_LONG") == "1"
ONLY_LONG = pytest.mark.skipif(not LONG, reason="APPLIANCE_TEST_LONG=1 runs it")
OLD, NEW = "0.1.0-aaaaaaaa", "0.2.0-bbbbbbbb"
# Its web process ends at once where the public would see it, and is well where it is tried.
UNWELL_IN_PUBLIC = 'case "$*" in *--fd*) echo broken >&2; exit 3;; esac'
UNWELL_ON_TRIAL = 'case "$*" in *trial.sock*) echo broken >&2; exit 3;; esac'
SILENT_WORKER = 'case "$*" in "worker quick") exec sleep 600;; esac'
# Only where it counts: the rehearsal is well.
FAILS = """
def up(migrator, db):
    if "rehearsal" not in str(db.database):
        db.execute_sql("CREATE TABLE half (id INTEGER)")
        raise RuntimeError("the migration fails")
"""
FAILS_AT_ONCE = """
def up(migrator, db):
    db.execute_sql("SELECT absent FROM setting")
"""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed(tmp_path_factory.mktemp("box")) as box:
        yield box


@pytest.fixture
def box(standing: Installed) -> Installed:
    """A box that runs OLD; the same for all tests, brought back to that before each."""
    standing.renew()
    return standing


@contextmanager
def installed(folder: Path, data: Path | None = None) -> Iterator[Installed]:
    """A box with OLD, and something of its owner's in it; not running yet."""
    box = Installed(folder, data)
    try:
        box.add(OLD)
        box.install(OLD)
        with closing(sqlite3.connect(box.data / "appliance.db")) as db:
            db.execute("INSERT INTO setting (name, value, updated_at) VALUES ('kept', '1', '2026')")
            db.commit()
        open_database(box.data / "appliance.db")
        box.token = add_token(add_user())
        database.close()
        box.keep_as_installed()
        yield box
    finally:
        box.close()


class Requests:
    """Asks for the sign-in page, one after the other, as long as it is open."""

    def __init__(self, box: Installed) -> None:
        self.box = box
        self.answered = 0
        self.failed: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Requests:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._end.is_set():
            try:
                # A connection each: one that is kept open ends with its process, as for any proxy.
                # As patient as a browser: a worker alone may be waited for as long as --deadline.
                assert self.box.answers(timeout_s=300)
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as exc:
                self.failed.append(repr(exc))
            self._end.wait(0.05)  # a person's pace, not a measurement


def words(box: Installed) -> list[str]:
    """What the migration makes of the setting; OperationalError when it wasn't run."""
    with closing(sqlite3.connect(box.data / "appliance.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [text for (text,) in db.execute("SELECT text FROM note WHERE text = 'kept'")]


def is_as_before(box: Installed) -> bool:
    """OLD is in use with its own database, answers, and nothing is under way."""
    return is_untouched(box) and box.answers()


def is_untouched(box: Installed) -> bool:
    with closing(sqlite3.connect(box.data / "appliance.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = db.execute("SELECT value FROM setting WHERE name = 'kept'").fetchone()
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    assert kept == ("1",)
    assert not tables & {"note", "half"}
    assert box.active == OLD
    return box.journal["under"] is None


def has_paused_posting(box: Installed) -> bool:
    with closing(sqlite3.connect(box.data / "appliance.db")) as db:
        return bool(db.execute("SELECT 1 FROM setting WHERE name = 'posting'").fetchone())


@pytest.mark.slow
def test_what_would_not_work_is_refused_before_anything_stops(box: Installed) -> None:
    half = box.add("0.2.2-dddddddd", broken='echo "no such interpreter" >&2; exit 126')
    said = box.run(box.prefix / "releases" / OLD, "activate", str(half), code=1)
    assert "no such interpreter" in said
    rehearsed = box.add("0.2.1-cccccccc", migration=FAILS_AT_ONCE)
    said = box.run(rehearsed, "activate", str(rehearsed), code=1)
    assert "Rehearsal: no such column: absent" in said
    box.env["APPLIANCE_COLOUR"] = "green"
    said = box.run(rehearsed, "check", str(rehearsed), code=1, acting=False)
    assert "APPLIANCE_COLOUR is no setting" in said
    del box.env["APPLIANCE_COLOUR"]
    with of_the_future(box):
        said = box.run(rehearsed, "activate", str(rehearsed), code=1)
        assert "it was written by a newer version (it knows 0099_later)" in said
    assert is_as_before(box)
    assert box.keeper.asked == []


@contextmanager
def of_the_future(box: Installed) -> Iterator[None]:
    with closing(sqlite3.connect(box.data / "appliance.db", timeout=10)) as db:
        db.execute("INSERT INTO schema_migration (name, applied) VALUES ('0099_later', '2026')")
        db.commit()
        yield
        db.execute("DELETE FROM schema_migration WHERE name = '0099_later'")
        db.commit()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("migration", "broken", "reason"),
    [
        pytest.param(NOTES, UNWELL_ON_TRIAL, "it ended with 3", marks=ONLY_LONG),
        pytest.param(FAILS, "", "the migration fails", marks=ONLY_LONG),
        pytest.param(NOTES, SILENT_WORKER, "Nothing was heard of the quick", marks=ONLY_LONG),
        (NOTES, UNWELL_IN_PUBLIC, "it ended with 3"),
    ],
    ids=["trial", "migration", "worker", "public"],
)
def test_a_release_that_is_unwell_is_taken_back(
    box: Installed, migration: str, broken: str, reason: str
) -> None:
    new = box.add(NEW, migration=migration, broken=broken)
    with Requests(box) as requests:
        said = box.run(new, "activate", str(new), code=1)
        assert f"{NEW} was not taken. {OLD} is in use again" in said
        assert reason in said
        assert is_as_before(box)
    assert requests.failed == []
    last = box.journal["past"][-1]
    assert (last["to"], last["result"]) == (NEW, "rolled_back")
    # Once posts could go out, somebody has to look before more do.
    assert has_paused_posting(box) == (broken == UNWELL_IN_PUBLIC)


class Work:
    """What a person and the box are at while it is upgraded: half an upload, and an encode."""

    def __init__(self, box: Installed) -> None:
        self.box = box
        self.client = Box(box.data)  # its hands alone: it starts nothing
        self.client.url, self.client.token = box.url, box.token
        self.encoded = self.client.upload(media.slow(4))
        self.job = self._stop_the_encoder()
        self.body = media.h264_aac().read_bytes()
        self.middle = len(self.body) // 2
        with self.client.client() as http_client:
            self.location = self.client.create_upload(http_client, "half.mp4", len(self.body))
            assert self._send(http_client, 0, self.middle).status_code == 204

    def _send(self, http_client: httpx.Client, begin: int, end: int) -> httpx.Response:
        return http_client.patch(
            self.location,
            headers={
                **TUS,
                "Upload-Offset": str(begin),
                "Content-Type": "application/offset+octet-stream",
            },
            content=self.body[begin:end],
        )

    def _stop_the_encoder(self) -> str:
        """The id of the job that encodes; it runs until somebody ends it, however quick we are."""

        def look() -> str | None:
            for job_id, fence in self._rows(
                "SELECT public_id, fence FROM job WHERE kind = 'encode' AND state = 'running'"
            ):
                at_work = at_work_in(Layout(self.box.data).job_folder(job_id, fence))
                for pid in at_work:
                    os.kill(pid, signal.SIGSTOP)
                if at_work and self._rows(
                    f"SELECT 1 FROM job WHERE public_id = '{job_id}' AND state = 'running'"
                ):
                    return str(job_id)
            return None

        return str(wait_for("an encoder is at work", look))

    def goes_on(self) -> None:
        """From where it was: no byte twice, and the stop doesn't count against the encode."""
        with self.client.client() as http_client:
            answer = http_client.head(self.location, headers=TUS)
            assert answer.headers["Upload-Offset"] == str(self.middle)
            answer = self._send(http_client, self.middle, len(self.body))
            assert answer.status_code == 204, answer.text
            uploaded = answer.headers["Appliance-Video-Id"]
        for video_id in (uploaded, self.encoded):
            self.client.wait_video(video_id, "ready")
        with self.client.client() as http_client:
            original = http_client.get(f"/media/{uploaded}/original").content
        assert sha256(original) == sha256(self.body)
        (ended,) = self._rows(
            f"SELECT state, attempts, crashes, stalls FROM job WHERE public_id = '{self.job}'"
        )
        assert ended == ("completed", 0, 0, 0)
        (runs,) = self._rows(
            "SELECT count(*) FROM job_run JOIN job ON job.id = job_run.job_id "
            f"WHERE job.public_id = '{self.job}'"
        )
        assert runs == (2,)  # it was at work when it was stopped, and then again

    def _rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.box.data / "appliance.db", timeout=10)) as db:
            return db.execute(query).fetchall()


@pytest.mark.slow
def test_an_upgrade_and_the_way_back_fail_no_request(box: Installed) -> None:
    new = box.add(NEW, migration=NOTES)
    old = box.prefix / "releases" / OLD
    work = Work(box)
    with Requests(box) as requests:
        said = box.run(new, "activate", str(new))
        assert f"{NEW} is in use." in said
        assert (box.active, words(box)) == (NEW, ["kept"])
        work.goes_on()
        assert box.run(new, "activate", str(new)) == f"Nothing to do: {NEW} is in use.\n"
        # The way back: not without a word about what it costs.
        said = box.run(new, "rollback", code=1)
        assert "can't read today's database" in said
        assert "--restore-backup" in said
        assert (box.active, words(box)) == (NEW, ["kept"])
        # Cut short where the old database is there already, and another would be looked at.
        kill_in("migrating", box, new, "rollback", "--restore-backup")
        box.run(old, "rollback", "--restore-backup")
        assert is_as_before(box)
    assert requests.failed == []
    assert requests.answered > 10
    # What came after the upgrade is kept.
    asides = sorted((box.data / "backups").glob("*-replaced.db"))
    with closing(sqlite3.connect(asides[-1])) as db:
        assert db.execute("SELECT count(*) FROM note").fetchone() != (0,)


PHASES = ("stopping", "backing_up", "migrating", "trying", "switching", "opening", "checking")


def kill_in(phase: str, box: Installed, release: Path, *words: str) -> str | None:
    """Kill an activation somewhere in one of its phases; in which, None: it had ended."""
    process = box.begin(release, *(words or ("activate", str(release))))

    def has_come() -> bool:
        assert process.poll() is None, process.communicate()
        under = box.journal["under"]
        return under is not None and under["phase"] == phase

    # As long as all phases before it may take, where others take the processors, too.
    wait_for(f"the phase {phase}", has_come, seconds=300)
    time.sleep(random.Random(f"{SEED}-{phase}").uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    under = box.journal["under"]
    return None if under is None else str(under["phase"])


@ONLY_LONG
@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
def test_a_kill_in_any_phase_leaves_nothing_in_between(
    box: Installed, phase: str, power: bool
) -> None:
    """``power``: everything dies, and the machine settles it before anything else starts."""
    new = box.add(NEW, migration=NOTES)
    reached = kill_in(phase, box, new)
    if power:
        box.keeper.kill_all()
        said = box.run(new, "recover", "--at-boot")
        assert box.journal["under"] is None
        assert box.active == (NEW if reached in ("opening", "checking", None) else OLD), said
    box.run(new, "activate", str(new))
    assert (box.active, words(box), box.answers()) == (NEW, ["kept"], True)
    assert box.journal["under"] is None
    assert not list(box.data.glob("*.restoring"))


@ONLY_LONG
@pytest.mark.long
def test_taking_back_what_somebody_has_started_since_pauses_posting(box: Installed) -> None:
    new = box.add(NEW, migration=NOTES)
    assert kill_in("switching", box, new) == "switching"
    # The machine started all the same: with the release that was never opened.
    box.keeper.kill_all()
    (box.prefix / "current").unlink()
    (box.prefix / "current").symlink_to(f"releases/{NEW}")
    box.start()
    said = box.run(new, "recover")
    assert f"{OLD} is in use." in said
    assert is_as_before(box)
    assert has_paused_posting(box)


@ONLY_LONG
@pytest.mark.long
def test_ctrl_c_takes_it_back_and_pressing_it_again_changes_nothing(box: Installed) -> None:
    new = box.add(NEW, migration=NOTES)
    process = box.begin(new, "activate", str(new))

    def press_when(what: str, is_so: Callable[[Any], bool]) -> None:
        wait_for(what, lambda: is_so(box.journal["under"] or {}), seconds=300)
        os.killpg(process.pid, signal.SIGINT)

    press_when("it is tried", lambda under: under.get("phase") == "trying")
    press_when("it is taken back", lambda under: under.get("undoing"))
    _, said = process.communicate(timeout=200)
    assert process.returncode == 1, said
    assert "It is being taken back already" in said
    assert "The reason: It was interrupted." in said
    assert is_as_before(box)
    assert all(map(box.keeper.runs, PROCESSES))


@ONLY_LONG
@pytest.mark.long
def test_what_was_taken_back_and_does_not_start_can_be_started_later(box: Installed) -> None:
    new = box.add(NEW, migration=FAILS)
    program = box.prefix / "releases" / OLD / "bin/appliance"
    as_it_was = program.read_text()
    program.write_text(as_it_was.replace("\n", f"\n{UNWELL_IN_PUBLIC}\n", 1))
    try:
        said = box.run(new, "activate", str(new), code=1)
        assert "the migration fails" in said
        assert "It was taken back, but the box could not be started" in said
        assert is_untouched(box)
        assert not box.keeper.runs("web")
    finally:
        program.write_text(as_it_was)
    assert box.run(new, "recover") == "Nothing to do.\n"
    box.run(program.parent.parent, "activate", str(program.parent.parent))
    assert is_as_before(box)


@ONLY_LONG
@pytest.mark.long
@pytest.mark.needs_root
@needs_root
def test_a_disk_that_fills_up_in_a_migration_loses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    # It takes all room that is left, and some more.
    greedy = """
def up(migrator, db):
    db.execute_sql("CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, text BLOB NOT NULL)")
    if "rehearsal" not in str(db.database):
        for _ in range(400):
            db.execute_sql("INSERT INTO note (text) VALUES (zeroblob(1000000))")
"""
    with small_disk(data, "96m"), installed(tmp_path, data) as box:
        box.start()
        new = box.add(NEW, migration=greedy)
        said = box.run(new, "activate", str(new), code=1)
        assert "full" in said
        assert is_as_before(box)
        # And no room for a copy is said before anything stops.
        fill(data / "filler", leave=20_000_000)
        asked = len(box.keeper.asked)
        modest = box.add("0.2.1-cccccccc", migration=NOTES)
        said = box.run(modest, "activate", str(modest), code=1)
        # The box goes on writing, so some of what was left is taken.
        assert re.search(r"Space: [\d.]+ MB free, \d+\.\d MB needed", said), said
        assert box.keeper.asked[asked:] == []
