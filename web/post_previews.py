"""How platforms crop a video: pictures of it in the frames that people will see it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.publish import rules
from web.words import _

if TYPE_CHECKING:
    from appliance.models import Video
    from tasks.publish.publisher import MediaFacts

# Of the frames, in pixels: as high as that, or as wide.
_HIGH, _WIDE = 128, 160


@dataclass(frozen=True)
class Preview:
    """One frame. ``width`` and ``height``: of the frame; ``inner_``: of the video in it, in any
    unit; ``fit``: "meet" (all of it is seen) or "slice" (it fills the frame, the rest is cut off).
    ``framed``: the picture doesn't have the video's shape, so it is seen in front of itself."""

    name: str
    width: int
    height: int
    inner_width: int
    inner_height: int
    fit: str
    framed: bool
    picture: str


def previews_of(platform: str, media: MediaFacts, picture: str, video: Video) -> list[Preview]:
    """[] where there is no picture yet, or nothing is known of the platform's frames."""
    views = rules.rules().get(platform, {}).get("views", [])
    width, height = media.width or video.width, media.height or video.height
    if not picture or not width or not height:
        return []
    upright = height > width
    shape = (video.width or width) / (video.height or height)
    framed = abs(shape - width / height) > 0.02 * shape
    shown = []
    for view in views:
        if view.get("upright", upright) is not upright:
            continue
        across, down = view["ratio"]
        wide, high = round(_HIGH * across / down), _HIGH
        if wide > _WIDE:
            wide, high = _WIDE, round(_WIDE * down / across)
        fit = "slice" if view["fit"] == "cover" else "meet"
        shown.append(Preview(_(view["name"]), wide, high, width, height, fit, framed, picture))
    return shown
