"""Who encodes pictures: x264 on the processor, or hardware that was seen to work.

Which of them does it on this box is said by tasks/transcode/proof.py. An encoder writes the part
of ffmpeg's command that differs between them; what is to come out is the same for all
(profiles.Targets). Tried with ffmpeg 5.1 and 9.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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

    @property
    def address_space_bytes(self) -> int:
        """What its driver maps beside what ffmpeg itself takes."""

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
    address_space_bytes: int = 0

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

# Bits for each pixel where hardware can't be told a quality, but only a rate.
_BITS_PER_PIXEL = 0.1
_GIB = 1024**3
_NVIDIA = ("nvidiactl", "nvidia0", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")


def usual_bps(picture: Picture, targets: Targets) -> int:
    """A rate at which most films look good, within that of the targets."""
    pixels_per_s = picture.width * picture.height * float(Fraction(picture.fps))
    return min(targets.max_bps, round(pixels_per_s * _BITS_PER_PIXEL))


def _limits(picture: Picture, targets: Targets) -> list[str]:
    """What holds for all hardware: the most bits, closed GOPs of one length, no B-frames."""
    return [
        *("-maxrate", str(targets.max_bps), "-bufsize", str(targets.buffer_bits)),
        *("-g", str(gop(picture, targets)), "-flags", "+cgop", "-bf", "0"),
    ]


@dataclass(frozen=True)
class Nvenc:
    """NVIDIA. Source: ffmpeg -h encoder=h264_nvenc; the presets p1 to p7 need ffmpeg 4.4."""

    name: str = "nvenc"
    label: str = "NVENC (NVIDIA)"
    devices: tuple[Path, ...] = field(default=tuple(Path("/dev", name) for name in _NVIDIA))
    # CUDA reserves addresses for all memory of machine and card; little of it is ever used.
    address_space_bytes: int = 512 * _GIB

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
        # At the same number its pictures look somewhat better than x264's, and are larger.
        quality = ["-cq", str(targets.crf + 2), "-b:v", "0"]
        rate = ["-b:v", str(bitrate_bps)] if bitrate_bps else quality
        return [
            *("-c:v", "h264_nvenc", "-preset", "p5", "-tune", "hq", "-profile:v", "high"),
            *("-level", picture.level, "-pix_fmt", "yuv420p", "-rc", "vbr", *rate),
            *_limits(picture, targets),
            *("-strict_gop", "1", "-forced-idr", "1", "-no-scenecut", "1", "-spatial-aq", "1"),
        ]


@dataclass(frozen=True)
class Vaapi:
    """AMD and Intel, by Mesa's or Intel's driver. Source: trac.ffmpeg.org/wiki/Hardware/VAAPI."""

    device: Path
    name: str = "vaapi"
    label: str = "VAAPI (AMD, Intel)"
    address_space_bytes: int = 32 * _GIB

    @property
    def devices(self) -> tuple[Path, ...]:
        return (self.device,)

    def input_options(self) -> list[str]:
        return ["-vaapi_device", str(self.device)]

    def filters_end(self) -> list[str]:
        return ["format=nv12", "hwupload"]

    def options(
        self,
        picture: Picture,
        targets: Targets,
        threads: int,
        *,
        bitrate_bps: int | None = None,
        pass_number: int | None = None,
    ) -> list[str]:
        # A quality with a limit to the rate is known to some drivers only.
        bps = bitrate_bps or usual_bps(picture, targets)
        return [
            *("-c:v", "h264_vaapi", "-profile:v", "high", "-level", _level(picture)),
            *("-rc_mode", "VBR", "-b:v", str(bps), *_limits(picture, targets)),
        ]


@dataclass(frozen=True)
class Qsv:
    """Intel Quick Sync. Source: trac.ffmpeg.org/wiki/Hardware/QuickSync."""

    device: Path
    name: str = "qsv"
    label: str = "Quick Sync (Intel)"
    address_space_bytes: int = 32 * _GIB

    @property
    def devices(self) -> tuple[Path, ...]:
        return (self.device,)

    def input_options(self) -> list[str]:
        return ["-qsv_device", str(self.device)]

    def filters_end(self) -> list[str]:
        return ["format=nv12"]

    def options(
        self,
        picture: Picture,
        targets: Targets,
        threads: int,
        *,
        bitrate_bps: int | None = None,
        pass_number: int | None = None,
    ) -> list[str]:
        bps = bitrate_bps or usual_bps(picture, targets)
        return [
            *("-c:v", "h264_qsv", "-preset", "medium", "-profile:v", "high"),
            *("-level", _level(picture), "-b:v", str(bps), *_limits(picture, targets)),
            *("-forced_idr", "1", "-adaptive_i", "0"),
        ]


def choose(settings: Settings) -> Encoder:
    """The encoder for pictures on this box now. Wants an open connection."""
    from tasks.transcode import proof  # which proves these, with all that looks at films

    return proof.choose(settings)


def _level(picture: Picture) -> str:
    """As a number: "4.1" is 41."""
    return picture.level.replace(".", "")
