"""Command lines of ffmpeg: what must be in every one, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.models import Method
from tasks.profiles import SOCIAL
from tasks.sandbox_types import Ended
from tasks.transcode.command import ffmpeg_command
from tasks.transcode.plan import Plan, plan
from tasks.transcode.run import failure
from tests.tasks.test_plan import FITS, audio, video

REMUX = plan(replace(FITS, faststart=False), SOCIAL)
AUDIO = plan(replace(FITS, **audio(codec="opus")), SOCIAL)
SILENT = plan(replace(FITS, audio=None), SOCIAL)
TRANSCODE = plan(replace(FITS, **video(codec="vp9"), **audio(codec="opus")), SOCIAL)
HDR = plan(replace(FITS, **video(transfer="pq", pix_fmt="yuv420p10le")), SOCIAL)


def command(chosen: Plan) -> list[str]:
    return ffmpeg_command(
        chosen,
        SOCIAL.targets,
        ffmpeg="ffmpeg",
        threads=2,
        max_pixels=1000,
        max_duration_s=15,
        max_bytes=99,
    )


def has(words: list[str], *wanted: str) -> bool:
    return any(words[i : i + len(wanted)] == list(wanted) for i in range(len(words)))


@pytest.mark.parametrize("chosen", [REMUX, AUDIO, SILENT, TRANSCODE, HDR])
def test_every_command_guards_its_input_and_bounds_its_output(chosen: Plan) -> None:
    words = command(chosen)
    before_input = words[: words.index("file:original")]
    assert "-nostdin" in before_input
    assert has(before_input, "-protocol_whitelist", "file")
    assert "mov,mp4,matroska" in before_input[before_input.index("-format_whitelist") + 1]
    assert has(before_input, "-max_pixels", "1000")
    after_input = words[words.index("file:original") :]
    assert has(after_input, "-t", "15") and has(after_input, "-fs", "99")
    assert has(after_input, "-map_metadata", "-1") and {"-sn", "-dn"} <= set(after_input)
    assert has(after_input, "-use_editlist", "0")
    assert "+faststart" in after_input[after_input.index("-movflags") + 1]
    assert words[-1] == "file:made.mp4"


def test_remux_copies_both_tracks() -> None:
    words = command(REMUX)
    assert has(words, "-c:v", "copy") and has(words, "-c:a", "copy")
    assert has(words, "-map", "0:0") and has(words, "-map", "0:1")


def test_audio_method_copies_the_picture_only() -> None:
    words = command(AUDIO)
    assert has(words, "-c:v", "copy") and has(words, "-c:a", "aac") and has(words, "-ac", "2")


def test_silence_is_added_from_a_second_input() -> None:
    words = command(SILENT)
    assert has(words, "-i", "anullsrc=r=48000:cl=stereo")
    assert has(words, "-map", "1:a") and "-shortest" in words


def test_transcode_has_the_profile_of_all_platforms() -> None:
    words = command(TRANSCODE)
    for wanted in (
        ("-c:v", "libx264"),
        ("-profile:v", "high"),
        ("-level", "4.1"),
        ("-pix_fmt", "yuv420p"),
        ("-g", "60"),
        ("-keyint_min", "60"),
        ("-sc_threshold", "0"),
        ("-flags", "+cgop"),
        ("-bf", "0"),
        ("-maxrate", "10000000"),
        ("-b:a", "128000"),
        ("-threads", "2"),
    ):
        assert has(words, *wanted), wanted
    assert "fps=30:start_time=0,scale=1080:1920" in words[words.index("-vf") + 1]


def test_hdr_is_tone_mapped_after_it_was_made_small() -> None:
    chain = command(HDR)[command(HDR).index("-vf") + 1]
    assert chain.index("zscale=1080:1920") < chain.index("tonemap=")


def test_leaving_a_file_alone_has_no_command() -> None:
    with pytest.raises(AssertionError):
        command(Plan(method=Method.LEAVE, video_index=0, audio_index=1))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-9, "encoder_crashed"),
        (128 + 11, "encoder_crashed"),  # as bubblewrap says it
        (128 + 24, "encoder_crashed"),  # too much processor time
        (1, "encode_failed"),
        (183, "encode_failed"),  # ffmpeg 6 and later: invalid data
        (234, "encode_failed"),  # and: invalid argument
    ],
)
def test_codes_of_ffmpeg_are_not_taken_for_signals(code: int, kind: str) -> None:
    """What is wrong with the file is not tried again."""
    found = failure(Ended(code, b"", "Invalid data found"))
    assert (found.code, found.permanent) == (kind, kind == "encode_failed")
