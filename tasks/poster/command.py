"""Which moments make a poster, and ffmpeg's words for it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.transcode.command import INPUT, read_options, to_sdr

if TYPE_CHECKING:
    from tasks.probe.facts import VideoTrack

OUTPUT = "poster.webp"
WIDTH, HEIGHT = 1280, 720


def moments(duration_s: float) -> list[float]:
    """Seconds to look at, best first: past the title, then the middle, then anything."""
    return [round(duration_s * share, 2) for share in (0.1, 0.3, 0.5, 0.0)]


def poster_command(video: VideoTrack, at_s: float, *, ffmpeg: str, max_pixels: int) -> list[str]:
    """One picture, fitting into 16:9, never enlarged; the liveliest of the 25 after ``at_s``."""
    chain = ["thumbnail=25", *(["bwdif=mode=send_frame"] if video.interlaced else [])]
    # Pixels that aren't square first become square.
    chain.append("scale=w='trunc(iw*sar/2)*2':h='trunc(ih/2)*2'")
    chain.append(
        f"scale=w='min({WIDTH},iw)':h='min({HEIGHT},ih)':force_original_aspect_ratio=decrease"
    )
    if video.hdr:
        chain += to_sdr()
    return [
        *(ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y"),
        *read_options(max_pixels=max_pixels),
        # Before -i: jumps to the keyframe. After it, all pictures before would be decoded.
        *("-ss", f"{at_s:g}", "-i", f"file:{INPUT}", "-map", f"0:{video.index}"),
        *("-vf", ",".join([*chain, "format=yuv420p", "setsar=1"])),
        *("-frames:v", "1", "-map_metadata", "-1"),
        *("-c:v", "libwebp", "-quality", "80", "-compression_level", "4"),
        *("-f", "webp", f"file:{OUTPUT}"),
    ]
