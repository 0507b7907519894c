"""About how long an encode will take on this box."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING, Any

from appliance.models import Method, Rendition
from appliance.states import RenditionState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.transcode.plan import Picture

# Before the first encode here: 1080p30 at 1.38 × real time on two cores (performance.md §4).
USUAL_PIXELS_PER_S = 1.38 * 1920 * 1080 * 30
_LOOK_BACK = 11
# Shorter encodes say more about the start of ffmpeg than about its speed.
_WORTH_S = 2.0


def encode_s(picture: Picture, duration_s: float, pixels_per_s: float) -> float:
    """Seconds for ``duration_s`` of such a picture."""
    pixels = picture.width * picture.height * float(Fraction(picture.fps)) * duration_s
    return round(pixels / pixels_per_s, 1)


def pixels_per_s_here() -> float:
    """Encoded pixels a second, from the last encodes of this box. Wants an open connection."""
    rows = (
        Rendition.select(Rendition.facts)
        .where(Rendition.method == Method.TRANSCODE, Rendition.state == RenditionState.READY)
        .order_by(Rendition.ready_at.desc())
        .limit(_LOOK_BACK)
    )
    return pixels_per_s(row.facts for row in rows)


def pixels_per_s(facts: Iterable[dict[str, Any] | None]) -> float:
    """From ``Rendition.facts`` of encodes; pure."""
    speeds = []
    for about in facts:
        if not about or about.get("reused") or about.get("ahead"):
            continue  # its time is that of the upload, too
        if about.get("seconds", 0.0) < _WORTH_S:
            continue
        probe = about["probe"]
        video = probe["video"]
        pixels = video["width"] * video["height"] * video["fps"] * probe["duration_s"]
        speeds.append(pixels / about["seconds"])
    return median(speeds) if speeds else USUAL_PIXELS_PER_S


def in_words(seconds: float) -> str:
    """ "10 s", "3 min", "1.5 h": as exact as an estimate is."""
    if seconds < 55:
        return f"{max(10, math.ceil(seconds / 10) * 10)} s"
    if seconds < 55 * 60:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f}".removesuffix(".0") + " h"
