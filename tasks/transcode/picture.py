"""How a picture is encoded: size, shape, rate and corrections. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from tasks.acceptance import has_shape

if TYPE_CHECKING:
    from tasks.probe.facts import VideoTrack
    from tasks.profiles import Targets

# Narrower frames are refused by places that ask for a shape, and look poor anyway.
# Source: platforms.md §4 (Facebook Reels: 540 × 960).
_LEAST_SHORT_SIDE = 540


@dataclass(frozen=True)
class Picture:
    """How the picture is to be encoded. Sizes in pixels, even; ``fps`` as ffmpeg writes it.

    ``inside``: the size of the picture itself, in front of itself enlarged and blurred; None: it
    fills the frame. ``parity``: "top" or "bottom" where only the header says which field is first.
    ``transfer`` and ``from_matrix``: what the pixels mean.
    """

    width: int
    height: int
    fps: str
    level: str
    deinterlace: bool
    tone_map: bool
    from_matrix: str
    inside: tuple[int, int] | None = None
    parity: str = ""
    transfer: str = ""


def plan_picture(
    video: VideoTrack, targets: Targets, shape: tuple[int, int] | None = None
) -> Picture:
    """Never enlarges, unless a shape asks for it; keeps upright and lying."""
    inside = None
    if shape is None or has_shape(video.shown_width, video.shown_height, shape):
        width, height = fit(video.shown_width, video.shown_height, targets)
        if shape is not None:
            width, height = frame(video.shown_width, video.shown_height, shape, targets)
    else:
        width, height = frame(video.shown_width, video.shown_height, shape, targets)
        inside = fit_in(video.shown_width, video.shown_height, width, height)
    fps = choose_fps(video.fps, video.variable, targets.fps)
    return Picture(
        width=width,
        height=height,
        fps=fps,
        level=level_of(fps, targets),
        deinterlace=video.interlaced,
        tone_map=video.hdr,
        # ffmpeg takes untagged pictures for BT.601 at any size; players take HD for BT.709.
        from_matrix=video.matrix or ("bt709" if min(video.width, video.height) >= 720 else "bt601"),
        inside=inside,
        parity=video.field_order if video.interlaced else "",
        transfer=video.transfer or ("pq" if video.only_dolby_vision else ""),
    )


def level_of(fps: str, targets: Targets) -> str:
    return next(name for most, name in targets.levels if Fraction(fps) <= most)


def fit(width: int, height: int, targets: Targets) -> tuple[int, int]:
    """The largest even size of this shape in the frame of the targets, not above the source's."""
    long_side, short_side = max(width, height), min(width, height)
    scale = min(1.0, targets.long_side / long_side, targets.short_side / short_side)
    return even(width * scale), even(height * scale)


def frame(width: int, height: int, shape: tuple[int, int], targets: Targets) -> tuple[int, int]:
    """The largest frame of ``shape`` in the targets in which the picture isn't enlarged; never
    less than what places ask for."""
    across, down = shape
    most = min(targets.short_side / min(shape), targets.long_side / max(shape))
    least = min(most, _LEAST_SHORT_SIDE / min(shape))
    unit = max(least, min(most, max(width / across, height / down)))
    return even(across * unit), even(down * unit)


def fit_in(width: int, height: int, most_width: int, most_height: int) -> tuple[int, int]:
    """The largest even size of this shape within another."""
    scale = min(most_width / width, most_height / height)
    return min(most_width, even(width * scale)), min(most_height, even(height * scale))


def even(side: float) -> int:
    return max(2, int(side + 1e-6) // 2 * 2)


def choose_fps(fps: float, variable: bool, allowed: tuple[str, ...]) -> str:
    """The rate to encode at: the source's if it may stay, else one that steps evenly with it."""
    rates = {text: float(Fraction(text)) for text in allowed}
    if variable:
        # Phones and screens promise 30 or 60 and lose some.
        return "30" if fps <= 33 or "60" not in allowed else "60"
    nearest = min(rates, key=lambda text: abs(rates[text] - fps))
    if abs(rates[nearest] - fps) <= 0.002 * fps:
        return nearest
    if fps > 0:
        # Fewest pictures lost first, then fewest repeated.
        for text in sorted(rates, key=rates.__getitem__, reverse=True):
            if rates[text] < fps and _whole(fps / rates[text]):
                return text
        for text in sorted(rates, key=rates.__getitem__):
            if rates[text] > fps and _whole(rates[text] / fps):
                return text
    return "30" if fps <= 45 or "60" not in allowed else "60"


def _whole(ratio: float) -> bool:
    # Closer than 30 and 29.97 are to each other.
    return abs(ratio - round(ratio)) < 0.0005 * ratio
