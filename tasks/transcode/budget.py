"""How many bits a picture may have, so that the file stays within its bytes. Pure."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from tasks.transcode.picture import even, level_of

if TYPE_CHECKING:
    from tasks.profiles import Targets
    from tasks.transcode.picture import Picture

# For the container, and what two passes may be off. Source: platforms.md §4 (size rule).
BUDGET = 0.95
# A picture with fewer bits falls apart into blocks; a smaller one with the same bits looks better.
# By eye, x264 "veryfast" without B-frames: 1080p30 wants 2.8 Mbit/s and more.
LEAST_BITS_PER_PIXEL = 0.045
# Short sides, from the largest; the last is taken in any case.
RUNGS = (1080, 720, 540, 360)


def rate_within(max_bytes: int, seconds: float, targets: Targets, audio_bps: float) -> int | None:
    """Bits per second that the picture has to keep on average; None: any encode fits.

    Constant quality with ``max_bps`` may take all of it for the whole film. Only where that would
    be too much, two passes spread what there is: they know where it is needed.
    """
    worst_bytes = (seconds * (targets.max_bps + audio_bps) + targets.buffer_bits) / 8 * 1.01
    if worst_bytes <= max_bytes:
        return None
    return int(min(targets.max_bps, BUDGET * max_bytes * 8 / seconds - audio_bps))


def shrink(picture: Picture, bps: int, targets: Targets) -> Picture:
    """The largest size that so many bits are enough for; above 30 pictures a second, half of them
    go before the size goes below 720."""
    for rung in RUNGS:
        for fps in _rates(picture.fps, rung, targets):
            small = _at(picture, rung, fps, targets)
            if bps >= LEAST_BITS_PER_PIXEL * small.width * small.height * float(Fraction(fps)):
                return small
    return _at(picture, RUNGS[-1], _rates(picture.fps, RUNGS[-1], targets)[-1], targets)


def _rates(fps: str, rung: int, targets: Targets) -> list[str]:
    half = next((text for text in targets.fps if Fraction(text) * 2 == Fraction(fps)), None)
    if half is None or Fraction(fps) <= 30 or rung > 720:
        return [fps]
    return [fps, half] if rung == 720 else [half]


def _at(picture: Picture, rung: int, fps: str, targets: Targets) -> Picture:
    scale = min(1.0, rung / min(picture.width, picture.height))
    width, height = even(picture.width * scale), even(picture.height * scale)
    inside = picture.inside
    if inside is not None:
        inside = min(width, even(inside[0] * scale)), min(height, even(inside[1] * scale))
    return replace(
        picture, width=width, height=height, inside=inside, fps=fps, level=level_of(fps, targets)
    )
