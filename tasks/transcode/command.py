"""Plans → command lines of ffmpeg. Pure.

What each option is for: robustness.md R16 and R17 (input), platforms.md §4 (output). Tried with
ffmpeg 5.1 and 9.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.models import Method
from tasks.probe.decoders import DECODERS
from tasks.probe.facts import FORMATS
from tasks.transcode.encoders import SOFTWARE
from tasks.transcode.picture import even

if TYPE_CHECKING:
    from tasks.profiles import Targets
    from tasks.transcode.encoders import Encoder
    from tasks.transcode.plan import Picture, Plan

# The names under which ffmpeg sees the files, in the job's folder.
INPUT, OUTPUT = "original", "made.mp4"
# Of what is decoded, so much may be broken: the beginning of a recording that was joined in the
# middle, a scratch. More is a film of frozen pictures; ffmpeg ends with this code.
MOST_BROKEN, TOO_BROKEN = 0.1, 69
# A picture of 8192 × 4320 in floating point, as tone mapping needs it, has 405 MiB.
MOST_AT_ONCE_BYTES = 1 << 30


def read_options(*, max_pixels: int) -> list[str]:
    """Before the ``-i`` of an untrusted file: nothing but this one file, and no giants.

    ``-max_pixels`` also holds for pictures that grow in the middle of a film.
    """
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", FORMATS),
        *("-codec_whitelist", DECODERS),
        *("-max_pixels", str(max_pixels), "-max_alloc", str(MOST_AT_ONCE_BYTES)),
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
    encoder: Encoder = SOFTWARE,
    pass_number: int | None = None,
) -> list[str]:
    """From ``INPUT`` to ``OUTPUT``, both in the folder that it runs in. Not for plans that leave.

    Progress goes to standard output (``-progress``), words to standard error.
    ``pass_number``: 1 or 2 of a plan with ``rate_bps``; the first leaves only statistics.
    """
    assert plan.method is not Method.LEAVE
    first = pass_number == 1
    silence = plan.encode_audio and plan.audio_index is None and not first
    seconds = max_duration_s if plan.cut_s is None else min(plan.cut_s, max_duration_s)
    return [
        *(ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y"),
        *("-progress", "pipe:1", "-max_error_rate", f"{MOST_BROKEN:g}"),
        *(encoder.input_options() if plan.picture is not None else ()),
        *read_options(max_pixels=max_pixels),
        *("-i", f"file:{INPUT}"),
        *(_silence(targets) if silence else ()),
        *("-map", f"0:{plan.video_index}"),
        *(() if first else _map_audio(plan, silence)),
        *("-map_metadata", "-1", "-map_chapters", "-1", "-sn", "-dn"),
        *_picture_options(plan, targets, threads, encoder, pass_number),
        *(() if first else _audio_options(plan, targets)),
        *(("-shortest",) if silence else ()),
        *("-max_muxing_queue_size", "4096"),
        *("-t", f"{seconds:g}", "-fs", str(max_bytes)),
        *(("-f", "null", "-") if first else (*_container_options(plan), f"file:{OUTPUT}")),
    ]


def _silence(targets: Targets) -> list[str]:
    return ["-f", "lavfi", "-i", f"anullsrc=r={targets.audio_hz}:cl=stereo"]


def _map_audio(plan: Plan, silence: bool) -> list[str]:
    if silence:
        return ["-map", "1:a"]
    return [] if plan.audio_index is None else ["-map", f"0:{plan.audio_index}"]


def _picture_options(
    plan: Plan, targets: Targets, threads: int, encoder: Encoder, pass_number: int | None
) -> list[str]:
    picture = plan.picture
    if picture is None:
        return ["-c:v", "copy"]
    options = encoder.options(
        picture, targets, threads, bitrate_bps=plan.rate_bps, pass_number=pass_number
    )
    return ["-vf", ",".join([filters(picture), *encoder.filters_end()]), *options]


def filters(picture: Picture) -> str:
    """The chain of filters; ffmpeg has turned the picture upright before the first of them."""
    chain = [_deinterlace(picture)] if picture.deinterlace else []
    # From the very beginning: a picture that comes later than the sound is shown from the start.
    chain.append(f"fps={picture.fps}:start_time=0")
    width, height = picture.inside or (picture.width, picture.height)
    if picture.tone_map:
        # Small first: what follows works in floating point.
        chain += [_say_what_it_is(picture), f"zscale={width}:{height}:filter=bicubic", *to_sdr()]
    else:
        chain.append(
            f"scale={width}:{height}:flags=bicubic:in_color_matrix={MATRIX[picture.from_matrix]}"
            ":out_color_matrix=bt709:out_range=tv"
        )
    chain += ["format=yuv420p", "setsar=1"]
    if picture.inside is not None:
        chain.append(_before_itself(picture, width, height))
    return ",".join([*chain, _BT709])


def _deinterlace(picture: Picture) -> str:
    # Pictures that aren't flagged would all be taken for "top field first".
    parity = {"top": ":parity=tff", "bottom": ":parity=bff"}.get(picture.parity, "")
    return f"bwdif=mode=send_frame{parity}"


def _say_what_it_is(picture: Picture) -> str:
    """zscale refuses pictures that don't say what they mean, as some phones' don't."""
    transfer = {"pq": "smpte2084", "hlg": "arib-std-b67"}[picture.transfer]
    matrix = picture.from_matrix if picture.from_matrix.startswith("bt2020") else "bt2020nc"
    return f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace={matrix}"


def _before_itself(picture: Picture, width: int, height: int) -> str:
    """The picture in the middle of the frame; around it the same, enlarged and blurred.

    The blur is done in an eighth of the size: nobody sees the difference, and it costs nothing.
    """
    small = f"{even(picture.width / 8)}:{even(picture.height / 8)}"
    left, top = (picture.width - width) // 4 * 2, (picture.height - height) // 4 * 2
    return (
        f"split[front][back];[back]scale={small}:force_original_aspect_ratio=increase,"
        f"crop={small},gblur=sigma=6,scale={picture.width}:{picture.height}:flags=bilinear,"
        f"setsar=1[blurred];[blurred][front]overlay={left}:{top}"
    )


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
MATRIX = {
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
