"""Single pictures of a video, as plain pixels: what the poster and the storyboard are made of.

ffmpeg, in the sandbox, turns moments of an untrusted file into raw RGB of a size that we know;
only that is handed to Pillow.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from PIL import Image

from tasks import sandbox
from tasks.ffmpeg import find_ffmpeg
from tasks.sandbox_types import MIB, Command, Ended, Limits, TookTooLong
from tasks.transcode.command import INPUT, MATRIX, read_options, to_sdr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.context import Context
    from tasks.probe.facts import Probe, VideoTrack

Size = tuple[int, int]

# Several decoders at a time, each with pictures of its own: 8K takes 2.5 GiB.
_MEMORY_BYTES = 4096 * MIB


def fit(width: int, height: int, box: Size) -> Size:
    """The largest even size of that shape within ``box``; never larger than it is."""
    scale = min(1.0, box[0] / max(1, width), box[1] / max(1, height))
    return _even(width * scale), _even(height * scale)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def shown_size(video: VideoTrack, box: Size) -> Size:
    return fit(video.shown_width, video.shown_height, box)


def filters(video: VideoTrack, size: Size) -> list[str]:
    """ffmpeg's filters to RGB of ``size``; it has turned the picture upright before them."""
    chain = []
    if video.interlaced:
        # Half of the lines are enough for small pictures, and don't mix what is far apart.
        small = 2 * size[1] <= video.height
        chain.append("field=type=top" if small else "bwdif=mode=send_frame")
    if video.hdr:
        # Small first: what follows works in floating point.
        chain += [f"zscale={size[0]}:{size[1]}:filter=bicubic", *to_sdr()]
    matrix = "bt709" if video.hdr else matrix_of(video)
    scale = f"scale={size[0]}:{size[1]}:flags=bicubic:in_color_matrix={matrix}"
    return [*chain, scale, "format=rgb24"]


def matrix_of(video: VideoTrack) -> str:
    """In words of the scale filter. What isn't said goes by the size, as in players."""
    return MATRIX.get(video.matrix) or ("bt709" if video.height >= 720 else "bt601")


def take(
    original: Path,
    facts: Probe,
    moments_s: Sequence[float],
    size: Size,
    context: Context,
    *,
    exact: bool,
    timeout_s: float = 60.0,
) -> list[Image.Image | None]:
    """A picture for each moment; None where none could be taken.

    ``exact``: the very picture of that moment; otherwise the keyframe before it, which costs one
    picture to decode. Raises what ``context.check`` raises.
    """
    assert facts.video is not None
    names = [context.folder / f"moment-{number}.rgb" for number in range(len(moments_s))]
    for name in names:
        name.unlink(missing_ok=True)
    ffmpeg = find_ffmpeg(context.settings)
    words: list[str] = [str(ffmpeg), *QUIET]
    for at_s in moments_s:
        # Before -i: jumps. After it, all pictures before would be decoded.
        words += [
            *read_options(max_pixels=context.settings.max_pixels),
            *("-threads", "1" if len(moments_s) > 1 else "2"),
            *(() if exact else ("-noaccurate_seek",)),
            *("-ss", f"{at_s:.3f}", "-i", f"file:{INPUT}"),
        ]
    # The keyframe lies before the moment: with a time below zero it would be thrown away, and all
    # pictures up to the moment decoded.
    chain = ",".join(["setpts=PTS-STARTPTS", *filters(facts.video, size)])
    for number, name in enumerate(names):
        words += [
            *("-map", f"{number}:{facts.video.index}", "-vf", chain, "-frames:v", "1"),
            *("-f", "rawvideo", f"file:{name.name}"),
        ]
    with contextlib.suppress(TookTooLong):  # what is there is there
        run(words, original, context, cpu_s=120, timeout_s=timeout_s)
    return [_one(name, size) for name in names]


QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y")


def run(
    words: Sequence[str],
    original: Path,
    context: Context,
    *,
    cpu_s: int,
    timeout_s: float | None = None,
    file_bytes: int = 64 * MIB,
    name: str = INPUT,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run ffmpeg on ``original``, which it sees as ``name`` in the job's folder."""
    link = context.folder / name
    if not link.is_symlink():
        link.symlink_to(original)
    command = Command(
        argv=tuple(words),
        folder=context.folder,
        reads=(original, find_ffmpeg(context.settings)),
        limits=Limits(memory_bytes=_MEMORY_BYTES, cpu_s=cpu_s, file_bytes=file_bytes),
    )
    return sandbox.run(
        command, context.settings, check=context.check, timeout_s=timeout_s, on_line=on_line
    )


def follower(context: Context, stage: str, duration_s: float) -> Callable[[str], None]:
    """Turns ffmpeg's ``-progress`` into reports: nine tenths of the job."""

    def follow(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.isdecimal():
            context.saw(name, value)
            context.report(stage, 0.9 * min(1.0, int(value) / 1e6 / max(duration_s, 0.001)))

    return follow


def _one(file: Path, size: Size) -> Image.Image | None:
    found = read_all(file, size)
    return found[0] if found else None


def read_all(file: Path, size: Size) -> list[Image.Image]:
    """The pictures in a file of raw RGB; what is left over at its end is no picture."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    step = size[0] * size[1] * 3
    return [
        Image.frombytes("RGB", size, content[at : at + step])
        for at in range(0, len(content) - step + 1, step)
    ]
