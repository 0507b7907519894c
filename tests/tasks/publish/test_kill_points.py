"""A worker dies before and after each call and each commit: never two posts, always an end."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.box import ROOT
from tests.tasks.publish.posting import Poster, posting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

SEED = 20261121
FAULTS = ["lose_publish", "break_after_publish", "break_before_publish", "lose_create", "throttle"]


@pytest.fixture
def box(settings: Settings) -> Iterator[Poster]:
    with posting(settings) as poster:
        yield poster


class Dying:
    """The program dying.py, talked to."""

    def __init__(self, box: Poster) -> None:
        video = box.video()
        settings = box.settings
        self.box = box
        self.number = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.publish.dying", str(settings.data),
             settings.listen, str(video.id), str(box.user.id)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *platforms: str, kill_at: int | None, fault: str | None = None) -> Any:
        assert self.process.stdin and self.process.stdout
        self.number += 1
        self.box.fault(**({fault: 1.0} if fault else {}))
        case = {"number": self.number, "kill_at": kill_at, "platforms": platforms}
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        assert self.process.wait(timeout=20) == 0
        self.process.stdout.close()


@pytest.fixture
def dying(box: Poster) -> Iterator[Dying]:
    dying = Dying(box)
    yield dying
    if dying.process.poll() is None:
        dying.end()


def check(box: Poster, answer: Any, case: str) -> None:
    assert answer["states"] == ["published"], (case, answer)
    assert answer["jobs"] == ["completed"], (case, answer)
    assert len(box.received(answer["title"])) == 1, (case, answer)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_practice_holds_one_post_wherever_the_worker_dies(box: Poster, dying: Dying) -> None:
    untouched = dying.run("practice", kill_at=None)
    check(box, untouched, "nobody dies")
    assert untouched["points"] > 15
    for kill_at in range(1, untouched["points"] + 1):
        answer = dying.run("practice", kill_at=kill_at)
        check(box, answer, f"killed at {kill_at}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_practice_holds_one_post_when_answers_are_lost_as_well(box: Poster, dying: Dying) -> None:
    seeded = random.Random(SEED)
    for fault in FAULTS:
        for kill_at in seeded.sample(range(1, 30), 2):
            answer = dying.run("practice", kill_at=kill_at, fault=fault)
            check(box, answer, f"{fault}, killed at {kill_at}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_folder_holds_one_copy_wherever_the_worker_dies(box: Poster, dying: Dying) -> None:
    folder = box.settings.data / "published"
    kill_at, answer = 1, {"points": None}
    while answer["points"] is None:  # until the post is out before that point
        answer = dying.run("folder", kill_at=kill_at)
        assert (answer["states"], answer["jobs"]) == (["published"], ["completed"]), kill_at
        assert len(list(folder.glob(f"{answer['title']}*.mp4"))) == 1, kill_at
        assert len(list(folder.glob(f"{answer['title']}*.json"))) == 1, kill_at
        kill_at += 1
    assert kill_at > 8
    assert not list(folder.glob(".*.part"))
