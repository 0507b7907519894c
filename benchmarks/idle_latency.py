"""From a job's row to its start after a long silence: ours against Huey's defaults, side by side.

``.venv/bin/python -m benchmarks.idle_latency [--idle 75] [--probes 4]``
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from huey import SqliteHuey

from appliance.models import Job
from benchmarks.box import box, bring_in, process, read, wait_for
from tests import media

if TYPE_CHECKING:
    from appliance.settings import Settings

MUST, STRETCH = 1 / 10, 1 / 25


def default_huey(folder: Path) -> SqliteHuey:
    """As its documentation sets it up; the task writes down when it was started."""
    huey = SqliteHuey("default", filename=str(folder / "default.db"))

    @huey.task(name="start")  # type: ignore[untyped-decorator]  # huey has no types
    def start(number: int) -> None:
        (folder / f"started-{number}").write_text(repr(time.time()))

    huey.start = start
    return huey


def ours(settings: Settings, number: int) -> float:
    """Seconds from the commit of the row to the claim."""
    clip = media.index_last()
    video = bring_in(settings, clip)
    job = wait_for(
        lambda: read(
            lambda: Job.get_or_none(
                Job.video == video, Job.kind == "probe", Job.started_at.is_null(False)
            )
        )
    )
    return float((job.started_at - job.created_at).total_seconds())


def theirs(huey: SqliteHuey, folder: Path, number: int) -> float:
    began = time.time()
    huey.start(number)
    path = folder / f"started-{number}"
    text = wait_for(lambda: path.exists() and path.read_text())
    return float(text) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=float, default=75.0)
    parser.add_argument("--probes", type=int, default=4)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start")
    with box("quick") as (settings, _):
        consumer = [sys.executable, "-m", "benchmarks.idle_latency", "--consume"]
        with process([*consumer, str(settings.data)], settings):
            huey = default_huey(settings.data)
            mine: list[float] = []
            default: list[float] = []
            for number in range(asked.probes):
                time.sleep(asked.idle + number)  # not in step with anybody's polling
                default.append(theirs(huey, settings.data, number))
                # Only now: a worker that polls has not seen the other's job.
                mine.append(ours(settings, number))
                print(f"  ours {mine[-1] * 1000:7.0f} ms   default {default[-1] * 1000:7.0f} ms")
    report("median", statistics.median(mine), statistics.median(default))
    report("longest", max(mine), max(default))


def report(what: str, mine_s: float, default_s: float) -> None:
    ratio = mine_s / default_s
    verdict = "stretch" if ratio <= STRETCH else "must" if ratio <= MUST else "missed"
    times = f"{mine_s * 1000:.0f} / {default_s * 1000:.0f} ms"
    print(f"{what}: {times} = 1/{1 / ratio:.0f} ({verdict})")


def consume(folder: Path) -> None:
    default_huey(folder).create_consumer(workers=2).run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--consume"]:
        consume(Path(sys.argv[2]))
    else:
        main()
