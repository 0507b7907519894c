"""What a team brings in a week, against a box that encodes everything.

``python -m benchmarks.mixed [--seconds 45]``: 20 clips as they come from phones, cameras, editors
and screens are brought in at once; the time until the last is social-ready is compared with that
of bare ffmpeg encoding each of them, one after the other, as our planner would have it encoded if
it knew nothing cheaper. Real workers, real sandbox; what else they make of a video (preview,
storyboard, waveform) is made meanwhile, as always.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.models import Job, Rendition, Video
from appliance.settings import Settings
from appliance.states import RenditionState
from benchmarks.box import box, bring_in, read, wait_for
from storage.layout import Layout
from tasks.ffmpeg import find_ffmpeg, thread_count
from tasks.probe.facts import Probe
from tasks.profiles import SOCIAL
from tasks.transcode.command import INPUT, ffmpeg_command
from tasks.transcode.plan import encode_anyway
from tasks.transcode.run import most_bytes

MUST = 0.25

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", "8M")
AAC = ("-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M")
FRONT = ("-movflags", "+faststart", "-use_editlist", "0", "-bf", "0")


@dataclass(frozen=True)
class Source:
    """``count`` clips of one kind, ``name`` with ending."""

    count: int
    name: str
    size: str
    options: tuple[str, ...]
    fps: str = "30"


# Counted in the libraries of small teams: most is H.264 from phones and exports of editors.
SOURCES = (
    Source(6, "phone, H.264.mp4", "1920x1080", (*H264, *AAC)),
    Source(2, "phone, upright.mp4", "1080x1920", (*H264, *AAC)),
    Source(4, "export of an editor.mp4", "1920x1080", (*H264, *AAC, *FRONT)),
    Source(2, "export for Reels.mp4", "1080x1920", (*H264, *AAC, *FRONT)),
    Source(2, "recording of OBS.mkv", "1920x1080", (*H264, *AAC)),
    Source(1, "old editor.mov", "1280x720", (*H264, "-c:a", "pcm_s16le")),
    Source(1, "camera.mp4", "1920x1080", (*H264, "-c:a", "ac3"), "25"),
    Source(1, "phone, HEVC.mov", "1920x1080", (*HEVC, "-tag:v", "hvc1", *AAC)),
    Source(1, "screen in a browser.webm", "1280x720", (*VP9, "-c:a", "libopus")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=45.0, help="of each clip (45)")
    asked = parser.parse_args()
    print(f"{thread_count()} processors, load {os.getloadavg()[0]:.1f} before the start")
    with box("media", "quick", "delivery") as (settings, _):
        ffmpeg = str(find_ffmpeg(settings))
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            clips = list(make(Path(folder), ffmpeg, asked.seconds))
            began_s = time.monotonic()
            videos = [bring_in(settings, clip) for clip in clips]
            wait_for(lambda: read(lambda: ready(videos)) == len(videos))
            ours_s = time.monotonic() - began_s
        report(videos)
        wait_for(lambda: read(lambda: Job.select().where(Job.finished_at.is_null()).count()) == 0)
        rest_s = time.monotonic() - began_s
        always_s = sum(encode(settings, ffmpeg, video) for video in videos)
    ratio = ours_s / always_s
    verdict = "must" if ratio <= MUST else "missed"
    print(f"\n{len(videos)} clips of {asked.seconds:g} s: all social-ready after {ours_s:.1f} s")
    print(f"(all that is made of them after {rest_s:.1f} s); encoding each takes {always_s:.1f} s")
    print(f"ratio {ratio:.3f}: {verdict} (must {MUST})")


def ready(videos: list[Video]) -> int:
    return int(
        Rendition.select()
        .where(
            Rendition.video.in_(videos),
            Rendition.profile == SOCIAL.name,
            Rendition.state == RenditionState.READY,
        )
        .count()
    )


def make(folder: Path, ffmpeg: str, seconds: float) -> list[Path]:
    """One of each kind is encoded; what is told with each differs, or the box would find twins."""
    made = []
    for kind, source in enumerate(SOURCES):
        first = folder / f"first-{source.name}"
        # Moves, has edges and a little grain: neither noise nor a still. Quickly made, too.
        picture = f"testsrc2=s={source.size}:r={source.fps},hue=h={40 * kind},noise=alls=4:allf=t"
        inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=f=440:r=48000"]
        command = [ffmpeg, "-v", "error", "-y"]
        length = ["-t", f"{seconds:g}"]
        subprocess.run([*command, *inputs, *length, *source.options, str(first)], check=True)
        for number in range(source.count):
            target = folder / f"{number} {source.name}"
            told = ["-metadata", f"title={number}", *(FRONT[:4] if "export" in source.name else [])]
            again = ["-i", str(first), "-c", "copy", *told]
            subprocess.run([*command, *again, str(target)], check=True)
            made.append(target)
        first.unlink()
    return made


def report(videos: list[Video]) -> None:
    rows = read(
        lambda: {
            row.video_id: row
            for row in Rendition.select().where(
                Rendition.video.in_(videos), Rendition.profile == SOCIAL.name
            )
        }
    )
    for video in videos:
        row = rows[video.id]
        print(f"{video.filename:32} {row.method:10} {row.facts['seconds']:6.2f} s")


def encode(settings: Settings, ffmpeg: str, video: Video) -> float:
    """Seconds of bare ffmpeg for it, nothing around it."""
    facts = read(lambda: Video.get_by_id(video.id).facts)
    probe = Probe.from_dict(facts)
    chosen = encode_anyway(probe, SOCIAL, "to compare")
    assert SOCIAL.targets is not None
    arguments = ffmpeg_command(
        chosen,
        SOCIAL.targets,
        ffmpeg=ffmpeg,
        threads=thread_count(),
        max_pixels=settings.max_pixels,
        max_duration_s=probe.duration_s + 5,
        max_bytes=most_bytes(probe, chosen, SOCIAL.targets),
    )
    with tempfile.TemporaryDirectory(dir=settings.data) as folder:
        Path(folder, INPUT).symlink_to(Layout(settings.data).original(video.public_id))
        began_s = time.monotonic()
        subprocess.run(arguments, cwd=folder, check=True, capture_output=True)
        return time.monotonic() - began_s


if __name__ == "__main__":
    main()
