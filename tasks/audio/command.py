"""ffmpeg's words for the sound alone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.transcode.command import INPUT, read_options

if TYPE_CHECKING:
    from tasks.probe.facts import AudioTrack

OUTPUT = "audio.m4a"
RATE_HZ, BPS, BPS_MONO = 48_000, 128_000, 64_000
# AAC that is larger is encoded anew: what listens to it has to fetch it.
_MOST_COPIED_BPS = 200_000


def is_copied(audio: AudioTrack) -> bool:
    """Plain AAC in mono or stereo at a usual rate stays as it is."""
    return (
        audio.codec == "aac"
        and audio.channels <= 2
        and audio.rate_hz <= RATE_HZ
        and (audio.bit_rate or 0) <= _MOST_COPIED_BPS
    )


def audio_command(
    audio: AudioTrack,
    *,
    copied: bool,
    ffmpeg: str,
    max_pixels: int,
    max_duration_s: float,
    max_bytes: int,
) -> list[str]:
    """From ``INPUT`` to ``OUTPUT``, both in the folder that it runs in."""
    channels = min(2, audio.channels)
    encoding = [
        *("-af", "aresample=async=1:first_pts=0"),  # holes become silence: times stay right
        *("-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(BPS if channels == 2 else BPS_MONO)),
        *("-ar", str(RATE_HZ), "-ac", str(channels)),
    ]
    return [
        *(ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y"),
        *("-progress", "pipe:1"),
        *read_options(max_pixels=max_pixels),
        *("-i", f"file:{INPUT}", "-map", f"0:{audio.index}", "-vn", "-sn", "-dn"),
        *("-map_metadata", "-1", "-map_chapters", "-1"),
        *(("-c:a", "copy") if copied else encoding),
        *("-t", f"{max_duration_s:g}", "-fs", str(max_bytes)),
        *("-f", "ipod", "-movflags", "+faststart", f"file:{OUTPUT}"),
    ]
