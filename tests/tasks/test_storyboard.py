"""The storyboard: how many tiles, how they are come by, and whether they show what they say."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from appliance.models import Job, Rendition
from appliance.states import JobState, RenditionState, VideoState
from tasks import asking
from tasks.poster.score import POOR, look_at
from tasks.probe.facts import Probe
from tasks.storyboard import task
from tasks.storyboard.board import MAX_TILES, Board, Way, moments, plan_board
from tasks.storyboard.index import to_vtt
from tests import media
from tests.media_corpus import setparams
from tests.tasks.doing import again, bring_in, run_one, run_only
from tests.tasks.test_plan import FITS, video

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Video
    from appliance.settings import Settings
    from storage.layout import Layout


def film(seconds: float, gop_s: float | None, size_bytes: int = 1_000_000) -> Probe:
    looked = replace(FITS, **video(longest_gop_s=gop_s))
    return replace(looked, duration_s=seconds, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("facts", "way", "count"),
    [
        pytest.param(film(0.04, None), Way.ALL, 1, id="one picture"),
        pytest.param(film(2.0, None), Way.ALL, 4, id="short, one keyframe"),
        pytest.param(film(20.0, 2.0), Way.ALL, 40, id="short, few keyframes"),
        pytest.param(film(60.0, 2.0), Way.KEYFRAMES, 30, id="a tile for each keyframe"),
        pytest.param(film(300.0, 2.0), Way.KEYFRAMES, 100, id="enough keyframes"),
        pytest.param(film(3600.0, 2.0), Way.SEEK, 100, id="many more keyframes than tiles"),
        pytest.param(film(300.0, 2.0, 9 * 10**9), Way.SEEK, 100, id="a large file"),
        pytest.param(film(600.0, 10.0), Way.KEYFRAMES, 60, id="long between keyframes"),
        pytest.param(film(100.0, 20.0), Way.ALL, 100, id="very long between keyframes"),
        pytest.param(film(7 * 3600.0, None), Way.SEEK, 100, id="seven hours, nothing known"),
    ],
)
def test_the_least_work_that_gives_enough_tiles(facts: Probe, way: Way, count: int) -> None:
    board = plan_board(facts)
    assert (board.way, board.count) == (way, count)
    assert board.count <= MAX_TILES and board.columns <= 10
    assert board.columns * (board.rows - 1) < board.count <= board.columns * board.rows
    assert moments(board)[-1] < facts.duration_s <= moments(board)[-1] + 1.3 * board.every_s


@pytest.mark.parametrize(
    ("shown", "tile"),
    [
        ((1920, 1080), (160, 90)),
        ((1080, 1920), (90, 160)),
        ((4000, 10), (160, 2)),
        ((64, 48), (64, 48)),
    ],
)
def test_tiles_have_the_shape_of_the_film(shown: tuple[int, int], tile: tuple[int, int]) -> None:
    board = plan_board(replace(FITS, **video(shown_width=shown[0], shown_height=shown[1])))
    assert (board.width, board.height) == tile


def test_the_index_names_each_tile_and_reaches_to_the_end() -> None:
    board = Board(10, 2, 12, 160, 90, 400.0, Way.KEYFRAMES)
    lines = to_vtt(board.facts, "storyboard.webp?v=7", 4711.5).splitlines()
    assert lines[:4] == [
        "WEBVTT", "", "00:00:00.000 --> 00:06:40.000", "storyboard.webp?v=7#xywh=0,0,160,90",
    ]  # fmt: skip
    assert lines[-2:] == ["01:13:20.000 --> 01:18:31.500", "storyboard.webp?v=7#xywh=160,90,160,90"]


# Red, green, blue: one second each.
COLOURS = [(254, 0, 0), (0, 128, 0), (0, 0, 254)]
_CHANGING = (
    "color=red:s={size}:r={fps}:d={seconds},"
    "drawbox=t=fill:c=green:enable='between(t,1,1.999)',"
    "drawbox=t=fill:c=blue:enable='gte(t,2)'"
)


def changing(name: str, *options: str, size: str = "160x120") -> Path:
    return media.clip(
        name, *media.H264, *options, size=size, seconds=3, sound=None, source=_CHANGING
    )


def close(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 40 for a, b in zip(one, other, strict=True))


def tile_colours(layout: Layout, video: Video) -> list[tuple[int, ...]]:
    rendition = Rendition.get(Rendition.video == video, Rendition.profile == "storyboard")
    facts = rendition.facts
    with Image.open(layout.rendition(video.public_id, "storyboard")) as picture:
        assert picture.format == "WEBP"
        whole = picture.convert("RGB")
    width, height, columns = facts["width"], facts["height"], facts["columns"]
    assert whole.size == (columns * width, facts["rows"] * height)
    found = []
    for number in range(facts["count"]):
        row, column = divmod(number, columns)
        at = (column * width + width // 2, row * height + height // 2)
        found.append(whole.getpixel(at))
    return found  # type: ignore[return-value]  # of RGB


@pytest.mark.parametrize("way", Way, ids=lambda way: way.value)
def test_each_tile_shows_its_moment(
    way: Way, db: None, settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(columns=4, rows=2, count=6, width=80, height=60, every_s=0.5, way=way)
    monkeypatch.setattr(task, "plan_board", lambda facts: board)
    video = bring_in(settings, changing("changing.mp4", "-g", "15"))
    assert run_only(settings, "storyboard").state is JobState.COMPLETED
    colours = tile_colours(layout, video)
    expected = [COLOURS[int(at_s)] for at_s in moments(board)]
    assert all(map(close, colours, expected)), colours
    assert list(layout.tmp.iterdir()) == []


def test_an_interlaced_film_of_long_pixels_has_tiles_as_it_is_shown(
    db: None, settings: Settings, layout: Layout
) -> None:
    odd = changing(
        "odd-storyboard.mp4", "-flags", "+ilme+ildct", "-x264-params", "interlaced=1",
        "-aspect", "16:9",
    )  # fmt: skip
    video = bring_in(settings, odd)
    run_only(settings, "storyboard")
    facts = Rendition.get(Rendition.profile == "storyboard").facts
    assert again(video).facts["video"]["interlaced"]
    assert (facts["width"], facts["height"], facts["count"]) == (160, 90, 6)
    assert close(tile_colours(layout, video)[0], COLOURS[0])


def test_a_stop_in_the_middle_leaves_nothing_and_the_next_try_is_whole(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.slow(20))
    assert run_one(settings, "quick").kind == "probe"
    Job.delete().where(Job.kind.not_in(["storyboard"])).execute()
    stop = threading.Event()

    def stop_at_work() -> None:
        while not list(layout.tmp.rglob("original")):
            pass
        stop.set()

    watcher = threading.Thread(target=stop_at_work)
    watcher.start()
    job = run_one(settings, "media", stop)
    watcher.join()
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert not layout.rendition(video.public_id, "storyboard").exists()
    assert list(layout.tmp.iterdir()) == []
    assert run_one(settings, "media").state is JobState.COMPLETED
    rendition = Rendition.get(Rendition.profile == "storyboard")
    size = layout.rendition(video.public_id, "storyboard").stat().st_size
    assert (rendition.state, rendition.size_bytes) == (RenditionState.READY, size)


def test_what_is_no_film_fails_the_storyboard_alone(
    db: None, settings: Settings, layout: Layout
) -> None:
    """The file was damaged after it was looked at, say: the video stays as it is."""
    video = bring_in(settings, media.h264_aac())
    run_only(settings, "remux")
    layout.original(video.public_id).write_bytes(b"\0" * 5000)
    asking.ask(again(video), "storyboard", None)
    assert run_one(settings, "media").state is JobState.FAILED
    failed = Rendition.get(Rendition.profile == "storyboard")
    assert failed.state is RenditionState.FAILED
    assert failed.error == "No pictures could be taken from the video for its storyboard."
    assert again(video).state is VideoState.READY


def test_pictures_of_an_hdr_film_are_neither_black_nor_pale(
    db: None, settings: Settings, layout: Layout
) -> None:
    hdr = media.clip(
        "hdr-pictures.mp4", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
        *setparams("smpte2084"),
        sound=None, seconds=1,
    )  # fmt: skip
    video = bring_in(settings, hdr)
    assert run_only(settings, "storyboard").state is JobState.COMPLETED
    assert again(video).facts["video"]["transfer"] == "pq"
    with Image.open(layout.rendition(video.public_id, "storyboard")) as picture:
        look = look_at(picture.convert("RGB"))
    assert 40 < look.brightness < 220 and look.score > POOR
