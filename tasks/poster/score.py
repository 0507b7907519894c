"""How good a picture is as a poster: lively, sharp, neither black nor washed out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageFilter, ImageStat

# Measured on pictures of this width, so that fine noise doesn't count as sharpness.
_WIDTH = 320
# What talks, landscapes and screens reach as a rule; more is not better.
_CONTRAST, _SHARPNESS = 45.0, 14.0
# Below this a picture is black, a fade, a blur or one colour.
POOR = 0.12

_LAPLACE = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128)


@dataclass(frozen=True)
class Look:
    """``brightness`` 0 to 255; ``contrast`` and ``sharpness``: how far things spread, 0 to 128."""

    brightness: float
    contrast: float
    sharpness: float

    @property
    def score(self) -> float:
        """0 to 1."""
        exposure = max(0.0, 1.0 - (abs(self.brightness - 118.0) / 128.0) ** 2)
        contrast = min(1.0, self.contrast / _CONTRAST)
        sharpness = min(1.0, self.sharpness / _SHARPNESS)
        return exposure * contrast * (0.25 + 0.75 * sharpness)


def look_at(picture: Image.Image) -> Look:
    """Measure a picture (that we made ourselves)."""
    grey = picture.convert("L")
    if grey.width > _WIDTH:
        grey = grey.resize((_WIDTH, max(1, round(grey.height * _WIDTH / grey.width))))
    stat = ImageStat.Stat(grey)
    # The filter leaves the border as it is.
    inner = (1, 1, grey.width - 1, grey.height - 1)
    has_inner = grey.width > 2 and grey.height > 2
    edges = grey.filter(_LAPLACE).crop(inner) if has_inner else grey
    return Look(stat.mean[0], stat.stddev[0], ImageStat.Stat(edges).stddev[0])
