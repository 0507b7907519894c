"""Processes are killed at seeded random moments while uploads, encodes and posts go on.

Afterwards: every upload went on from its offset to the last byte, every job ended exactly once,
and the platform never holds a second post.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from tests import media
from tests.end_to_end.box import PROCESSES, TUS, Box, running_box, sha256, wait_for

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 30
SEED = 20261121
CHUNK = 48 * 1024


class Sender:
    """Uploads one file in small pieces, asking where to go on whenever anything goes wrong."""

    def __init__(self, box: Box, file: Path, name: str) -> None:
        self.box, self.body, self.name = box, file.read_bytes(), name
        self.acknowledged = 0
        self.video_id = ""
        # Creations whose answer was lost: each may have left an upload that nobody knows.
        self.unanswered = 0

    def send(self, still_killing: threading.Event) -> str:
        location = wait_for("an upload is made", self._create)
        while self.acknowledged < len(self.body):
            offset = wait_for("HEAD answers", lambda: self._offset(location))
            assert offset[0] >= self.acknowledged, "acknowledged bytes are gone"
            self._patch(location, offset[0])
            # Spread the bytes over the time of the killing.
            still_killing.wait(0.05)
        return str(wait_for("the video is known", lambda: self._finished(location)))

    def _create(self) -> str | None:
        try:
            with self.box.client() as client:
                return self.box.create_upload(client, self.name, len(self.body))
        except httpx.TransportError:
            self.unanswered += 1
            return None

    def _offset(self, location: str) -> tuple[int] | None:
        try:
            with self.box.client() as client:
                answer = client.head(location, headers=TUS)
        except httpx.TransportError:
            return None
        if answer.status_code in (423, 503):
            return None
        assert answer.status_code == 200, answer.status_code
        self.video_id = answer.headers.get("Appliance-Video-Id", self.video_id)
        return (int(answer.headers["Upload-Offset"]),)

    def _patch(self, location: str, offset: int) -> None:
        headers = {
            **TUS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        try:
            with self.box.client() as client:
                answer = client.patch(
                    location, headers=headers, content=self.body[offset : offset + CHUNK]
                )
        except httpx.TransportError:
            return
        if answer.status_code == 204:
            self.acknowledged = int(answer.headers["Upload-Offset"])
            self.video_id = answer.headers.get("Appliance-Video-Id", self.video_id)
        else:
            assert answer.status_code in (409, 423, 503), answer.text

    def _finished(self, location: str) -> str | None:
        # The whole is there, but its adoption may have been cut short: HEAD finishes it.
        self._offset(location)
        return self.video_id or None


def post_once(box: Box, video_id: str) -> str:
    """Press Post, again and again with the same key until there is an answer; the post's id."""

    def press() -> str | None:
        try:
            return str(box.post(video_id, key=f"post-{video_id}")["post_id"])
        except httpx.TransportError:
            return None

    return str(wait_for("the post is taken", press))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path, how: signal.Signals) -> None:
    seeded = random.Random(SEED + how)
    files = []
    for number in range(8):
        clip = media.webm_vp9(seconds=3) if number % 2 else media.h264_aac()
        files.append(tmp_path / f"{number}{clip.suffix}")
        shutil.copy(clip, files[-1])
        # Different content each, so that none is found as another one's twin.
        media.append_free_box(files[-1], number, size=600_000)

    with running_box(tmp_path) as box, ThreadPoolExecutor(8) as pool:
        killing_is_over = threading.Event()
        senders: list[Sender] = []

        def bring_in_and_post(file: Path) -> tuple[str, str]:
            sender = Sender(box, file, file.name)
            senders.append(sender)
            video_id = sender.send(killing_is_over)
            return video_id, post_once(box, video_id)

        under_way = [pool.submit(bring_in_and_post, file) for file in files]
        kills = 0
        while kills < ROUNDS:
            time.sleep(seeded.uniform(0.1, 1.2))  # the random moment is what is tested
            kills += box.signal(seeded.choice(PROCESSES), how)
        killing_is_over.set()
        done = [task.result(timeout=120) for task in under_way]

        for file, (video_id, post_id) in zip(files, done, strict=True):
            box.wait_video(video_id, "ready", seconds=150)
            post = box.wait_post(post_id, "completed", "failed", "partial", seconds=150)
            assert post["status"] == "completed", post
            with box.client() as client:
                original = client.get(f"/media/{video_id}/original").content
            assert sha256(original) == sha256(file.read_bytes())

        with box.client() as client:
            received = client.get("/practice/api/v1/media").json()["items"]
        wait_for("no job is left", lambda: not unfinished(box))
        assert box.stop() == 0

    published = [item for item in received if item["status_code"] == "PUBLISHED"]
    assert len(published) == len(files), published
    with closing(sqlite3.connect(box.data / "appliance.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        begun = db.execute("SELECT public_id FROM upload WHERE durable_offset > 0").fetchall()
        ended = db.execute(
            "SELECT key, count(*), min(state), max(state) FROM job"
            " WHERE kind != 'cleanup' GROUP BY key"
        ).fetchall()
    assert {(count, first, last) for _, count, first, last in ended} == {
        (1, "completed", "completed")
    }, ended
    assert not list((box.data / "tmp").iterdir())
    # Nothing but empty ones, of creations whose answer never came; they go when they expire.
    left = {file.name.partition(".")[0] for file in (box.data / "uploads").iterdir()}
    assert not left & {public_id for (public_id,) in begun}
    assert len(left) <= sum(sender.unanswered for sender in senders)


def unfinished(box: Box) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(box.data / "appliance.db", timeout=10)) as db:
        rows: list[tuple[str, str]] = db.execute(
            "SELECT kind, state FROM job WHERE state IN ('queued', 'running')"
        ).fetchall()
    return rows
