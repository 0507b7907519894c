"""Plans → command lines of ffmpeg. Pure.

What each option is for: robustness.md R16 and R17 (input), platforms.md §4 (output). Tried with
ffmpeg 5.1 and 9.0.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.models import Method
from tasks.probe.facts import FORMATS

if TYPE_CHECKING:
    from tasks.profiles import Targets
    from tasks.transcode.plan import Picture, Plan

# The names under which ffmpeg sees the files, in the job's folder.
INPUT, OUTPUT = "original", "made.mp4"


def read_options(*, max_pixels: int) -> list[str]:
    """Before the ``-i`` of an untrusted file: nothing but this one file, and no giants."""
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", FORMATS),
        *("-max_pixels", str(max_pixels)),
    ]


def ffmpeg_command(
    plan: Plan,
    targets: Targets,
    *,
    ffmpeg: str,
    threads: int,
    max_pixels: int,
    max_duration_s: float,
    max_bytes: int,
) -> list[str]:
    """From ``INPUT`` to ``OUTPUT``, both in the folder that it runs in. Not for plans that leave.

    Progress goes to standard output (``-progress``), words to standard error.
    """
    assert plan.method is not Method.LEAVE
    silence = plan.encode_audio and plan.audio_index is None
    return [
        *(ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y"),
        *("-progress", "pipe:1"),
        *read_options(max_pixels=max_pixels),
        *("-i", f"file:{INPUT}"),
        *(_silence(targets) if silence else ()),
        *("-map", f"0:{plan.video_index}"),
        *_map_audio(plan, silence),
        *("-map_metadata", "-1", "-map_chapters", "-1", "-sn", "-dn"),
        *_picture_options(plan.picture, targets, threads),
        *_audio_options(plan, targets),
        *(("-shortest",) if silence else ()),
        *("-max_muxing_queue_size", "4096"),
        *("-t", f"{max_duration_s:g}", "-fs", str(max_bytes)),
        *_container_options(plan),
        f"file:{OUTPUT}",
    ]


def _silence(targets: Targets) -> list[str]:
    return ["-f", "lavfi", "-i", f"anullsrc=r={targets.audio_hz}:cl=stereo"]


def _map_audio(plan: Plan, silence: bool) -> list[str]:
    if silence:
        return ["-map", "1:a"]
    return [] if plan.audio_index is None else ["-map", f"0:{plan.audio_index}"]


def _picture_options(picture: Picture | None, targets: Targets, threads: int) -> list[str]:
    if picture is None:
        return ["-c:v", "copy"]
    gop = round(float(Fraction(picture.fps)) * targets.gop_s)
    return [
        *("-vf", filters(picture)),
        *("-c:v", "libx264", "-preset", targets.preset, "-profile:v", "high"),
        *("-level", picture.level, "-pix_fmt", "yuv420p", "-crf", str(targets.crf)),
        *("-maxrate", str(targets.max_bps), "-bufsize", str(targets.buffer_bits)),
        # Closed GOPs of one length. No B-frames: with them and without an edit list the picture
        # would start 67 ms after the sound.
        *("-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", "-flags", "+cgop"),
        *("-bf", "0", "-threads", str(threads)),
    ]


def filters(picture: Picture) -> str:
    """The chain of filters; ffmpeg has turned the picture upright before the first of them."""
    chain = ["bwdif=mode=send_frame"] if picture.deinterlace else []
    chain.append(f"fps={picture.fps}")
    size = f"{picture.width}:{picture.height}"
    if picture.tone_map:
        # Small first: what follows works in floating point.
        chain += [f"zscale={size}:filter=bicubic", *to_sdr()]
    else:
        chain.append(
            f"scale={size}:flags=bicubic:in_color_matrix={_MATRIX[picture.from_matrix]}"
            ":out_color_matrix=bt709:out_range=tv"
        )
    return ",".join([*chain, "format=yuv420p", "setsar=1", _BT709])


def to_sdr() -> list[str]:
    """Filters from HDR (PQ or HLG, BT.2020) to BT.709."""
    return [
        "zscale=t=linear:npl=100",
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=hable:desat=0",
        "zscale=t=bt709:m=bt709:r=tv",
    ]


# On the pictures, not as options of the output: newer ffmpegs take what the pictures say.
_BT709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"

# Names of the matrices in the scale filter.
_MATRIX = {
    "bt709": "bt709",
    "bt601": "bt601",
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}


def _audio_options(plan: Plan, targets: Targets) -> list[str]:
    if not plan.encode_audio:
        return [] if plan.audio_index is None else ["-c:a", "copy"]
    options = [
        *("-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(targets.audio_bps)),
        *("-ar", str(targets.audio_hz), "-ac", "2"),
    ]
    # The encoder puts 1024 samples of silence before the sound. Without an edit list that would
    # delay all sound by 21 ms, or stretch the first picture by as much; so they replace as many.
    trim = "atrim=start_sample=1024"
    # Holes in the sound become silence, so that it stays with the picture.
    fill = "aresample=async=1:first_pts=0," if plan.audio_index is not None else ""
    return [*options, "-af", fill + trim]


def _container_options(plan: Plan) -> list[str]:
    flags = "+faststart"
    if plan.picture is None:
        # B-frames that are copied need times before zero: in the samples, not in an edit list.
        flags += "+negative_cts_offsets"
    return ["-f", "mp4", "-movflags", flags, "-use_editlist", "0"]
