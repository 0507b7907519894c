"""Whatever breaks while videos are made ready: every job ends, and nothing half made is served.

At seeded moments one of these happens: a worker, the web process, an encoder or the whole box is
killed, the disk is full for a while, work in progress is deleted, the clock jumps by days.
``APPLIANCE_TEST_LONG=1`` does it a hundred times.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.states import JOB_ENDED
from storage.layout import Layout
from storage.media_types import RENDITION_FILES
from tests import media
from tests.end_to_end.box import Box, running_box, sha256, wait_for
from tests.tasks.doing import at_work_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOMENTS = 100 if os.environ.get("APPLIANCE_TEST_LONG") else 14
SEED = int(os.environ.get("APPLIANCE_TEST_SEED", "20261121"))
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
ROOT = os.geteuid() == 0
DISK_MB = 400


class Clock:
    """The wall clock of the box; the other clocks go on as they are."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.set(0)
        # libfaketime makes clock_nanosleep fail, by which Python sleeps; it leaves select alone.
        self.site = folder / "site"
        self.site.mkdir()
        (self.site / "sitecustomize.py").write_text(
            "import select, time\ntime.sleep = lambda s: select.select([], [], [], s) and None\n"
        )

    def set(self, offset_s: int) -> None:
        aside = self.file.with_suffix(".new")
        aside.write_text(f"{offset_s:+d}s\n")
        aside.replace(self.file)

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "PYTHONPATH": str(self.site),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


class Faults:
    """What can go wrong. Each is over when its function returns."""

    def __init__(self, box: Box, clock: Clock | None, dice: random.Random) -> None:
        self.box, self.clock, self.dice = box, clock, dice
        self.tmp = Layout(box.data).tmp
        kinds: list[Callable[[], object]] = [self.kill_process, self.kill_encoder]
        kinds += [self.kill_all, self.delete_work]
        kinds += [self.move_clock] if clock else []
        kinds += [self.fill_disk] if ROOT else []
        self.kinds = kinds

    def happen(self) -> None:
        self.dice.choice(self.kinds)()

    def kill_process(self) -> None:
        how = self.dice.choice((signal.SIGKILL, signal.SIGTERM))
        self.box.signal(self.dice.choice(("media", "quick", "web")), how)

    def kill_all(self) -> None:
        """The whole box at once, as by a cut of the power; then it comes back."""
        self.box.stop(signal.SIGKILL)
        self.box.start()

    def kill_encoder(self) -> None:
        if found := at_work_in(self.tmp):
            with suppress(ProcessLookupError):
                os.kill(self.dice.choice(found), signal.SIGKILL)

    def delete_work(self) -> None:
        found = sorted(self.tmp.rglob("*"))
        if found:
            victim = self.dice.choice(found)
            if victim.is_dir() and not victim.is_symlink():
                shutil.rmtree(victim, ignore_errors=True)
            else:
                victim.unlink(missing_ok=True)

    def move_clock(self) -> None:
        assert self.clock is not None
        self.clock.set(self.dice.randint(-2 * 86_400, 2 * 86_400))

    def fill_disk(self) -> None:
        ballast = self.box.data / "filler"
        free = shutil.disk_usage(self.box.data).free
        with suppress(OSError), ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - 4096))
        time.sleep(self.dice.uniform(0.2, 0.8))  # how long it lasts is what is tested
        ballast.unlink()


class Watcher(threading.Thread):
    """A visitor who fetches all that is there to be had; what they got, by file."""

    def __init__(self, box: Box, video_ids: list[str]) -> None:
        super().__init__(daemon=True)
        self.box, self.video_ids = box, video_ids
        self.over = threading.Event()
        self.got: dict[tuple[str, str], set[str]] = {}

    def run(self) -> None:
        while not self.over.is_set():
            with suppress(httpx.HTTPError), self.box.client() as client:
                for video_id in self.video_ids:
                    for profile, file in RENDITION_FILES.items():
                        self.look(client, video_id, profile, file.name)
            self.over.wait(0.1)

    def look(self, client: httpx.Client, video_id: str, profile: str, name: str) -> None:
        answer = client.get(f"/media/{video_id}/{name}")
        if answer.status_code == 200:
            self.got.setdefault((video_id, profile), set()).add(sha256(answer.content))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def clock_for(folder: Path) -> Clock | None:
    """None: the clock can't be moved here."""
    if LIBRARY.exists():
        return Clock(folder)
    assert not ROOT and not os.environ.get("CI"), "faketime is missing; ./dev test installs it"
    return None


