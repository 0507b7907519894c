"""What jobs take, and how much work they are: by kind, picture and film."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.capacity import NOTHING, cost_of, work_of
from tasks.probe.facts import Probe, VideoTrack
from tasks.profiles import INSTAGRAM, PREVIEW, SOCIAL, VERTICAL
from tasks.room import estimate_bytes


def film(width: int, height: int, *, pix_fmt: str = "yuv420p", fps: float = 30.0) -> Probe:
    shown: dict[str, Any] = {"shown_width": width, "shown_height": height}
    track = VideoTrack(
        index=0,
        codec="h264",
        profile="High",
        level=40,
        pix_fmt=pix_fmt,
        width=width,
        height=height,
        turned=False,
        sar=(1, 1),
        fps=fps,
        variable=False,
        interlaced=False,
        matrix="bt709",
        transfer="bt709",
        full_range=False,
        bit_rate=None,
        first_s=0.0,
        pictures_seen=30,
        longest_gop_s=1.0,
        decodes=True,
        **shown,
    )
    return Probe(size_bytes=10_000_000, format="mov,mp4", duration_s=60.0, video=track)


@pytest.mark.parametrize(
    ("kind", "profile", "probe", "cores"),
    [
        ("encode", SOCIAL, film(160, 120), 1),
        ("encode", SOCIAL, film(640, 360), 1),
        ("encode", SOCIAL, film(1280, 720), 2),
        ("encode", SOCIAL, film(1920, 1080), 4),
        ("encode", SOCIAL, film(1080, 1920), 4),
        ("encode", SOCIAL, film(7680, 4320), 4),
        ("encode", VERTICAL, film(640, 360), 4),
        ("encode", SOCIAL, None, 4),
        ("preview", PREVIEW, film(640, 360), 1),
        ("preview", PREVIEW, film(1920, 1080), 2),
        ("preview", PREVIEW, film(3840, 2160), 4),
        ("remux", SOCIAL, film(1920, 1080), 0),
        ("probe", None, None, 0),
        ("poster", None, film(1920, 1080), 0),
        ("publish", None, None, 0),
    ],
)
def test_the_cores_follow_the_picture(kind: str, profile: Any, probe: Any, cores: int) -> None:
    assert cost_of(kind, profile, probe).cores == cores


def test_what_people_wait_for_costs_nothing() -> None:
    assert cost_of("remux", SOCIAL, film(7680, 4320)) == NOTHING


# The peaks that were measured with ffmpeg 5.1 and four threads: a cost must cover them, and not
# keep twice as much from others (of films with one reference picture; real ones have more).
@pytest.mark.parametrize(
    ("profile", "probe", "measured_mib"),
    [
        (SOCIAL, film(1920, 1080), 339),
        (SOCIAL, film(3840, 2160), 407),
        (SOCIAL, film(3840, 2160, pix_fmt="yuv420p10le"), 592),
        (SOCIAL, film(7680, 4320), 741),
        (PREVIEW, film(1920, 1080), 111),
        (PREVIEW, film(3840, 2160, pix_fmt="yuv420p10le"), 349),
    ],
)
def test_the_memory_covers_what_was_measured(profile: Any, probe: Probe, measured_mib: int) -> None:
    kind = profile.jobs[-1]
    assert measured_mib <= cost_of(kind, profile, probe).memory_mib <= 2 * measured_mib


def test_tone_mapping_takes_more_memory() -> None:
    plain = film(3840, 2160, pix_fmt="yuv420p10le")
    assert plain.video is not None
    hdr = replace(plain, video=replace(plain.video, transfer="pq"))
    assert (
        cost_of("encode", SOCIAL, hdr).memory_mib
        > cost_of("encode", SOCIAL, plain).memory_mib + 200
    )


def test_work_grows_with_length_rate_and_picture() -> None:
    one = work_of("encode", SOCIAL, film(1920, 1080))
    assert work_of("encode", SOCIAL, replace(film(1920, 1080), duration_s=120.0)) == 2 * one
    assert work_of("encode", SOCIAL, film(1920, 1080, fps=60)) == 2 * one
    # A larger source is decoded in full and encoded at the size of the targets.
    assert one < work_of("encode", SOCIAL, film(3840, 2160)) < 2 * one


def test_work_of_copies_is_bytes_of_sound_seconds_and_of_the_unknown_none() -> None:
    probe = film(1920, 1080)
    assert work_of("remux", SOCIAL, probe) == work_of("probe", None, probe) == 10_000_000
    assert work_of("poster", None, probe) == 60.0
    assert work_of("encode", SOCIAL, None) == 0.0


def test_room_is_kept_for_what_the_first_of_two_passes_notes() -> None:
    """x264 notes two bytes for each of the 8160 macroblocks of each picture."""
    long = replace(film(1920, 1080), duration_s=600.0, size_bytes=10**9)
    assert estimate_bytes(long, INSTAGRAM) > INSTAGRAM.max_bytes + 600 * 30 * 2 * 3600  # type: ignore[operator]  # it has a limit
    short = replace(long, duration_s=60.0)
    assert estimate_bytes(short, INSTAGRAM) == estimate_bytes(short, SOCIAL)
