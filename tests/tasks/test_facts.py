"""What the child reports, made into facts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from tasks.probe.child import declared_matroska, dolby_vision_profile, pace, shape_of
from tasks.probe.facts import Chapter, Edits, Probe, _edits, parse
from tasks.probe.look import CHILD, look
from tests import media
from tests.media_corpus import CASES
from tests.tasks.test_sandbox import context

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings


@pytest.mark.parametrize(
    ("edits", "meaning"),
    [
        pytest.param([], Edits.NONE, id="none"),
        pytest.param([[[2.0, 0.067]], [[2.0, 0.021]]], Edits.SHIFT, id="as ffmpeg writes"),
        pytest.param([[[0.1, -1.0], [2.0, 0.0]]], Edits.SHIFT, id="starts a little later"),
        pytest.param([[[2.0, 5.0]]], Edits.CUT, id="begins in the middle"),
        pytest.param([[[1.0, 0.0], [1.0, 4.0]]], Edits.CUT, id="two pieces"),
        pytest.param([[[3.0, -1.0], [2.0, 0.0]]], Edits.CUT, id="waits for long"),
    ],
)
def test_edit_lists(edits: list[list[list[float]]], meaning: Edits) -> None:
    assert _edits(edits) is meaning


@pytest.mark.parametrize(
    ("steps", "variable", "fps"),
    [
        pytest.param([1 / 30] * 100, False, 30.0, id="steady"),
        pytest.param([0.033, 0.033, 0.034] * 40, False, 30.0, id="milliseconds of mkv"),
        pytest.param([1 / 30] * 98 + [0.5] * 2, False, 30.0, id="two stumbles"),
        pytest.param([1 / 30, 1 / 15] * 50, True, None, id="every second lost"),
        pytest.param([], False, None, id="one picture"),
    ],
)
def test_pace(steps: list[float], variable: bool, fps: float | None) -> None:
    varies, seen = pace(steps, 0.001)
    assert varies is variable
    assert seen == (None if fps is None else pytest.approx(fps, rel=1e-4))


def test_what_is_appended_to_an_mp4_is_no_missing_part(tmp_path: Path) -> None:
    """Phones do that (a still picture, their own notes)."""
    film = media.h264_aac().read_bytes()
    longer = tmp_path / "appended.mp4"
    longer.write_bytes(film + b"\xf3\x91\x02\x55\x00\x00SEFT")
    with longer.open("rb") as file:
        assert shape_of(file, len(film) + 10)["declared_size"] == len(film)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film[:-100])
    with cut.open("rb") as file:
        assert shape_of(file, len(film) - 100)["declared_size"] == len(film)


def test_shape_of_mp4() -> None:
    with media.index_last().open("rb") as file:
        shape = shape_of(file, media.index_last().stat().st_size)
    assert shape["has_index"] and not shape["faststart"] and len(shape["edits"]) == 2
    with media.h264_aac().open("rb") as file:
        shape = shape_of(file, media.h264_aac().stat().st_size)
    assert shape["faststart"] and shape["edits"] == []


def test_length_that_a_matroska_file_declares() -> None:
    with media.h264_opus().open("rb") as file:
        assert declared_matroska(file) == media.h264_opus().stat().st_size


@pytest.mark.usefixtures("db")
def test_a_recording_of_a_browser_has_no_length_and_is_measured(settings: Settings) -> None:
    options = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus")
    live = media.clip("live.webm", *options, "-live", "1")
    with live.open("rb") as file:
        assert declared_matroska(file) is None
    assert look(live, context(settings)).duration_s == pytest.approx(2.0, abs=0.1)


@pytest.mark.usefixtures("db")
def test_all_that_a_file_holds_is_named(settings: Settings) -> None:
    by_name = {case.name: case for case in CASES}
    here = context(settings)

    def facts(name: str) -> Probe:
        return look(by_name[name].make(), here)

    languages = facts("languages")
    assert [(t.type, t.codec, t.language) for t in languages.all_tracks] == [
        ("video", "h264", ""),
        ("audio", "aac", "deu"),
        ("audio", "aac", "eng"),
    ]
    assert languages.audio is not None and languages.audio.layout == "stereo"
    assert [t.type for t in facts("attached font").all_tracks][-1] == "attachment"
    assert [t.cover for t in facts("cover art").all_tracks] == [False, False, True]
    assert facts("chapters").chapters == (Chapter(0.0, "Begin"), Chapter(0.5, "End"))
    assert facts("mov with timecode").timecode == "01:00:00:00"
    clock = facts("late clock")
    assert clock.start_s == pytest.approx(3601.4, abs=1.0)
    assert clock.video is not None and clock.video.first_s == pytest.approx(clock.start_s, abs=0.2)
    turned = facts("turned left").video
    assert turned is not None and (turned.turned, turned.rotation) == (True, 90)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("varies later, mp4", {"variable": True}),
        ("varies later, mkv", {"variable": True}),
        ("interlaced after the title", {"interlaced": True}),
        ("one keyframe", {"longest_gop_s": pytest.approx(12, abs=0.1)}),
        ("open groups", {"closed_gop": False}),
        ("b-frames", {"b_frames": True}),
        ("interlaced, bottom first", {"field_order": "bottom"}),
    ],
)
@pytest.mark.usefixtures("db")
def test_not_only_the_beginning_is_looked_at(
    name: str, seen: dict[str, object], settings: Settings
) -> None:
    case = next(case for case in CASES if case.name == name)
    track = look(case.make(), context(settings)).video
    assert track is not None
    assert {field: getattr(track, field) for field in seen} == seen


@pytest.mark.usefixtures("db")
def test_a_look_that_takes_too_long_in_the_middle_keeps_what_it_has(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm ends the child; its first line holds."""
    slow = tmp_path / "slow.py"
    slow.write_text(
        CHILD.read_text()
        .replace("SAMPLE_S = 4.0", "SAMPLE_S = 0.05")
        .replace(
            "            look_further(", "            signal.pause()\n            look_further("
        )
    )
    monkeypatch.setattr("tasks.probe.look.CHILD", slow)
    found = look(media.h264_aac(), context(settings))
    assert found.error == ""
    assert found.video is not None and found.video.decodes and found.duration_s > 1.9


@pytest.mark.parametrize("profile", [5, 8])
def test_profile_of_dolby_vision(profile: int) -> None:
    box = b"\x00\x00\x00\x20dvcC" + bytes([1, 0, profile << 1 | 1, 0x25]) + bytes(20)
    index = bytes(300) + box + bytes(300)
    assert dolby_vision_profile(io.BytesIO(index), 0, len(index)) == profile
    assert dolby_vision_profile(io.BytesIO(bytes(900)), 0, 900) is None


def test_report_that_is_none_is_refused() -> None:
    with pytest.raises(KeyError):
        parse({"media": None}, 1)
