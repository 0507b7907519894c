"""About how many bytes a rendition will have, so that nothing is begun that can't be kept."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.models import Method
from tasks.transcode.plan import plan

if TYPE_CHECKING:
    from tasks.probe.facts import Probe
    from tasks.profiles import Profile
    from tasks.transcode.plan import Plan

# Bits for each pixel that x264 spends at crf 21, rather more than less (measured on screen
# recordings, talk and sports: 0.02 to 0.12).
_BITS_PER_PIXEL = 0.1
# Of a profile that is no film (pictures, a waveform, sound alone), for each second, and besides.
_SMALL_BPS, _SMALL_BYTES = 130_000, 1_000_000


def estimate_bytes(probe: Probe | None, profile: Profile) -> int:
    """About what the file of ``profile`` will take on the disk; 0 when it is the original itself.

    ``probe``: of the original; None, not looked at yet: 0, because nobody knows.
    """
    if probe is None:
        return 0
    seconds = probe.duration_s
    if profile.max_duration_s is not None:
        seconds = min(seconds, profile.max_duration_s)
    if profile.targets is None or probe.video is None:
        return int(seconds * _SMALL_BPS / 8) + _SMALL_BYTES
    chosen = plan(probe, profile)
    method = chosen.method
    if method is Method.LEAVE:
        return 0
    if method in (Method.REMUX, Method.AUDIO):
        return int(probe.size_bytes * 1.05)
    targets = profile.targets
    pixels = min(
        probe.video.shown_width * probe.video.shown_height,
        targets.long_side * targets.short_side,
    )
    picture_bps = min(targets.max_bps, pixels * min(probe.video.fps or 30, 60) * _BITS_PER_PIXEL)
    made = int(seconds * (picture_bps + targets.audio_bps) / 8)
    if profile.max_bytes is not None:
        made = min(made, profile.max_bytes)
    return made + _pass_log_bytes(chosen, seconds)


def _pass_log_bytes(chosen: Plan, seconds: float) -> int:
    """What x264 notes in the first of two passes, beside the film until that is finished: a line
    for each picture, and two bytes for each of its macroblocks. Source: x264, ratecontrol.c."""
    if chosen.passes == 1 or chosen.picture is None:
        return 0
    picture = chosen.picture
    blocks = -(-picture.width // 16) * -(-picture.height // 16)
    return int(seconds * float(Fraction(picture.fps)) * (2 * blocks + 200))
