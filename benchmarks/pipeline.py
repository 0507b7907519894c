"""How long each phase takes, and what the ledger adds to bare ffmpeg with the same arguments.

``.venv/bin/python -m benchmarks.pipeline [--seconds 20] [--rounds 3] [--sandbox limits]``
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.models import Job, Rendition, Video
from appliance.states import VideoState
from benchmarks.box import box, bring_in, cpu_s, read, wait_for
from storage.layout import Layout
from tasks import restarts
from tasks.ffmpeg import find_ffmpeg, thread_count
from tasks.probe.facts import Probe
from tasks.profiles import SOCIAL
from tasks.transcode.command import INPUT, ffmpeg_command
from tasks.transcode.plan import plan
from tasks.transcode.run import most_bytes

if TYPE_CHECKING:
    from appliance.settings import Settings

MUST, STRETCH = 1.05, 1.02


@dataclass(frozen=True)
class Cost:
    """``cpu_s`` says more on a machine that others use, too."""

    wall_s: float
    cpu_s: float


def make_clips(folder: Path, ffmpeg: str, seconds: float) -> dict[str, Path]:
    """1080p with grain, as a camera sees: one needs an encode, one only its index in front."""
    picture = f"testsrc2=s=1920x1080:r=30:d={seconds},noise=alls=12:allf=t"
    sound = f"sine=f=440:r=48000:d={seconds}"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", f"{seconds:g}"]
    encode = folder / "encode.mkv"
    repack = folder / "repack.mp4"
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "12M", "-maxrate", "15M")
    h264 = (*h264, "-bufsize", "15M", "-pix_fmt", "yuv420p")
    for options, target in (
        ([*h264, "-vf", "format=yuv420p,setsar=64/63", "-c:a", "libopus"], encode),
        ([*h264, "-c:a", "aac", "-ac", "2"], repack),
    ):
        command = [ffmpeg, "-v", "error", "-y", *inputs, *options, str(target)]
        subprocess.run(command, check=True)
    return {"encode": encode, "repack": repack}


def through_the_box(settings: Settings, clip: Path, number: int) -> tuple[Video, dict[str, float]]:
    """Seconds of each phase of one video, from its last byte to ready."""
    with clip.open("ab") as file:
        file.write(bytes([0, 0, 0, 9]) + b"free" + bytes([number]))  # no twin of the last round
    video = bring_in(settings, clip)
    wait_for(lambda: read(lambda: Video.get_by_id(video.id).state) is VideoState.READY)
    wait_for(lambda: read(lambda: Job.select().where(Job.finished_at.is_null()).count()) == 0)
    video, done = read(
        lambda: (Video.get_by_id(video.id), list(Job.select().where(Job.video == video)))
    )
    phases = {job.kind: took_s(job) for job in done}
    phases["last byte to ready"] = (video.ready_at - video.received_at).total_seconds()
    return video, phases


def took_s(job: Job) -> float:
    return float((job.finished_at - job.started_at).total_seconds())


def again(settings: Settings, pids: dict[str, int], video: Video) -> Cost:
    """The rendition once more, with nothing beside it: what that job costs."""
    before_s = sum(map(cpu_s, pids.values()))
    read(lambda: restarts.retry_video(video, None))
    wait_for(lambda: read(lambda: Job.select().where(Job.finished_at.is_null()).count()) == 0)
    job = read(lambda: Job.select().where(Job.video == video).order_by(Job.id.desc()).first())
    return Cost(took_s(job), sum(map(cpu_s, pids.values())) - before_s)


def bare(settings: Settings, video: Video) -> Cost:
    """The same arguments, the same niceness, nothing around it."""
    probe = Probe.from_dict(video.facts)
    chosen = plan(probe, SOCIAL)
    ffmpeg = find_ffmpeg(settings)
    arguments = ffmpeg_command(
        chosen,
        SOCIAL.targets,
        ffmpeg=str(ffmpeg),
        threads=thread_count(),
        max_pixels=settings.max_pixels,
        max_duration_s=probe.duration_s + 5,
        max_bytes=most_bytes(probe, chosen, SOCIAL.targets),
    )
    with tempfile.TemporaryDirectory(dir=settings.data) as folder:
        Path(folder, INPUT).symlink_to(Layout(settings.data).original(video.public_id))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began_s = time.monotonic()
        subprocess.run(
            ["nice", "-n", "10", *arguments],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wall_s = time.monotonic() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall_s, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    # With bubblewrap the kernel doesn't add the encoder's processor time to the worker's.
    parser.add_argument("--sandbox", choices=["auto", "limits"], default="auto")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{thread_count()} processors, load {load:.1f} before the start")
    with box("media", "quick", "delivery", sandbox=asked.sandbox) as (settings, pids):
        ffmpeg = str(find_ffmpeg(settings))
        clips = make_clips(settings.data, ffmpeg, asked.seconds)
        for name, clip in clips.items():
            print(f"\n{name}: {asked.seconds:g} s of 1080p, {clip.stat().st_size / 1e6:.0f} MB")
            measure(settings, pids, name, clip, asked.rounds)


def measure(settings: Settings, pids: dict[str, int], name: str, clip: Path, rounds: int) -> None:
    jobs, alone, all_phases = [], [], []
    for number in range(rounds):
        video, phases = through_the_box(settings, clip, number)
        all_phases.append(phases)
        # In turn, so that whatever else the machine does falls on both.
        steps = [
            lambda video=video: alone.append(bare(settings, video)),
            lambda video=video: jobs.append(again(settings, pids, video)),
        ]
        for step in steps if number % 2 == 0 else reversed(steps):
            step()
        print(f"  round {number}: job {jobs[-1].wall_s:.2f} s, bare {alone[-1].wall_s:.2f} s")
    print(f"  method: {read(lambda: Rendition.get(Rendition.video == video).method)}")
    for phase in all_phases[0]:
        values = [phases[phase] for phases in all_phases]
        spread = f"(of {min(values):.2f} to {max(values):.2f})"
        print(f"  {phase:<20} {statistics.median(values):7.2f} s   {spread}")
    pairs = list(zip(jobs, alone, strict=True))
    for what, ratios in (
        ("job / bare, wall", [job.wall_s / one.wall_s for job, one in pairs]),
        ("job / bare, cpu", [job.cpu_s / one.cpu_s for job, one in pairs]),
    )[: 2 if settings.sandbox == "limits" else 1]:
        ratio = statistics.median(ratios)
        verdict = "stretch" if ratio <= STRETCH else "must" if ratio <= MUST else "missed"
        goal = f"(goal {MUST} / {STRETCH}: {verdict})" if name == "encode" else ""
        print(f"  {what:<20} {ratio:7.3f}     {goal}")


if __name__ == "__main__":
    main()