@pytest.mark.timeout(1800 if MOMENTS > 50 else 300)
def test_every_job_ends_and_nothing_half_made_is_served(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    clock = clock_for(tmp_path)
    home = tmp_path / "box"
    with small_disk(home) if ROOT else nullcontext(home.mkdir()):
        with running_box(home, stall_s="20", log_level="warning") as box:
            if clock is not None:
                box.stop()
                box.env |= clock.environment()
                box.start()
            video_ids = [box.upload(file) for file in clips(tmp_path, MOMENTS)]
            watcher = Watcher(box, video_ids)
            watcher.start()
            faults = Faults(box, clock, dice)
            for _ in range(MOMENTS):
                time.sleep(dice.uniform(0.1, 0.7))  # the random moment is what is tested
                faults.happen()
            if clock is not None:
                clock.set(0)

            for video_id in video_ids:
                bring_to_ready(box, video_id)
            try:
                wait_for("every job has ended", lambda: not unfinished(box), seconds=150)
            except AssertionError as exc:
                raise AssertionError(f"these jobs did not end: {unfinished(box)}") from exc
            watcher.over.set()
            watcher.join(timeout=30)
            assert box.stop() == 0
        check(box, watcher)


def clips(folder: Path, moments: int) -> list[Path]:
    """Enough work for the time that it takes, each with a content of its own."""
    files = []
    for number in range(3 + moments // 12):
        clip = media.h264_aac() if number % 3 == 2 else media.webm_vp9(seconds=3)
        files.append(folder / f"{number}{clip.suffix}")
        shutil.copy(clip, files[-1])
        media.append_free_box(files[-1], number, size=1000)
    return files


def bring_to_ready(box: Box, video_id: str) -> None:
    """It became ready, or has failed with a sentence and becomes ready when somebody says Retry."""
    video = box.wait_video(video_id, "ready", "failed", seconds=150)
    while video["state"] == "failed":
        assert video["error"]
        with box.client() as client:
            answer = client.post(f"/api/v1/videos/{video_id}/retry")
        assert answer.status_code in (200, 202), answer.text
        try:
            video = box.wait_video(video_id, "ready", seconds=150)
        except AssertionError as exc:
            raise AssertionError(
                f"it is {box.get(f'/api/v1/videos/{video_id}')}; {jobs(box)}"
            ) from exc


def jobs(box: Box) -> list[Any]:
    return rows(box, "SELECT kind, state, run_after, stage, error, lease_until FROM job")


def unfinished(box: Box) -> list[Any]:
    live = "state IN ('queued', 'running') AND kind NOT IN ('retain', 'tidy')"  # they come again
    return rows(box, f"SELECT kind, state, run_after, stage, error FROM job WHERE {live}")


def rows(box: Box, sql: str) -> list[Any]:
    with closing(sqlite3.connect(box.data / "appliance.db", timeout=10)) as db:
        return db.execute(sql).fetchall()


def check(box: Box, watcher: Watcher) -> None:
    assert rows(box, "PRAGMA integrity_check") == [("ok",)]
    states = {state for (state,) in rows(box, "SELECT DISTINCT state FROM job")}
    assert states <= set(JOB_ENDED), states
    assert not rows(box, "SELECT * FROM job WHERE state = 'failed' AND ifnull(error, '') = ''")

    layout = Layout(box.data)
    known = rows(
        box,
        "SELECT video.public_id, profile, rendition.sha256 FROM rendition JOIN video"
        " ON video.id = rendition.video_id WHERE rendition.state = 'ready'",
    )
    for video_id, profile, digest in known:
        assert sha256(layout.rendition(video_id, profile).read_bytes()) == digest
        # Nothing is made twice here, so nobody may ever have got anything else.
        assert watcher.got.get((video_id, profile), {digest}) == {digest}
    assert {profile for _, profile, _ in known} >= {"social"}
    assert any(watcher.got.values()), "nobody got anything: nothing was shown"

    assert not list(layout.tmp.iterdir())
    assert not list(layout.uploads.iterdir())
    names = {file.name for file in RENDITION_FILES.values()} | {"original", "poster.webp"}
    for folder in layout.media.iterdir():
        assert {file.name for file in folder.iterdir()} <= names
