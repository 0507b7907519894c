"""Waiting for what the box does, and the bars that show how far it is."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from appliance.cli.remote import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from appliance.cli.remote import Box

FIRST_LOOK_S, LONGEST_LOOK_S = 0.3, 3.0
MISSED_LOOKS = 10


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


def wait_for_job(box: Box, job_id: str, words: str, *, within_s: float | None = None) -> Any:
    """The job when it has ended, or as it is after ``within_s``; shows how far it is."""
    job: Any = {}
    with work_bar() as bar:
        task = bar.add_task(words, total=1.0)

        def look() -> bool:
            nonlocal job
            job = box.get(f"/api/v1/jobs/{job_id}")
            bar.update(task, completed=job["progress"])
            return job["finished_at"] is not None

        until(look, within_s=within_s)
    return job


def until(look: Callable[[], bool], *, within_s: float | None = None) -> bool:
    """Look again and again, ever less often, until it says yes; False when ``within_s`` is over.

    A box that is being started again is waited for; one that stays away raises Unreachable.
    """
    pause_s, missed = FIRST_LOOK_S, 0
    deadline_s = math.inf if within_s is None else time.monotonic() + within_s
    while True:
        try:
            if look():
                return True
            missed = 0
        except Unreachable:
            missed += 1
            if missed > MISSED_LOOKS:
                raise
        if time.monotonic() > deadline_s:
            return False
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
