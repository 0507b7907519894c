"""The planner: as little work as every place accepts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.models import Method
from tasks.probe.facts import AudioTrack, Edits, Probe, VideoTrack
from tasks.profiles import SOCIAL
from tasks.transcode.plan import choose_fps, fit, plan, plan_picture

VIDEO = VideoTrack(
    index=0,
    codec="h264",
    profile="High",
    level=41,
    pix_fmt="yuv420p",
    width=1080,
    height=1920,
    shown_width=1080,
    shown_height=1920,
    turned=False,
    sar=(1, 1),
    fps=30.0,
    variable=False,
    interlaced=False,
    matrix="bt709",
    transfer="bt709",
    full_range=False,
    bit_rate=8_000_000,
    first_s=0.0,
    pictures_seen=60,
    longest_gop_s=2.0,
    decodes=True,
)
AUDIO = AudioTrack(
    index=1, codec="aac", profile="LC", rate_hz=48000, channels=2, bit_rate=128000, first_s=0.0
)
FITS = Probe(
    size_bytes=10_000_000,
    format="mov,mp4,m4a,3gp,3g2,mj2",
    brand="isom",
    duration_s=10.0,
    video=VIDEO,
    audio=AUDIO,
    tracks=2,
    faststart=True,
)


def video(**changes: Any) -> dict[str, Any]:
    return {"video": replace(VIDEO, **changes)}


def audio(**changes: Any) -> dict[str, Any]:
    return {"audio": replace(AUDIO, **changes)}


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        pytest.param({}, Method.LEAVE, id="fits"),
        pytest.param(video(fps=24000 / 1001), Method.LEAVE, id="film rate"),
        pytest.param(video(fps=60000 / 1001), Method.LEAVE, id="59.94"),
        pytest.param(video(pix_fmt="yuvj420p"), Method.LEAVE, id="full range"),
        pytest.param(audio(rate_hz=44100, channels=1), Method.LEAVE, id="mono at 44.1 kHz"),
        pytest.param({"faststart": False}, Method.REMUX, id="index last"),
        pytest.param({"edits": Edits.SHIFT}, Method.REMUX, id="edit list"),
        pytest.param({"brand": "qt  "}, Method.REMUX, id="mov"),
        pytest.param({"format": "matroska,webm", "faststart": None}, Method.REMUX, id="mkv"),
        pytest.param({"fragmented": True}, Method.REMUX, id="fragmented"),
        pytest.param({"other_tracks": 1, "tracks": 3}, Method.REMUX, id="timecode track"),
        pytest.param({"has_location": True}, Method.REMUX, id="tells the place"),
        pytest.param({"audio": None, "tracks": 1}, Method.AUDIO, id="silent"),
        pytest.param(audio(codec="opus"), Method.AUDIO, id="opus"),
        pytest.param(audio(profile="HE-AAC"), Method.AUDIO, id="aac that isn't LC"),
        pytest.param(audio(rate_hz=96000), Method.AUDIO, id="96 kHz"),
        pytest.param(audio(channels=6), Method.AUDIO, id="5.1"),
        pytest.param(video(codec="hevc"), Method.TRANSCODE, id="hevc"),
        pytest.param(video(codec="prores", pix_fmt="yuv422p10le"), Method.TRANSCODE, id="prores"),
        pytest.param(video(pix_fmt="yuv420p10le"), Method.TRANSCODE, id="10 bit"),
        pytest.param(video(transfer="hlg"), Method.TRANSCODE, id="hdr"),
        pytest.param(video(width=3840, height=2160), Method.TRANSCODE, id="4k lying"),
        pytest.param(video(fps=120.0), Method.TRANSCODE, id="120 fps"),
        pytest.param(video(fps=15.0), Method.TRANSCODE, id="15 fps"),
        pytest.param(video(variable=True), Method.TRANSCODE, id="variable rate"),
        pytest.param(video(interlaced=True), Method.TRANSCODE, id="interlaced"),
        pytest.param(video(turned=True), Method.TRANSCODE, id="turned by a note"),
        pytest.param(video(sar=(4, 3)), Method.TRANSCODE, id="anamorphic"),
        pytest.param(video(width=853), Method.TRANSCODE, id="odd width"),
        pytest.param(video(bit_rate=40_000_000), Method.TRANSCODE, id="40 Mbit/s"),
        pytest.param(video(bit_rate=None) | {"size_bytes": 60_000_000}, Method.TRANSCODE,
                     id="48 Mbit/s by size"),
        pytest.param({"edits": Edits.CUT}, Method.TRANSCODE, id="cut by an edit list"),
    ],
)  # fmt: skip
def test_cheapest_way_that_all_places_accept(changes: dict[str, Any], method: Method) -> None:
    chosen = plan(replace(FITS, **changes), SOCIAL)
    assert chosen.method is method
    assert bool(chosen.reasons) == (method is not Method.LEAVE)
    assert (chosen.picture is not None) == (method is Method.TRANSCODE)
    assert method is not Method.AUDIO or chosen.encode_audio


def test_sound_that_fits_is_copied_beside_a_new_picture() -> None:
    assert not plan(replace(FITS, **video(codec="vp9")), SOCIAL).encode_audio


def test_each_reason_is_said_once_with_the_places_that_mind() -> None:
    (reason,) = plan(replace(FITS, **video(codec="vp9")), SOCIAL).reasons
    assert reason == "vp9 isn't taken (Instagram Reels, the player of this box)"


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((1920, 1080), (1920, 1080)),
        ((1080, 1920), (1080, 1920)),
        ((3840, 2160), (1920, 1080)),
        ((2160, 3840), (1080, 1920)),
        ((1440, 1440), (1080, 1080)),
        ((4000, 1000), (1920, 480)),
        ((640, 360), (640, 360)),
        ((853, 481), (852, 480)),
        ((16, 4000), (6, 1920)),
    ],
)
def test_fits_without_enlarging_and_keeps_the_shape(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert fit(*size, SOCIAL.targets) == fitted


@pytest.mark.parametrize(
    ("fps", "variable", "chosen"),
    [
        (30.0, False, "30"),
        (29.97, False, "30000/1001"),
        (23.976, False, "24000/1001"),
        (25.0, False, "25"),
        (59.94, False, "60000/1001"),
        (120.0, False, "60"),
        (100.0, False, "50"),
        (240.0, False, "60"),
        (48.0, False, "24"),
        (15.0, False, "30"),
        (12.5, False, "25"),
        (10.0, False, "30"),
        (17.3, False, "30"),
        (0.0, False, "30"),
        (29.4, True, "30"),
        (57.0, True, "60"),
        (8.0, True, "30"),
    ],
)
def test_frame_rate(fps: float, variable: bool, chosen: str) -> None:
    assert choose_fps(fps, variable, SOCIAL.targets.fps) == chosen


@pytest.mark.parametrize(
    ("changes", "level"), [({"fps": 30.0}, "4.1"), ({"fps": 60.0}, "4.2"), ({"fps": 29.97}, "4.1")]
)
def test_level_follows_the_rate(changes: dict[str, Any], level: str) -> None:
    assert plan_picture(replace(VIDEO, **changes), SOCIAL.targets).level == level


@pytest.mark.parametrize(
    ("changes", "matrix"),
    [
        ({"matrix": ""}, "bt709"),
        ({"matrix": "", "width": 640, "height": 480}, "bt601"),
        ({"matrix": "bt470bg"}, "bt470bg"),
    ],
)
def test_untagged_colours_are_guessed_by_size(changes: dict[str, Any], matrix: str) -> None:
    assert plan_picture(replace(VIDEO, **changes), SOCIAL.targets).from_matrix == matrix


def test_a_probe_survives_the_database() -> None:
    assert Probe.from_dict(FITS.to_dict()) == FITS
