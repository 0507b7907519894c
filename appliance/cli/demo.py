"""`appliance demo`: a short film of our own, all the way to the practice platform."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.frame import print_json, print_table
from appliance.cli.posts import choose, print_results, send, wait_for_post
from appliance.cli.remote import remote
from appliance.cli.waiting import wait_for_video
from appliance.errors import ApplianceError
from appliance.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.remote import Box

TITLE = "Media Appliance demo"


@click.command()
@click.option("--seconds", default=6, show_default=True, type=click.IntRange(1, 60))
@remote
def demo(seconds: int, box: Box, as_json: bool) -> int:
    """Make a short film, upload it, wait for it, post it to Practice; print how long each took."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="appliance-demo-") as folder:
        film = Path(folder, "demo.webm")
        with clock.lap("Make the film"):
            make_film(film, seconds)
        from appliance.cli.sending import send_file

        with clock.lap("Upload it"):
            video_id = send_file(box, film, title=TITLE)
    with clock.lap("Wait until it is ready"):
        video = wait_for_video(box, video_id)
    if video["state"] == "failed":
        raise ApplianceError(f"The film could not be made ready: {video['error']}")
    accounts = box.get("/api/v1/accounts")["items"]
    with clock.lap("Post it to Practice"):
        created = send(box, {"video_id": video_id, "accounts": choose(accounts, ["practice"])})
        post = wait_for_post(box, created["post_id"])
    phases = [*clock.laps, *_jobs(box, video_id)]
    if as_json:
        print_json({"video": video, "post": post, "phases": phases})
    else:
        _print(box, video, phases)
        print_results(post, accounts)
    return 0 if post["status"] == "completed" else 1


class _Clock:
    """Says on stderr what is begun, since some of it takes a while, and notes how long it took."""

    def __init__(self) -> None:
        self.laps: list[dict[str, Any]] = []

    @contextmanager
    def lap(self, phase: str) -> Iterator[None]:
        click.echo(f"{phase} …", err=True)
        started_s = time.monotonic()
        yield
        self.laps.append({"phase": phase, "took_s": round(time.monotonic() - started_s, 2)})


def make_film(path: Path, seconds: int) -> None:
    """Slowly moving colours with a tone, as WebM, so that there is something to encode.

    Raises ApplianceError with the end of ffmpeg's words.
    """
    from tasks.ffmpeg import find_ffmpeg

    ffmpeg = str(find_ffmpeg(load_settings()))
    done = subprocess.run(
        [
            *(ffmpeg, "-nostdin", "-v", "error", "-y"),
            *("-f", "lavfi", "-i", f"gradients=s=1280x720:r=30:d={seconds}:speed=0.02:n=4:seed=7"),
            *("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"),
            *("-pix_fmt", "yuv420p", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
            *("-b:v", "2M"),
            *("-c:a", "libopus", "-shortest", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise ApplianceError(f"ffmpeg could not make the film: {done.stderr.strip()[-500:]}")


def _jobs(box: Box, video_id: str) -> list[dict[str, Any]]:
    """How long the box itself worked on each job, oldest first."""
    found = box.get("/api/v1/jobs", video_id=video_id)["items"]
    ended = [job for job in found if job["started_at"] and job["finished_at"]]
    return [
        {"phase": f"job {job['kind']}", "took_s": round(_seconds(job), 2)}
        for job in sorted(ended, key=lambda job: str(job["started_at"]))
    ]


def _seconds(job: Any) -> float:
    start, end = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (end - start).total_seconds()


def _print(box: Box, video: Any, phases: list[dict[str, Any]]) -> None:
    print_table(
        ("Phase", "Seconds"),
        [(phase["phase"], f"{phase['took_s']:.2f}") for phase in phases],
        none="",
    )
    click.echo(f"\nThe video: {box.url}/videos/{video['video_id']}")
