"""How long each phase takes, and what the ledger adds to bare ffmpeg with the same arguments.

``.venv/bin/python -m benchmarks.pipeline [--seconds 20] [--rounds 3]``
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.models import Job, Rendition, Video
from appliance.states import VideoState
from benchmarks.box import box, bring_in, read, wait_for
from storage.layout import Layout
from tasks import pipeline
from tasks.ffmpeg import find_ffmpeg, thread_count
from tasks.probe.facts import Probe
from tasks.profiles import SOCIAL
from tasks.transcode.command import INPUT, ffmpeg_command
from tasks.transcode.plan import plan
from tasks.transcode.run import most_bytes

if TYPE_CHECKING:
    from appliance.settings import Settings

MUST, STRETCH = 1.05, 1.02


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


def again(settings: Settings, video: Video) -> float:
    """The rendition once more, with nothing beside it: seconds of that job."""
    read(lambda: pipeline.retry_video(video, None))
    wait_for(lambda: read(lambda: Job.select().where(Job.finished_at.is_null()).count()) == 0)
    job = read(lambda: Job.select().where(Job.video == video).order_by(Job.id.desc()).first())
    return took_s(job)


def bare(settings: Settings, video: Video) -> float:
    """The same arguments, the same niceness, nothing around it: seconds."""
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
        began_s = time.monotonic()
        subprocess.run(
            ["nice", "-n", "10", *arguments],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.monotonic() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{thread_count()} processors, load {load:.1f} before the start")
    with box("media", "quick", "delivery") as settings:
        ffmpeg = str(find_ffmpeg(settings))
        clips = make_clips(settings.data, ffmpeg, asked.seconds)
        for name, clip in clips.items():
            measure(settings, name, clip, asked.rounds, asked.seconds)


def measure(settings: Settings, name: str, clip: Path, rounds: int, seconds: float) -> None:
    ratios, all_phases, alone_s = [], [], []
    for number in range(rounds):
        video, phases = through_the_box(settings, clip, number)
        all_phases.append(phases)
        # In turn, so that whatever else the machine does falls on both.
        first = number % 2 == 0
        before_s = bare(settings, video) if first else 0.0
        job_s = again(settings, video)
        alone_s.append(before_s if first else bare(settings, video))
        ratios.append(job_s / alone_s[-1])
        print(f"  {name} {number}: job {job_s:.2f} s, bare {alone_s[-1]:.2f} s")
    method = read(lambda: Rendition.get(Rendition.video == video).method)
    print(f"\n{name}: {seconds:g} s of 1080p, {clip.stat().st_size / 1e6:.0f} MB, {method}")
    for phase in all_phases[0]:
        values = [phases[phase] for phases in all_phases]
        print(f"  {phase:<20} {statistics.median(values):7.2f} s   (of {min(values):.2f} to "
              f"{max(values):.2f})")  # fmt: skip
    print(f"  {'bare ffmpeg':<20} {statistics.median(alone_s):7.2f} s")
    ratio = statistics.median(ratios)
    verdict = "stretch" if ratio <= STRETCH else "must" if ratio <= MUST else "missed"
    goal = f"(goal {MUST} / {STRETCH}: {verdict})" if name == "encode" else ""
    print(f"  {'job alone / bare':<20} {ratio:7.3f}     {goal}")


if __name__ == "__main__":
    main()
