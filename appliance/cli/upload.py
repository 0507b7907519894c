"""`appliance upload`: bring files in, and wait until they are ready if asked."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli.remote import Unreachable, remote
from appliance.errors import ApplianceError
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import Progress

    from appliance.cli.remote import Box

FIRST_LOOK_S, LONGEST_LOOK_S = 0.3, 3.0
MISSED_LOOKS = 10


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Until each video is ready, or has failed.")
@click.option("--title", help="For one file. Default: made from its name.")
@remote
def upload(files: Sequence[Path], wait: bool, title: str | None, box: Box, as_json: bool) -> int:
    """Upload FILES; interrupted, the same command goes on where it stopped.

    With --json it prints one line for each file, with its video_id.
    """
    if title and len(files) > 1:
        raise click.UsageError("--title is for one file.")
    failed = False
    for path in files:
        try:
            video = _bring_in(box, path, title=title, wait=wait)
        except (ApplianceError, OSError) as exc:
            if len(files) == 1:
                raise
            failed = True
            click.echo(f"appliance: {path}: {exc}", err=True)
            continue
        failed |= video["state"] == "failed"
        if as_json:
            click.echo(json.dumps(video, ensure_ascii=False))
        else:
            click.echo(f"{video['video_id']}  {clean_line(video['title'])}: {_words(video)}")
    return 1 if failed else 0


def _bring_in(box: Box, path: Path, *, title: str | None, wait: bool) -> Any:
    from appliance.cli.sending import send_file  # brings requests and aiohttp in

    with transfer_bar() as bar:
        size = path.stat().st_size if path.is_file() else 0
        task = bar.add_task(clean_line(path.name), total=size)
        video_id = send_file(
            box, path, title=title, on_offset=lambda sent: bar.update(task, completed=sent)
        )
    if wait:
        return wait_for_video(box, video_id)
    return box.get(f"/api/v1/videos/{video_id}")


def wait_for_video(box: Box, video_id: str) -> Any:
    """The video when it is ready or has failed; shows how far it is on a terminal."""
    with work_bar() as bar:
        task = bar.add_task("Processing", total=1.0)

        def look() -> bool:
            status = box.get(f"/api/v1/videos/{video_id}/status")
            words = ", ".join(job["label"] for job in status["jobs"]) or "Processing"
            bar.update(task, completed=status["social_ready_progress"], description=words)
            return status["state"] in ("ready", "failed")

        until(look)
    return box.get(f"/api/v1/videos/{video_id}")


def until(look: Callable[[], bool]) -> None:
    """Look again and again, ever less often, until it says yes.

    A box that is being started again is waited for; one that stays away raises Unreachable.
    """
    pause_s, missed = FIRST_LOOK_S, 0
    while True:
        try:
            if look():
                return
            missed = 0
        except Unreachable:
            missed += 1
            if missed > MISSED_LOOKS:
                raise
        time.sleep(pause_s)
        pause_s = min(LONGEST_LOOK_S, pause_s * 1.2)


def transfer_bar() -> Progress:
    """Bytes of a transfer, on stderr; nothing where that is no terminal."""
    from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    return _progress(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def work_bar() -> Progress:
    from rich.progress import TaskProgressColumn

    return _progress(TaskProgressColumn())


def _progress(*columns: Any) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    # Without markup: a file may be called "[red].mp4".
    name = TextColumn("{task.description}", markup=False)
    return Progress(
        name,
        BarColumn(),
        *columns,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _words(video: Any) -> str:
    if video["state"] == "failed":
        return f"failed. {video['error'] or ''}".rstrip()
    return str(video["state"])
