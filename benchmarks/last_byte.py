"""From the last byte of an upload to social-ready: in flight, and what needs no encode, against
an encode after the upload.

``python -m benchmarks.last_byte [--seconds 30] [--rate 4] [--rounds 3]``: the very same film, in
several containers, is sent by tus through the web process at a steady rate. An MP4 with its index
last, as phones write it, can't be read before its last byte: that is the encode after the upload,
and what all others are compared with. With its index first it is what a browser sends of such a
file (docs/decisions/0014). Everything else that the box makes of a video is made meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance import tokens, users
from appliance.access import Scope
from appliance.clock import now
from appliance.models import Job, Rendition, Role, Video
from appliance.states import RenditionState
from benchmarks.box import box, process, read, wait_for
from benchmarks.starvation import free_port
from tasks.ffmpeg import find_ffmpeg, thread_count

if TYPE_CHECKING:
    from pathlib import Path


PIECE = 1 << 20
AFTER = "phone file, as it is"
# What each is compared with ``AFTER`` for: must, stretch.
GOALS = {
    "in flight, index first": (0.5, 0.4),
    "in flight, fragmented": (0.5, 0.4),
    "in flight, matroska": (0.5, 0.4),
    "phone file, by a browser": (1.0, 0.45),
    "conforming": (0.05, 0.02),
    "conforming, index last": (0.05, 0.02),
}


def make_clips(folder: Path, ffmpeg: str, seconds: float) -> dict[str, Path]:
    """1080p with grain, 16 Mbit/s; turned, as phones note it, so that it has to be encoded."""
    picture = f"testsrc2=s=1920x1080:r=30:d={seconds},noise=alls=12:allf=t"
    sound = f"sine=f=440:r=48000:d={seconds}"
    rate = ("-b:v", "16M", "-minrate", "16M", "-maxrate", "16M", "-bufsize", "16M")
    film = folder / "film.mkv"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", f"{seconds:g}")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", *rate, "-pix_fmt", "yuv420p", "-bf", "0")
    run(ffmpeg, *inputs, *h264, "-c:a", "aac", "-ac", "2", str(film))

    def pack(name: str, *options: str, turned: bool = True) -> Path:
        target = folder / name
        odd = ("-aspect", "1920:1000") if turned else ()
        run(ffmpeg, "-i", str(film), "-map", "0", "-c", "copy", *odd, *options, str(target))
        return target

    first, fits = ("-movflags", "+faststart"), ("-use_editlist", "0")
    return {
        AFTER: pack("last.mp4"),
        "in flight, index first": pack("first.mp4", *first),
        "in flight, fragmented": pack("frag.mp4", "-movflags", "+frag_keyframe+empty_moov"),
        "in flight, matroska": pack("first.mkv"),
        "phone file, by a browser": pack("moved.mp4", *first),
        "conforming": pack("fits.mp4", *first, *fits, turned=False),
        "conforming, index last": pack("fits-last.mp4", *fits, turned=False),
    }


def run(ffmpeg: str, *arguments: str) -> None:
    subprocess.run([ffmpeg, "-v", "error", "-y", *arguments], check=True)


class Sender:
    def __init__(self, port: int, token: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.port = port
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, file: Path, tail: bytes, rate: float) -> tuple[str, datetime]:
        """The video's id, and when its last bytes were sent. ``rate``: bytes a second."""
        self.connection.close()  # the box has ended it meanwhile; the next request opens one
        content = file.read_bytes() + tail
        about = {"filename": file.name, "file_size": len(content), "content_type": "video/mp4"}
        told = self._ask("POST", "/api/v1/uploads", json.dumps(about).encode(), self.headers)
        upload = json.loads(told)
        path = urlsplit(upload["upload_url"]).path
        began_s, sent = time.monotonic(), 0
        while sent < len(content):
            piece = content[sent : sent + PIECE]
            headers = {
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": str(sent),
                "Content-Type": "application/offset+octet-stream",
            }
            # A piece is there when a line of that rate would have brought it.
            time.sleep(max(0.0, began_s + (sent + len(piece)) / rate - time.monotonic()))
            at = now()
            self._ask("PATCH", path, piece, headers)
            sent += len(piece)
        return str(upload["video_id"]), at

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        told = answer.read()
        if answer.status not in (200, 201, 204):
            raise SystemExit(f"{method} {path} answered {answer.status}: {told.decode()}")
        return told


