"""What is made of a video: its profiles, and what we *encode* when a file isn't accepted as it is.

What each place *accepts* is another table (tasks/acceptance.py). They differ on purpose: a file
that every place takes is left alone or only repacked; exact rates, fixed GOPs and the like apply to
what we encode ourselves (design §13).
Changing a table that changes results means a new ``version``: what was made by another is stale,
stays in use, and can be made anew (``renditions.remake``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.models import Priority, Setting
from tasks.acceptance import (
    BROWSERS,
    FACEBOOK_REEL,
    INSTAGRAM_REEL,
    YOUTUBE,
    Acceptance,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Targets:
    """What an encode makes. Rates in bits per second, ``gop_s`` in seconds.

    ``levels``: highest pictures per second → H.264 level, for 1920 × 1080 and below.
    """

    long_side: int
    short_side: int
    fps: tuple[str, ...]
    gop_s: float
    crf: int
    preset: str
    max_bps: int
    buffer_bits: int
    levels: tuple[tuple[float, str], ...]
    audio_bps: int
    audio_hz: int


@dataclass(frozen=True)
class Profile:
    """One thing that is made of a video, and how.

    ``jobs``: the kinds of jobs that can make it, the cheapest first. ``eager``: made for each new
    video, at ``priority``; others when a post or a person wants them. The rest is for those that
    are films: ``places`` that must accept the file, ``targets`` of an encode, the most bytes and
    seconds that it may have, and the shape of its picture (None: that of the source). ``cut``: of
    longer films the beginning is taken; without it they are refused.
    ``needs_sound``: there is none of a silent video.
    """

    name: str
    version: int
    label: str
    jobs: tuple[str, ...]
    priority: Priority = Priority.LOW
    eager: bool = False
    places: tuple[Acceptance, ...] = ()
    targets: Targets | None = None
    max_bytes: int | None = None
    max_duration_s: float | None = None
    shape: tuple[int, int] | None = None
    cut: bool = False
    needs_sound: bool = False
    choices: tuple[tuple[str, Any], ...] = ()

    @property
    def recipe(self) -> str:
        """Names what its files are made by: the version, and the admin's choices."""
        if not self.choices:
            return str(self.version)
        digest = hashlib.sha256(json.dumps(self.choices).encode()).hexdigest()
        return f"{self.version}-{digest[:8]}"

    def chosen(self, choices: Mapping[str, Any]) -> Profile:
        """The profile with an admin's choices for its ``targets`` instead of our values."""
        if self.targets is None or not choices:
            return self
        return replace(
            self,
            targets=replace(self.targets, **choices),
            choices=tuple(sorted(choices.items())),
        )


# Source: platforms.md §4 (Facebook and Instagram Reels specifications, and what ffmpeg was seen
# to do with these options); preset: performance.md §4.
_SOCIAL_TARGETS = Targets(
    long_side=1920,
    short_side=1080,
    fps=("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"),
    gop_s=2.0,
    crf=21,
    preset="veryfast",
    # 16 Mbit/s in the worst second, 10 on average over the buffer.
    max_bps=10_000_000,
    buffer_bits=16_000_000,
    # ITU-T H.264 table A-1: 8160 macroblocks per picture; 245,760 and 522,240 per second.
    levels=((30.0, "4.1"), (60.0, "4.2")),
    audio_bps=128_000,
    audio_hz=48_000,
)

SOCIAL = Profile(
    name="social",
    version=1,
    label="Social-ready",
    jobs=("remux", "encode"),
    priority=Priority.NORMAL,
    eager=True,
    places=(YOUTUBE, FACEBOOK_REEL, INSTAGRAM_REEL, BROWSERS),
    targets=_SOCIAL_TARGETS,
)
# Small enough to begin at once on a slow line; then the original is its own preview.
_LIGHT = replace(
    BROWSERS,
    key="preview",
    place="a quick preview",
    max_width=1920,
    max_fps=60.0,
    max_video_bps=6_000_000,
)
PREVIEW = Profile(
    name="preview",
    version=1,
    label="Preview",
    jobs=("remux", "preview"),
    priority=Priority.SOON,
    eager=True,
    places=(_LIGHT,),
    targets=replace(
        _SOCIAL_TARGETS,
        long_side=640,
        short_side=360,
        fps=("24000/1001", "24", "25", "30000/1001", "30"),
        crf=27,
        # Nearly all the time goes into decoding. Of a noisy 1080p film of 10 s, in seconds of
        # processor, kB and SSIM: ultrafast 3.9, 731, 0.957; superfast 4.1, 577; veryfast 4.2,
        # 339, 0.951. (ffmpeg 5.1, -crf 27 -bf 0)
        preset="veryfast",
        max_bps=1_200_000,
        buffer_bits=2_400_000,
        audio_bps=64_000,
    ),
)
# Instagram fetches at most 300 MB: for films that are larger when made for all.
INSTAGRAM = Profile(
    name="instagram",
    version=1,
    label="Instagram, under 300 MB",
    jobs=("remux", "encode"),
    places=(INSTAGRAM_REEL, BROWSERS),
    targets=_SOCIAL_TARGETS,
    max_bytes=300_000_000,
    max_duration_s=900.0,
)
VERTICAL = Profile(
    name="vertical",
    version=1,
    label="Vertical, 9:16",
    jobs=("remux", "encode"),
    places=(YOUTUBE, FACEBOOK_REEL, INSTAGRAM_REEL, BROWSERS),
    targets=_SOCIAL_TARGETS,
    shape=(9, 16),
)
# Facebook takes Reels of 3 to 90 seconds.
REEL = replace(
    VERTICAL,
    name="reel",
    label="Reel, 9:16, the first 90 seconds",
    max_duration_s=90.0,
    cut=True,
)
STORYBOARD = Profile(
    name="storyboard", version=1, label="Storyboard", jobs=("storyboard",), eager=True
)
WAVEFORM = Profile(
    name="waveform",
    version=1,
    label="Waveform and loudness",
    jobs=("waveform",),
    eager=True,
    needs_sound=True,
)
AUDIO = Profile(name="audio", version=1, label="Sound alone", jobs=("audio",), needs_sound=True)

PROFILES = {
    profile.name: profile
    for profile in (
        *(SOCIAL, PREVIEW, INSTAGRAM, VERTICAL, REEL),
        *(STORYBOARD, WAVEFORM, AUDIO),
    )
}

# The row of the settings that admins change on a page: {profile: {field of its targets: value}}.
CHOICES = "profiles"


def current(name: str) -> Profile:
    """The profile as this box makes it now. Wants a connection. Raises KeyError."""
    return PROFILES[name].chosen(_chosen().get(name, {}))


def all_current() -> dict[str, Profile]:
    """All of them, by name, as this box makes them now. Wants a connection."""
    choices = _chosen()
    return {name: profile.chosen(choices.get(name, {})) for name, profile in PROFILES.items()}


def _chosen() -> dict[str, dict[str, Any]]:
    row = Setting.get_or_none(Setting.name == CHOICES)
    return row.value if row is not None else {}
