"""The planner: as little work as every place accepts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from appliance.models import Method
from tasks.acceptance import has_shape
from tasks.probe.facts import AudioTrack, Chapter, Edits, Probe, Track, VideoTrack
from tasks.profiles import INSTAGRAM, PROFILES, REEL, SOCIAL, VERTICAL
from tasks.transcode.budget import LEAST_BITS_PER_PIXEL, rate_within, shrink
from tasks.transcode.picture import fit_in, frame
from tasks.transcode.plan import Impossible, choose_fps, encode_anyway, fit, plan, plan_picture

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
        pytest.param(video(bit_rate=40_000_000) | {"size_bytes": 52_000_000}, Method.TRANSCODE,
                     id="40 Mbit/s"),
        pytest.param(video(bit_rate=104_857_200), Method.LEAVE, id="a header that exaggerates"),
        pytest.param(video(bit_rate=None) | {"size_bytes": 60_000_000}, Method.TRANSCODE,
                     id="48 Mbit/s by size"),
        pytest.param({"edits": Edits.CUT}, Method.TRANSCODE, id="cut by an edit list"),
        pytest.param({"chapters": (Chapter(0.0, "One"),)}, Method.REMUX, id="chapters"),
        pytest.param(audio(first_s=0.5), Method.AUDIO, id="late sound"),
        pytest.param(audio(first_s=0.05), Method.LEAVE, id="sound a little later"),
        pytest.param(video(first_s=0.5), Method.TRANSCODE, id="late picture"),
        pytest.param(video(closed_gop=False), Method.TRANSCODE, id="open groups"),
        pytest.param(video(closed_gop=None), Method.LEAVE, id="one group"),
        pytest.param(video(longest_gop_s=10.43), Method.LEAVE, id="250 pictures of film"),
        pytest.param(video(longest_gop_s=20.0), Method.TRANSCODE, id="20 s without a keyframe"),
        pytest.param(video(dolby_vision=8, transfer="hlg"), Method.TRANSCODE, id="dolby vision"),
        pytest.param(video(dolby_vision=5), Method.TRANSCODE, id="dolby vision alone"),
        pytest.param({"size_bytes": 500_000_000, "duration_s": 600.0}, Method.LEAVE,
                     id="more than one place takes"),
        pytest.param({"duration_s": 7200.0, "size_bytes": 10**9}, Method.LEAVE, id="two hours"),
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
    tracks = (Track(0, "video", "h264", "deu", "Film", True, False, 0.0), Track(1, "data"))
    full = replace(
        FITS, all_tracks=tracks, chapters=(Chapter(1.5, "Lake"),), timecode="01:00:00:00"
    )
    assert Probe.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_facts_of_older_versions_still_load() -> None:
    old = FITS.to_dict()
    for name in ("all_tracks", "chapters", "start_s", "timecode"):
        del old[name]
    for name in ("rotation", "primaries", "field_order", "b_frames", "closed_gop", "dolby_vision"):
        del old["video"][name]
    for name in ("language", "layout"):
        del old["audio"][name]
    assert Probe.from_dict({**old, "something": "newer"}) == FITS
    assert Probe.from_dict({}) == Probe(size_bytes=0)


# Budgets, lengths, shapes


def lasting(seconds: float, megabytes: float, **changes: Any) -> Probe:
    return replace(FITS, duration_s=seconds, size_bytes=int(megabytes * 1e6), **changes)


@pytest.mark.parametrize(
    ("probe", "method", "rate_bps", "size"),
    [
        pytest.param(lasting(600, 290), Method.LEAVE, None, None, id="fits"),
        pytest.param(lasting(600, 290, faststart=False), Method.REMUX, None, None, id="repacked"),
        # 0.95 × 300 MB × 8 / 600 s − 192 kbit/s of sound
        pytest.param(lasting(600, 301), Method.TRANSCODE, 3_608_000, (1080, 1920), id="too large"),
        pytest.param(lasting(900, 700), Method.TRANSCODE, 2_341_333, (720, 1280), id="15 minutes"),
        pytest.param(lasting(900, 700, **video(fps=60.0)), Method.TRANSCODE, 2_341_333,
                     (720, 1280), id="15 minutes of 60"),
        pytest.param(lasting(220, 301), Method.TRANSCODE, None, (1080, 1920), id="quality fits"),
        pytest.param(lasting(240, 301), Method.TRANSCODE, 9_308_000, (1080, 1920),
                     id="quality might not"),
        pytest.param(lasting(900, 100, **video(codec="vp9", width=640, height=360, shown_width=640,
                     shown_height=360)), Method.TRANSCODE, 2_341_333, (640, 360), id="small vp9"),
    ],
)  # fmt: skip
def test_a_size_budget_is_kept(
    probe: Probe, method: Method, rate_bps: int | None, size: tuple[int, int] | None
) -> None:
    chosen = plan(probe, INSTAGRAM)
    assert (chosen.method, chosen.rate_bps) == (method, rate_bps)
    assert chosen.passes == (1 if rate_bps is None else 2)
    if size is not None:
        assert chosen.picture is not None
        assert (chosen.picture.width, chosen.picture.height) == size
    if rate_bps is not None:
        assert (rate_bps + 192_000) * probe.duration_s / 8 <= 0.951 * 300e6


def test_sixty_pictures_become_thirty_before_the_size_falls_below_720() -> None:
    chosen = plan(lasting(900, 700, **video(fps=60.0)), INSTAGRAM)
    assert chosen.picture is not None
    assert (chosen.picture.fps, chosen.picture.level) == ("30", "4.1")


@pytest.mark.parametrize("bps", [100_000, 500_000, 1_000_000, 3_000_000, 9_000_000])
@pytest.mark.parametrize("fps", [25.0, 30.0, 60.0])
def test_no_picture_is_given_too_few_bits_unless_it_is_the_smallest(bps: int, fps: float) -> None:
    picture = plan_picture(replace(VIDEO, fps=fps), SOCIAL.targets)
    small = shrink(picture, bps, SOCIAL.targets)
    pixels_per_s = small.width * small.height * float(small.fps)
    assert small.width == 360 or bps >= LEAST_BITS_PER_PIXEL * pixels_per_s
    assert small.width * 16 == pytest.approx(small.height * 9, rel=0.01)


def test_two_passes_only_where_quality_could_need_too_much() -> None:
    worst = (100 * (10_000_000 + 128_000) + 16_000_000) / 8 * 1.01
    assert rate_within(int(worst) + 1, 100, SOCIAL.targets, 128_000) is None
    assert rate_within(int(worst) - 1, 100, SOCIAL.targets, 128_000) == pytest.approx(
        0.95 * worst * 8 / 100 - 128_000, rel=1e-6
    )


def test_rich_sound_is_encoded_where_bits_are_short() -> None:
    rich = plan(lasting(900, 700, **audio(bit_rate=510_000)), INSTAGRAM)
    modest = plan(lasting(900, 700), INSTAGRAM)
    assert (rich.encode_audio, modest.encode_audio) == (True, False)


def test_what_is_too_long_for_a_profile_is_refused_with_both_lengths() -> None:
    for decide in (plan, lambda probe, profile: encode_anyway(probe, profile, "anyway")):
        with pytest.raises(Impossible, match="20 min.* at most 15 min") as refused:
            decide(lasting(1200, 100), INSTAGRAM)
        assert refused.value.code == "too_long"


@pytest.mark.parametrize(
    ("probe", "method", "cut_s"),
    [
        pytest.param(lasting(60, 20), Method.LEAVE, None, id="short and vertical"),
        pytest.param(lasting(95, 20), Method.REMUX, 89.9, id="long and vertical"),
        pytest.param(lasting(95, 20, **audio(channels=6)), Method.AUDIO, 89.9, id="with 5.1"),
        pytest.param(lasting(95, 20, **video(shown_width=1920, shown_height=1080)),
                     Method.TRANSCODE, 89.9, id="long and lying"),
    ],
)  # fmt: skip
def test_a_reel_is_cut_at_ninety_seconds(probe: Probe, method: Method, cut_s: float | None) -> None:
    chosen = plan(probe, REEL)
    assert (chosen.method, chosen.cut_s) == (method, cut_s)
    assert chosen.seconds(probe) == min(probe.duration_s, cut_s or 90.0)


@pytest.mark.parametrize(
    ("size", "outer", "inner"),
    [
        ((1920, 1080), (1080, 1920), (1080, 606)),
        ((3840, 2160), (1080, 1920), (1080, 606)),
        ((1280, 720), (1080, 1920), (1080, 606)),
        ((640, 360), (640, 1136), (638, 360)),
        ((320, 240), (540, 960), (540, 404)),
        ((1080, 1350), (1080, 1920), (1080, 1350)),
        ((1080, 1080), (1080, 1920), (1080, 1080)),
        ((1080, 2400), (1080, 1920), (864, 1920)),
    ],
)
def test_a_vertical_frame_holds_the_whole_picture(
    size: tuple[int, int], outer: tuple[int, int], inner: tuple[int, int]
) -> None:
    video = replace(VIDEO, shown_width=size[0], shown_height=size[1])
    picture = plan_picture(video, VERTICAL.targets, VERTICAL.shape)
    assert (picture.width, picture.height) == outer
    assert picture.inside == pytest.approx(inner, abs=2)


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (1078, 1920), (540, 960)])
def test_what_is_vertical_already_stays(size: tuple[int, int]) -> None:
    width, height = size
    probe = replace(
        FITS, **video(width=width, height=height, shown_width=width, shown_height=height)
    )
    assert plan(probe, VERTICAL).method is Method.LEAVE


@pytest.mark.parametrize("size", [(16, 16), (33, 4000), (4000, 33), (999, 1777), (7680, 4320)])
def test_frames_are_even_and_hold_what_they_should(size: tuple[int, int]) -> None:
    outer = frame(*size, (9, 16), VERTICAL.targets)
    inner = fit_in(*size, *outer)
    assert all(side % 2 == 0 for side in (*outer, *inner))
    assert has_shape(*outer, (9, 16))
    assert inner[0] <= outer[0] <= 1080 and inner[1] <= outer[1] <= 1920


def test_what_a_profile_has_made_is_left_alone_by_it() -> None:
    """The result is held to the same plan: nothing may be left to do."""
    for profile in PROFILES.values():
        if profile.targets is None:
            continue
        chosen = plan(lasting(80, 300, **video(codec="vp9")), profile)
        assert chosen.picture is not None
        made = replace(
            FITS,
            duration_s=80.0,
            size_bytes=40_000_000,
            **video(
                width=chosen.picture.width,
                height=chosen.picture.height,
                shown_width=chosen.picture.width,
                shown_height=chosen.picture.height,
                fps=float(chosen.picture.fps),
                bit_rate=4_000_000,
            ),
        )
        assert plan(made, profile).method is Method.LEAVE, profile.name
