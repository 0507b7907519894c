"""What a job takes of the machine while it runs, and how much work it is. Pure.

The ledger keeps the cost with the job, so that no more is started than the machine carries
(appliance/capacity.py); the amount of work is what durations are learned by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.job_kinds import KINDS
from appliance.models import Method

if TYPE_CHECKING:
    from tasks.probe.facts import Probe, VideoTrack
    from tasks.profiles import Profile, Targets


@dataclass(frozen=True)
class Cost:
    """``cores``: processors it keeps busy, and the threads that it is given. ``memory_mib``: the
    most that it holds at a time. No cores: it is over in seconds and waits for nobody."""

    cores: float
    memory_mib: int


NOTHING = Cost(0.0, 0)

# Processor time of one decoded pixel against one that x264 encodes at `veryfast`: a 1080p film
# decodes at 6.5 times its length and encodes at 1.38. Source: performance.md §4.
_DECODE = 0.2
# Time of an encoded pixel by preset, `veryfast` = 1. Source: the same table.
_PRESETS = {"ultrafast": 0.35, "superfast": 0.75, "veryfast": 1.0, "faster": 1.7, "fast": 2.2}
_SLOW = 2.7

# Cores by the weight of one picture. x264 and the decoders cut pictures into rows: small ones
# have too few for many threads, and beyond four a 1080p film gains little for each more.
_STEPS = ((450_000.0, 1.0), (1_300_000.0, 2.0))
_MOST_CORES = 4.0

# Bytes for each pixel, with four threads. Measured by ffmpeg 5.1 (peak of resident memory, MiB):
# 1080p → 1080p 339, 1080p → 360p 111, 2160p → 1080p 407, 10-bit 2160p → 1080p 592,
# 4320p → 1080p 741. Those had one reference picture; decoders of real films keep some more.
_PROGRAM_MIB = 80
_DECODED = 24
_DECODED_DEEP = 48
_ENCODED = 130
_TONE_MAPPED = 40  # in floating point

_MIB = 1024**2

# Of what nobody has looked into yet.
_UNKNOWN_WIDTH, _UNKNOWN_HEIGHT = 1920, 1080
_UNKNOWN_FPS = 30.0

# A link takes as long as five megabytes that are repacked, and a second of sound as long as these
# pixels, roughly: it is encoded at some 60 times its length.
_LINKED = 5e6
_SOUND_ALONE = 1.4e6

_BY_BYTES = ("probe", "remux", "early_look")


def cost_of(kind: str, profile: Profile | None, probe: Probe | None) -> Cost:
    """What a job of this kind takes for this video. ``profile``: of the rendition that it makes.

    Only the media queue waits for room; what people wait for is short and lives off the reserve.
    """
    if KINDS[kind].queue != "media":
        return NOTHING
    if profile is None or profile.targets is None or _copies(kind, profile):
        return Cost(1.0, _memory_mib(_decoded_pixels(probe), 0, _track(probe)))
    weight = _picture_weight(profile.targets, profile, probe)
    cores = next((cores for most, cores in _STEPS if weight <= most), _MOST_CORES)
    encoded = _encoded_pixels(profile.targets, profile, probe)
    return Cost(cores, _memory_mib(_decoded_pixels(probe), encoded, _track(probe)))


def work_of(
    kind: str, profile: Profile | None, probe: Probe | None, method: Method | None = None
) -> float:
    """How much there is to do; 0.0: not known. Compare it only within a kind and a profile.

    Of encodes weighted pixels (one decoded is a fifth of one encoded), of what reads the file
    through bytes, of the rest seconds of film. ``method``: as planned, if it is; where that is less
    work than usual for the kind, the amount is less.
    """
    if probe is None:
        return 0.0
    if kind in _BY_BYTES:
        return min(_LINKED, probe.size_bytes) if method is Method.LEAVE else float(probe.size_bytes)
    duration_s = probe.duration_s
    if profile is not None and profile.max_duration_s is not None:
        duration_s = min(duration_s, profile.max_duration_s)
    if profile is None or profile.targets is None:
        return duration_s
    if method is Method.AUDIO:
        return duration_s * _SOUND_ALONE
    track = _track(probe)
    fps = (track.fps if track is not None else 0.0) or _UNKNOWN_FPS
    return duration_s * fps * _picture_weight(profile.targets, profile, probe)


def _copies(kind: str, profile: Profile) -> bool:
    """It is the cheap one of several kinds that can make this film."""
    return len(profile.jobs) > 1 and kind == profile.jobs[0]


def _picture_weight(targets: Targets, profile: Profile, probe: Probe | None) -> float:
    encoded = _encoded_pixels(targets, profile, probe)
    return _DECODE * _decoded_pixels(probe) + _PRESETS.get(targets.preset, _SLOW) * encoded


def _track(probe: Probe | None) -> VideoTrack | None:
    return probe.video if probe is not None else None


def _decoded_pixels(probe: Probe | None) -> int:
    track = _track(probe)
    if track is None:
        return 0 if probe is not None else _UNKNOWN_WIDTH * _UNKNOWN_HEIGHT
    return track.width * track.height


def _encoded_pixels(targets: Targets, profile: Profile, probe: Probe | None) -> float:
    """Never more than the frame of the targets; films of another shape fill it."""
    frame = float(targets.long_side * targets.short_side)
    track = _track(probe)
    if track is None or profile.shape is not None:
        return frame
    width, height = track.shown_width, track.shown_height
    scale = min(
        1.0,
        targets.long_side / max(width, height),
        targets.short_side / min(width, height),
    )
    return width * height * scale * scale


def _memory_mib(decoded: float, encoded: float, track: VideoTrack | None) -> int:
    deep = track is not None and ("10" in track.pix_fmt or "12" in track.pix_fmt)
    held = decoded * (_DECODED_DEEP if deep else _DECODED) + encoded * _ENCODED
    if track is not None and track.hdr:
        held += decoded * _TONE_MAPPED
    return round(_PROGRAM_MIB + held / _MIB)
