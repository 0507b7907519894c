"""Who encodes pictures: x264 on the processor, or hardware that was seen to work.

An encoder writes the part of ffmpeg's command that differs between them; what is to come out is
the same for all (profiles.Targets). Tried with ffmpeg 5.1 and 9.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings
    from tasks.profiles import Targets
    from tasks.transcode.plan import Picture

# The statistics that the first pass leaves for the second, in the job's folder.
PASS_LOG = "passes"


class Encoder(Protocol):
    """``name``: of the setting; ``label``: for people; ``devices``: what it needs of /dev."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def devices(self) -> tuple[Path, ...]: ...

    def input_options(self) -> list[str]:
        """Before the first ``-i``."""

    def filters_end(self) -> list[str]:
        """Filters behind ours, which end in yuv420p in the processor's memory."""

    def options(
        self,
        picture: Picture,
        targets: Targets,
        threads: int,
        *,
        bitrate_bps: int | None = None,
        pass_number: int | None = None,
    ) -> list[str]:
        """Of the output. ``bitrate_bps``: of the picture on average, instead of the targets'
        quality; ``pass_number``: 1 or 2, of two that reach it exactly (only x264 makes two)."""


def gop(picture: Picture, targets: Targets) -> int:
    """Pictures from one key frame to the next."""
    return round(float(Fraction(picture.fps)) * targets.gop_s)


@dataclass(frozen=True)
class X264:
    name: str = "x264"
    label: str = "x264 (processor)"
    devices: tuple[Path, ...] = ()

    def input_options(self) -> list[str]:
        return []

    def filters_end(self) -> list[str]:
        return []

    def options(
        self,
        picture: Picture,
        targets: Targets,
        threads: int,
        *,
        bitrate_bps: int | None = None,
        pass_number: int | None = None,
    ) -> list[str]:
        rate = ["-b:v", str(bitrate_bps)] if bitrate_bps else ["-crf", str(targets.crf)]
        frames = gop(picture, targets)
        passes = ["-pass", str(pass_number), "-passlogfile", PASS_LOG] if pass_number else []
        return [
            *("-c:v", "libx264", "-preset", targets.preset, "-profile:v", "high"),
            *("-level", picture.level, "-pix_fmt", "yuv420p", *rate),
            *("-maxrate", str(targets.max_bps), "-bufsize", str(targets.buffer_bits)),
            # Closed GOPs of one length. No B-frames: with them and without an edit list the
            # picture would start 67 ms after the sound.
            *("-g", str(frames), "-keyint_min", str(frames), "-sc_threshold", "0"),
            *("-flags", "+cgop", "-bf", "0", "-threads", str(threads), *passes),
        ]


SOFTWARE = X264()


def choose(settings: Settings) -> Encoder:
    """The encoder for pictures on this box now. Wants an open connection."""
    return SOFTWARE
