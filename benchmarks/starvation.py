"""Whether people wait for pages while films are encoded: ``python -m benchmarks.starvation``.

The library with fifty videos, and the HEAD by which an upload asks how far it is: each as long as
nothing else is done, and while two large films are encoded beside it on all cores. One client that
asks, pauses and asks again, as people do; the web process and the workers are those of a box.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from appliance import sessions, tokens, users
from appliance.access import Scope
from appliance.ids import new_id
from appliance.models import Job, Role, Source, Video
from appliance.states import JobState, VideoState
from benchmarks.box import box, bring_in, process, read, wait_for
from tasks import renditions
from tasks.ffmpeg import find_ffmpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings

GOAL_MS = 100.0
VIDEOS = 50
_PAUSE_S = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300, help="of each kind, idle and busy")
    parser.add_argument("--encodes", type=int, default=2)
    options = parser.parse_args()
    port = free_port()
    # More than there are, so that all of them run at a time whatever the machine has.
    os.environ["APPLIANCE_ENCODE_CORES"] = str(4 * options.encodes)
    os.environ["APPLIANCE_ENCODE_MEMORY"] = "64 GiB"
    os.environ["APPLIANCE_AUTO_RENDITIONS"] = "no"
    os.environ["APPLIANCE_LOG_LEVEL"] = "error"
    os.environ["APPLIANCE_LISTEN"] = f"127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        box("media", "quick") as (settings, _pids),
        process([sys.executable, "-m", "appliance.cli", "web"], settings),
    ):
        visitor = wait_for(lambda: arrive(port, settings), seconds=60)
        asks = {"the library": visitor.library, "HEAD of an upload": visitor.head}
        idle = {name: measure(ask, options.requests) for name, ask in asks.items()}
        running = begin_encodes(settings, Path(folder), options.encodes)
        visitor.connection.close()  # the box has ended it meanwhile; the next request opens one
        busy = {name: measure(ask, options.requests) for name, ask in asks.items()}
        if read(lambda: at_work(running)) != options.encodes:
            raise SystemExit("An encode ended too early; ask fewer times with --requests.")
        report(idle, busy, options.encodes)


class Visitor:
    """One person with a session, and an upload of theirs that is under way."""

    def __init__(self, port: int, cookie: str, token: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookie = {"Cookie": f"session={cookie}", "Accept": "text/html"}
        body = b'{"filename": "a.mp4", "file_size": 1000000, "content_type": "video/mp4"}'
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.connection.request("POST", "/api/v1/uploads", body, headers)
        answer = self.connection.getresponse()
        told = answer.read()
        if answer.status != 201:
            raise SystemExit(f"No upload could be begun: {told.decode()}")
        self.upload = urlsplit(json.loads(told)["upload_url"]).path

    def library(self) -> float:
        return self._ask("GET", "/", self.cookie)

    def head(self) -> float:
        return self._ask("HEAD", self.upload, {"Tus-Resumable": "1.0.0"})

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> float:
        began_s = time.perf_counter()
        self.connection.request(method, path, headers=headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status not in (200, 204):
            raise SystemExit(f"{method} {path} answered {answer.status}; nothing was measured.")
        return (time.perf_counter() - began_s) * 1000


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def arrive(port: int, settings: Settings) -> Visitor | None:
    """None: the web process doesn't answer yet."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health/live")
        connection.getresponse().read()
    except OSError:
        return None

    def rows() -> tuple[str, str]:
        user = users.add_user("owner@example.org", role=Role.OWNER, name="Owner")
        for number in range(VIDEOS):
            facts: dict[str, Any] = {"state": VideoState.READY, "owner": user}
            Video.create(
                title=f"Film {number}", filename=f"{new_id()}.mp4", source=Source.CLI, **facts
            )
        session = sessions.start(user, address="127.0.0.1", agent="b", settings=settings)
        return session, tokens.create(user, name="benchmark", scopes=list(Scope))[1]

    return Visitor(port, *read(rows))


def measure(ask: Callable[[], float], count: int) -> list[float]:
    for _ in range(5):
        ask()
    times = []
    for _ in range(count):
        times.append(ask())
        time.sleep(_PAUSE_S)
    return times


def begin_encodes(settings: Settings, folder: Path, count: int) -> list[int]:
    """Jobs that encode Full HD, each for minutes, at work."""
    once, long = folder / "once.avi", folder / "long.avi"
    make = [str(find_ffmpeg(settings)), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
    source = "testsrc2=s=1920x1080:r=30:d=2,noise=alls=20:allf=t"
    options = ("-c:v", "mpeg4", "-q:v", "8")
    subprocess.run([*make, "-f", "lavfi", "-i", source, *options, str(once)], check=True)
    loop = ("-stream_loop", "100", "-i", str(once), "-c", "copy")
    subprocess.run([*make, *loop, str(long)], check=True)
    found = [begin_encode(settings, long) for _ in range(count)]
    wait_for(lambda: read(lambda: at_work(found)) == count)
    return found


def begin_encode(settings: Settings, film: Path) -> int:
    video = bring_in(settings, film)
    wait_for(lambda: read(lambda: Video.get_by_id(video.id).facts is not None))
    read(lambda: renditions.want_rendition(Video.get_by_id(video.id)))
    return int(read(lambda: Job.get(Job.video == video, Job.kind == "encode").id))


def at_work(ids: list[int]) -> int:
    rows = Job.select().where(Job.id.in_(ids), Job.state == JobState.RUNNING, Job.progress > 0)
    return int(rows.count())


def report(idle: dict[str, list[float]], busy: dict[str, list[float]], encodes: int) -> None:
    print(f"{'':20} {'idle p50':>9} {'p95':>7} {'busy p50':>9} {'p95':>7}  p95 busy / idle")
    for name in idle:
        rest, work = p95(idle[name]), p95(busy[name])
        halves = statistics.median(idle[name]), statistics.median(busy[name])
        verdict = "must" if work < GOAL_MS else "missed"
        print(
            f"{name:20} {halves[0]:7.1f}ms {rest:5.1f}ms {halves[1]:7.1f}ms {work:5.1f}ms  "
            f"{work / rest:.2f}, under {GOAL_MS:.0f} ms: {verdict}"
        )
    print(f"busy: {encodes} encodes in Full HD; load {os.getloadavg()[0]:.1f}")


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


if __name__ == "__main__":
    main()
