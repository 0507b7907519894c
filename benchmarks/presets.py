"""What each preset of x264 costs and gives, and which one is the best trade here.

``.venv/bin/python -m benchmarks.presets [--seconds 4] [--presets …] [--crf 19 21 23]``
Four clips at 1080p30 that are made on the spot: a page that is scrolled, a face-like picture with
the grain of a camera, fine detail that moves everywhere, graphics. Each is encoded with the very
options of the social profile but for what is varied. Quality: VMAF where an ffmpeg here has it (the
one in the package does), and XPSNR; else SSIM. Processor time says more than wall time on a
machine that others use, too.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import imageio_ffmpeg
from PIL import Image, ImageDraw, ImageFont

from tasks.ffmpeg import thread_count
from tasks.profiles import SOCIAL, Targets
from tasks.transcode.encoders import SOFTWARE
from tasks.transcode.plan import Picture

SIZE, FPS = "1920x1080", 30
PRESETS = ("superfast", "veryfast", "faster", "fast", "medium")
# What is varied beside preset and CRF: added behind the options of the profile, so they win.
VARIANTS = {
    "as it is": (),
    "1 thread": ("-threads", "1"),
    "4 threads": ("-threads", "4"),
    "2 B-frames": ("-bf", "2"),
    "3 references": ("-refs", "3"),
    "free key frames": ("-sc_threshold", "40"),
}
# A difference of 6 is one that most people see. Source: Netflix, "VMAF: The Journey Continues".
WORST_LOSS = 1.0
MOST_GROWTH = 1.02
SOURCES = {
    "face": (
        f"mandelbrot=s={SIZE}:rate={FPS}:start_scale=0.05:end_scale=0.04:end_pts=600,"
        "gblur=sigma=2,noise=c0s=4:c0f=t"
    ),
    "detail": f"mandelbrot=s={SIZE}:rate={FPS}:start_scale=0.3:end_scale=0.01:end_pts=600",
    "graphics": f"testsrc2=s={SIZE}:r={FPS},noise=c0s=3:c0f=t",
}


@dataclass(frozen=True)
class Point:
    """Of all clips: bytes and seconds in sum, quality of the mean and of the worst."""

    name: str
    size_bytes: int
    cpu_s: float
    wall_s: float
    quality: float
    worst: float
    other: float


def make_clips(folder: Path, ffmpeg: str, seconds: float) -> dict[str, Path]:
    """Without loss, so that nothing but the encode under test takes quality away."""
    page = folder / "page.png"
    draw_page(page)
    # Scrolls by a line of text within a third of a second, then rests, as people read.
    scroll = "crop=1920:1080:0:'240*(floor(t)+min(1,3*mod(t,1)))'"
    inputs = {"page": ["-loop", "1", "-r", str(FPS), "-i", str(page), "-vf", scroll]}
    inputs |= {name: ["-f", "lavfi", "-i", source] for name, source in SOURCES.items()}
    clips = {}
    for name, source in inputs.items():
        clips[name] = folder / f"{name}.mp4"
        lossless = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p")
        run(ffmpeg, *source, "-t", f"{seconds:g}", *lossless, str(clips[name]))
    return clips


def draw_page(target: Path) -> None:
    """Text and pictures as on a web page, three screens high."""
    page = Image.new("RGB", (1920, 3400), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(22)
    words = "Upload once, post everywhere: what the team made on Friday is ready by Monday."
    for line in range(110):
        draw.text((120, 20 + line * 30), f"{line:3d}  {words} {words[: line % 60]}", "black", font)
    for number in range(9):
        box = (1250, 60 + number * 370, 1800, 330 + number * 370)
        draw.rectangle(box, fill=(40 + 20 * number, 200 - 15 * number, 120))
        draw.ellipse((box[0] + 150, box[1] + 30, box[2] - 150, box[3] - 30), fill="white")
    page.save(target)


def run(ffmpeg: str, *arguments: str) -> str:
    command = [ffmpeg, "-hide_banner", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stderr


def measure(
    name: str,
    targets: Targets,
    more: tuple[str, ...],
    clips: dict[str, Path],
    ffmpeg: str,
    judge: Judge,
) -> Point:
    picture = Picture(1920, 1080, str(FPS), "4.1", False, False, "bt709")
    options = [*SOFTWARE.options(picture, targets, thread_count()), *more]
    size_bytes, cpu_s, wall_s, seen = 0, 0.0, 0.0, []
    for clip in clips.values():
        made = clip.with_name("made.mp4")
        used, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        run(ffmpeg, "-i", str(clip), *options, "-an", str(made))
        wall_s += time.monotonic() - began_s
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s += after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        size_bytes += made.stat().st_size
        seen.append(judge.look(made, clip))
    quality, other = zip(*seen, strict=True)
    return Point(name, size_bytes, cpu_s, wall_s, fmean(quality), min(quality), fmean(other))


class Judge:
    """Compares two films with the best measure that an ffmpeg here has."""

    def __init__(self, ffmpegs: list[str]) -> None:
        able = {path: _ask(path, "-filters") for path in ffmpegs}
        self.ffmpeg = next((p for p in ffmpegs if " libvmaf " in able[p]), ffmpegs[0])
        self.vmaf = " libvmaf " in able[self.ffmpeg]
        self.name = "VMAF" if self.vmaf else "SSIM, dB"
        self.other = "XPSNR, dB" if " xpsnr " in able[self.ffmpeg] else "PSNR, dB"

    def look(self, made: Path, clip: Path) -> tuple[float, float]:
        """The named quality, and the other one beside it."""
        second = "xpsnr" if self.other.startswith("XPSNR") else "psnr"
        log = made.with_name("vmaf.json")
        if self.vmaf:
            threads = thread_count()
            first = f"libvmaf=log_fmt=json:log_path={log}:n_threads={threads}:n_subsample=2"
        else:
            first = "ssim"
        # Picture against picture, whatever the containers say of their times.
        count = f"settb=1/{FPS},setpts=N,split"
        graph = f"[0:v]{count}[a][b];[1:v]{count}[c][d];[a][c]{first}[x];[b][d]{second}[y]"
        sides = ("-i", str(made), "-i", str(clip), "-filter_complex", graph)
        words = run(self.ffmpeg, *sides, "-map", "[x]", "-map", "[y]", "-f", "null", "-")
        other = re.search(r"XPSNR +y: ([\d.]+)|PSNR y:([\d.]+)", words)
        assert other is not None, words
        second_db = float(other[1] or other[2])
        if self.vmaf:
            return json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"], second_db
        ssim = re.search(r"All:[\d.]+ \(([\d.]+)\)", words)
        assert ssim is not None, words
        return float(ssim[1]), second_db


def _ask(ffmpeg: str, what: str) -> str:
    return subprocess.run([ffmpeg, "-hide_banner", what], capture_output=True, text=True).stdout


def choose(points: list[Point], now: Point) -> Point:
    """The quickest that looks no worse (mean, and in the worst clip) and is no larger than now."""
    good = [
        each
        for each in (now, *points)
        if each.quality >= now.quality - WORST_LOSS / 2
        and each.worst >= now.worst - WORST_LOSS
        and each.size_bytes <= now.size_bytes * MOST_GROWTH
    ]
    return min(good, key=lambda each: each.cpu_s)


def show(point: Point, now: Point | None) -> None:
    base = now or point
    print(
        f"{point.name:<24} {point.size_bytes / 1e6:7.2f} {point.size_bytes / base.size_bytes:6.2f}"
        f" {point.cpu_s:8.1f} {point.cpu_s / base.cpu_s:6.2f} {point.wall_s:8.1f}"
        f" {point.quality:8.2f} {point.worst:8.2f} {point.other:8.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--crf", nargs="+", type=int, default=(19, 21, 23))
    asked = parser.parse_args()
    assert SOCIAL.targets is not None
    targets = SOCIAL.targets
    own = imageio_ffmpeg.get_ffmpeg_exe()
    ffmpeg = shutil.which("ffmpeg") or own
    judge = Judge([ffmpeg, own])
    with tempfile.TemporaryDirectory(prefix="presets-") as folder:
        clips = make_clips(Path(folder), ffmpeg, asked.seconds)
        print(f"{'':<24}      MB   / now    cpu s  / now   wall s {judge.name:>8}    worst"
              f" {judge.other}")  # fmt: skip
        now = None
        for name, more in VARIANTS.items():
            label = f"{targets.preset} {targets.crf} {name}"
            point = measure(label, targets, more, clips, ffmpeg, judge)
            now = now or point
            show(point, now)
        assert now is not None
        points = []
        for preset in asked.presets:
            for crf in asked.crf:
                varied = replace(targets, preset=preset, crf=crf)
                point = measure(f"{preset} {crf}", varied, (), clips, ffmpeg, judge)
                points.append(point)
                show(point, now)
        best = choose(points, now)
        print(f"chosen: {best.name}")


if __name__ == "__main__":
    main()
