"""What each place accepts, as data, and the rules of delivery that follow from it.

Two kinds of rules. Those about the *form* (codec, frame rate, edit lists) decide what has to be
done to a file (tasks/transcode/plan.py). Those about the *whole* (bytes, length, shape) are one
place's own: they decide which rendition that place gets (tasks/publish/choice.py), and keep nothing
from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.probe.facts import Probe

# A shape that is off by less looks the same; encoders round to even sides.
_SHAPE_SLACK = 0.01


@dataclass(frozen=True)
class Acceptance:
    """What one place takes. ``as_of`` and ``source``: when that was read, and where.

    Rates in bits per second, sizes in pixels, ratios as width to height. None: no rule.
    ``key`` names it in tables.
    """

    key: str
    place: str
    as_of: str
    source: str
    # The form
    video_codecs: frozenset[str] | None = None
    pix_fmts: frozenset[str] | None = None
    max_width: int | None = None
    min_fps: float | None = None
    max_fps: float | None = None
    constant_fps: bool = False
    progressive: bool = False
    closed_gop: bool = False
    max_gop_s: float | None = None
    max_video_bps: int | None = None
    audio_codecs: frozenset[str] | None = None
    max_audio_hz: int | None = None
    max_channels: int | None = None
    needs_audio: bool = False
    mp4: bool = False
    faststart: bool = False
    no_edit_list: bool = False
    # The whole
    max_bytes: int | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    shape: tuple[int, int] | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    min_width: int | None = None
    min_height: int | None = None


YOUTUBE = Acceptance(
    key="youtube",
    place="YouTube",
    as_of="2026-11",
    source="support.google.com/youtube/answer/1722171: any common format is converted",
    # 15 minutes for channels that aren't verified: YouTube says so itself.
    max_bytes=256_000_000_000,
    max_duration_s=12 * 3600.0,
)
FACEBOOK_REEL = Acceptance(
    key="facebook_reels",
    place="Facebook Reels",
    as_of="2026-11",
    source="developers.facebook.com/docs/video-api/guides/reels-publishing",
    video_codecs=frozenset({"h264", "hevc", "vp9", "av1"}),
    pix_fmts=frozenset({"yuv420p", "yuvj420p"}),
    min_fps=23.97,  # "24": 24000/1001 counts as that everywhere
    max_fps=60.0,
    constant_fps=True,
    progressive=True,
    closed_gop=True,
    # The page says 2 to 5. Encoders that weren't told make 250 pictures, at any rate: those pass.
    max_gop_s=10.5,
    audio_codecs=frozenset({"aac"}),
    max_audio_hz=48_000,
    max_channels=2,
    needs_audio=True,
    mp4=True,
    min_duration_s=3.0,
    max_duration_s=90.0,
    shape=(9, 16),
    min_width=540,
    min_height=960,
)
FACEBOOK_VIDEO = Acceptance(
    key="facebook",
    place="Facebook Pages",
    as_of="2026-11",
    # Sources disagree: 2 GB in the page of errors, 10 GB and 4 hours elsewhere. Facebook itself
    # says so when a file is too much for it.
    source="developers.facebook.com/docs/graph-api/reference/page/videos: any shape is shown",
    max_bytes=10_000_000_000,
    max_duration_s=4 * 3600.0,
)
INSTAGRAM_REEL = Acceptance(
    key="instagram",
    place="Instagram Reels",
    as_of="2026-11",
    source="developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/media",
    video_codecs=frozenset({"h264", "hevc"}),
    pix_fmts=frozenset({"yuv420p", "yuvj420p"}),
    max_width=1920,
    min_fps=23.0,
    max_fps=60.0,
    progressive=True,
    closed_gop=True,
    max_video_bps=25_000_000,
    audio_codecs=frozenset({"aac"}),
    max_audio_hz=48_000,
    max_channels=2,
    faststart=True,
    no_edit_list=True,
    max_bytes=300_000_000,
    min_duration_s=3.0,
    max_duration_s=900.0,
    min_ratio=0.01,
    max_ratio=10.0,
)
BROWSERS = Acceptance(
    key="browsers",
    place="the player of this box",
    as_of="2026-11",
    source="caniuse.com/hevc: HEVC depends on the machine; H.264 and AAC play everywhere",
    video_codecs=frozenset({"h264"}),
    pix_fmts=frozenset({"yuv420p", "yuvj420p"}),
    audio_codecs=frozenset({"aac"}),
    mp4=True,
    faststart=True,
)
# The practice platform fetches like Instagram does, and takes any length.
PRACTICE = replace(
    INSTAGRAM_REEL,
    key="practice",
    place="the practice platform",
    source="web/practice: the form is Instagram's",
    max_bytes=4_000_000_000,
    min_duration_s=None,
    max_duration_s=None,
)
FOLDER = Acceptance(
    key="folder",
    place="the folder",
    as_of="2026-11",
    source="a copy of any file",
)
ACCEPTANCES = (YOUTUBE, FACEBOOK_VIDEO, FACEBOOK_REEL, INSTAGRAM_REEL, BROWSERS, PRACTICE, FOLDER)


@dataclass(frozen=True)
class Delivery:
    """Which renditions a platform may get, the best first, and what it accepts."""

    place: Acceptance
    profiles: tuple[str, ...] = ("social",)


DELIVERIES = {
    "practice": Delivery(PRACTICE),
    "folder": Delivery(FOLDER),
    "youtube": Delivery(YOUTUBE),
    "instagram": Delivery(INSTAGRAM_REEL, ("social", "instagram")),
    # What fits a Reel becomes one, anything else a Page video: see facebook/kind.py.
    "facebook": Delivery(FACEBOOK_VIDEO),
}
# Where an option of the post asks for another form: (platform, value of its option "kind").
WISHED_DELIVERIES = {
    ("facebook", "reel"): Delivery(FACEBOOK_REEL, ("social", "vertical", "reel")),
}


def delivery_for(platform: str, options: Mapping[str, Any]) -> Delivery:
    """What a platform may get, for a post with these options; any file where nothing is known."""
    wished = WISHED_DELIVERIES.get((platform, str(options.get("kind", ""))))
    return wished or DELIVERIES.get(platform, Delivery(FOLDER))


def whole_faults(probe: Probe, place: Acceptance) -> list[str]:
    """What the place minds about the size, the length and the shape of a file."""
    found = []
    if place.max_bytes is not None and probe.size_bytes > place.max_bytes:
        found.append(f"{megabytes(probe.size_bytes)} are too many")
    seconds = probe.duration_s
    if place.min_duration_s is not None and seconds < place.min_duration_s:
        found.append(f"{in_time(seconds)} are too short")
    if place.max_duration_s is not None and seconds > place.max_duration_s:
        found.append(f"{in_time(seconds)} are too long")
    return found + shape_faults(probe, place)


def shape_faults(probe: Probe, place: Acceptance) -> list[str]:
    video = probe.video
    if video is None:
        return []
    width, height = video.shown_width, video.shown_height
    found = []
    if place.shape is not None and not has_shape(width, height, place.shape):
        found.append(f"the picture isn't {place.shape[0]}:{place.shape[1]}")
    ratio = width / height
    if ratio < (place.min_ratio or 0) or ratio > (place.max_ratio or ratio):
        found.append(f"{width} × {height} are too long a strip")
    if width < (place.min_width or 0) or height < (place.min_height or 0):
        found.append(f"{width} × {height} are too few pixels")
    return found


def has_shape(width: int, height: int, shape: tuple[int, int]) -> bool:
    across, down = shape
    return abs(width * down - height * across) <= _SHAPE_SLACK * height * across


def megabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def in_time(seconds: float) -> str:
    if seconds <= 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"