def arrive(port: int) -> Sender | None:
    """None: the web process doesn't answer yet."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health/live")
        if connection.getresponse().status != 200:
            return None
    except OSError:
        return None

    def register() -> str:
        user = users.add_user("owner@example.org", role=Role.OWNER, name="Owner")
        return str(tokens.create(user, name="benchmark", scopes=list(Scope))[1])

    return Sender(port, read(register))


def measure(sender: Sender, file: Path, tail: bytes, rate: float) -> tuple[float, str]:
    """Seconds from the last byte to ready, and how it was made."""
    video_id, last_at = sender.send(file, tail, rate)

    def social() -> Rendition | None:
        found = Rendition.select().join(Video).where(
            Video.public_id == video_id,
            Rendition.profile == "social",
            Rendition.state == RenditionState.READY,
        )  # fmt: skip
        first: Rendition | None = found.first()
        return first

    made = wait_for(lambda: read(social))
    wait_for(lambda: read(lambda: Job.select().where(Job.finished_at.is_null()).count()) == 0)
    how = f"{made.method}, ahead" if made.facts.get("ahead") else str(made.method)
    return (made.ready_at - last_at).total_seconds(), how


def show(all_seconds: dict[str, list[float]], rounds: int) -> None:
    after = all_seconds[AFTER]
    print(f"\n{'':<28} seconds   of the encode after the upload")
    for name, seconds in all_seconds.items():
        line = f"{name:<28} {statistics.median(seconds):7.2f}"
        if name in GOALS:
            must, stretch = GOALS[name]
            ratios = [one / other for one, other in zip(seconds, after, strict=True)]
            ratio = statistics.median(ratios)
            verdict = "stretch" if ratio <= stretch else "must" if ratio <= must else "missed"
            spread = f"[{min(ratios):.3f}-{max(ratios):.3f}]" if rounds > 1 else ""
            line += f"   {ratio:.3f} {spread} (goal {must} / {stretch}: {verdict})"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=4.0, help="of the upload, MB/s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(GOALS), default=list(GOALS))
    asked = parser.parse_args()
    print(f"{thread_count()} processors, load {os.getloadavg()[0]:.1f} before the start")
    port = free_port()
    os.environ["APPLIANCE_LISTEN"] = f"127.0.0.1:{port}"
    os.environ["APPLIANCE_LOG_LEVEL"] = "error"
    with (
        box("media", "quick", "delivery") as (settings, _pids),
        process([sys.executable, "-m", "appliance.cli", "web"], settings),
    ):
        sender = wait_for(lambda: arrive(port), seconds=60)
        clips = make_clips(settings.data, str(find_ffmpeg(settings)), asked.seconds)
        size = clips[AFTER].stat().st_size / 1e6
        print(f"{asked.seconds:g} s of 1080p, {size:.0f} MB, at {asked.rate:g} MB/s")
        names = [AFTER, *asked.only]
        taken: dict[str, list[float]] = {name: [] for name in names}
        for number in range(asked.rounds):
            # In turn, so that whatever else the machine does falls on all.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                # No twin of the last round: a box of MP4, or an element of Matroska, that is empty.
                odd = clips[name].suffix == ".mkv"
                mark = bytes([number]) + name.encode()
                tail = (
                    b"\xec" + bytes([0x80 | len(mark)]) + mark
                    if odd
                    else (8 + len(mark)).to_bytes(4, "big") + b"free" + mark
                )
                seconds, how = measure(sender, clips[name], tail, asked.rate * 1e6)
                taken[name].append(seconds)
                print(f"  round {number}: {name:<28} {seconds:7.2f} s ({how})", flush=True)
        show(taken, asked.rounds)


if __name__ == "__main__":
    main()
