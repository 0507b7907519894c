"""The poster: which picture is best, what people choose, and pictures that mean harm."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageFilter

from appliance.errors import Conflict, InvalidInput
from appliance.ids import new_id
from appliance.models import AuditEntry, Event, Job, PosterChoice, Video
from appliance.states import JobState
from tasks import pictures, pipeline
from tasks.context import Context
from tasks.poster import choosing
from tasks.poster.brought import MAX_PIXELS, brought_command, demuxer_of, orientation_of
from tasks.poster.score import POOR, look_at
from tasks.probe.facts import Probe
from tests import media
from tests.factories import make_video
from tests.tasks.doing import again, bring_in, run_one, run_only
from tests.tasks.test_storyboard import COLOURS, changing, close

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout

# Which is best


@pytest.fixture(scope="module")
def lively() -> Image.Image:
    with Image.open(media.still_picture()) as picture:
        return picture.convert("RGB")


def test_a_lively_picture_beats_black_fades_and_blurs(lively: Image.Image) -> None:
    best = look_at(lively).score
    black = Image.new("RGB", lively.size, (3, 3, 3))
    white = Image.new("RGB", lively.size, "white")
    assert look_at(black).score < POOR and look_at(white).score < POOR < best
    fade = Image.blend(lively, black, 0.85)
    blurred = lively.filter(ImageFilter.GaussianBlur(12))
    assert look_at(fade).score < POOR
    assert look_at(blurred).score < 0.75 * best
    assert look_at(Image.new("RGB", (2, 2), "red")).score < POOR


def poster(layout: Layout, video: Video) -> Image.Image:
    with Image.open(layout.poster(video.public_id)) as picture:
        assert picture.format == "WEBP" and not picture.getexif()
        return picture.convert("RGB")


def test_the_one_lively_moment_is_found(db: None, settings: Settings, layout: Layout) -> None:
    """One keyframe, black; then a dark film with a lively moment in the middle."""
    dark = media.clip(
        "dark.mp4", *media.H264, "-g", "999", size="320x240", seconds=4, sound=None,
        source="testsrc2=s={size}:r={fps}:d={seconds},"
        "drawbox=t=fill:c=black:enable='not(between(t,1.9,2.1))'",
    )  # fmt: skip
    video = bring_in(settings, dark)
    assert run_only(settings, "poster").state is JobState.COMPLETED
    assert again(video).poster_at_s == pytest.approx(2.0, abs=0.1)
    assert look_at(poster(layout, video)).score > POOR


def test_a_jump_takes_the_keyframe_before_and_decodes_nothing_else(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, changing("one-keyframe.mp4", "-g", "999"))
    assert run_one(settings, "quick").kind == "probe"
    video = again(video)
    context = Context(Job.get(Job.kind == "poster"), settings, threading.Event())

    def colours(*, exact: bool) -> list[Any]:
        taken = pictures.take(
            layout.original(video.public_id), Probe.from_dict(video.facts), [0.5, 1.5, 2.5],
            (160, 120), context, exact=exact,
        )  # fmt: skip
        return [picture.getpixel((80, 60)) for picture in taken if picture is not None]

    assert [close(one, COLOURS[0]) for one in colours(exact=False)] == [True] * 3
    assert [close(*two) for two in zip(colours(exact=True), COLOURS, strict=True)] == [True] * 3


# What people choose


@pytest.fixture
def video(db: None, settings: Settings) -> Video:
    """Looked at, with the poster that the box has chosen."""
    video = bring_in(settings, changing("changing.mp4", "-g", "15"))
    run_only(settings, "poster")
    Job.delete().where(Job.state == JobState.QUEUED).execute()
    return again(video)


def test_a_moment_is_taken_exactly(video: Video, settings: Settings, layout: Layout) -> None:
    for number, at_s in enumerate([1.4, 2.9, video.duration_s or 0.0]):
        job = choosing.choose(again(video), None, layout, at_s=at_s)
        assert choosing.choose(again(video), None, layout, at_s=at_s).id == job.id
        assert run_one(settings, "quick").state is JobState.COMPLETED
        fresh = again(video)
        assert (fresh.poster_choice, fresh.poster_at_s) == (PosterChoice.MOMENT, at_s)
        assert fresh.poster_version == 2 + number
        assert close(poster(layout, video).getpixel((80, 60)), COLOURS[min(2, int(at_s))])  # type: ignore[arg-type]  # RGB
    assert AuditEntry.select().where(AuditEntry.action == "video.poster").count() == 3
    assert Event.select().where(Event.type == "video.poster").count() == 4

    choosing.choose(again(video), None, layout)
    run_one(settings, "quick")
    assert again(video).poster_choice is PosterChoice.AUTO


def test_the_last_choice_counts(video: Video, settings: Settings, layout: Layout) -> None:
    first = choosing.choose(video, None, layout, at_s=0.5)
    brought = bring(layout, video, jpeg())
    second = choosing.choose(video, None, layout, brought=brought)
    third = choosing.choose(video, None, layout, at_s=2.5)
    states = [Job.get_by_id(job.id).state for job in (first, second, third)]
    assert states == [JobState.CANCELLED, JobState.CANCELLED, JobState.QUEUED]
    assert not choosing.picture_path(layout, video, brought).exists()
    run_one(settings, "quick")
    assert again(video).poster_at_s == 2.5


def test_one_that_runs_while_another_is_chosen_changes_nothing(
    video: Video, settings: Settings, layout: Layout
) -> None:
    slow = choosing.choose(video, None, layout, at_s=0.5)
    Job.update(state=JobState.RUNNING).where(Job.id == slow.id).execute()
    newer = choosing.choose(video, None, layout, at_s=2.5)
    Job.update(state=JobState.QUEUED).where(Job.id == slow.id).execute()
    Job.update(priority=Job.priority - 1).where(Job.id == newer.id).execute()
    assert run_one(settings, "quick").id == slow.id
    assert again(video).poster_version == 1
    assert run_one(settings, "quick").id == newer.id
    assert again(video).poster_at_s == 2.5


def test_the_boxes_own_try_never_undoes_a_choice(
    video: Video, settings: Settings, layout: Layout
) -> None:
    choosing.choose(video, None, layout, at_s=2.5)
    run_one(settings, "quick")

    pipeline.make_poster(video)
    assert run_one(settings, "quick").state is JobState.COMPLETED
    assert again(video).poster_choice is PosterChoice.MOMENT


@pytest.mark.parametrize("at_s", [-0.1, 99.0, float("nan"), float("inf")])
def test_moments_outside_of_the_film_are_refused(at_s: float, video: Video, layout: Layout) -> None:
    with pytest.raises(InvalidInput, match=r"lasts 3\.\d seconds"):
        choosing.choose(video, None, layout, at_s=at_s)


def test_what_nobody_has_looked_at_has_no_choice(db: None, layout: Layout) -> None:
    with pytest.raises(Conflict, match="still being checked"):
        choosing.choose(make_video(), None, layout)


def test_a_stop_in_the_middle_leaves_the_old_poster_and_no_rest(
    video: Video, settings: Settings, layout: Layout
) -> None:
    before = layout.poster(video.public_id).read_bytes()
    choosing.choose(video, None, layout, brought=bring(layout, video, jpeg()))
    stop = threading.Event()

    def stop_at_work() -> None:
        while not list(layout.tmp.rglob("brought")):
            pass
        stop.set()

    watcher = threading.Thread(target=stop_at_work)
    watcher.start()
    assert run_one(settings, "quick", stop).state is JobState.QUEUED
    watcher.join()
    assert list(layout.tmp.iterdir()) == []
    assert layout.poster(video.public_id).read_bytes() == before
    assert run_one(settings, "quick").state is JobState.COMPLETED
    assert again(video).poster_choice is PosterChoice.CUSTOM


# Pictures that are brought


def picture(kind: str, *, turn: int = 1, size: tuple[int, int] = (400, 200)) -> bytes:
    """Blue above, red below; ``turn`` is what EXIF says."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (0, 0, size[0], size[1] // 2))
    exif = Image.Exif()
    exif[0x0112] = turn
    exif[0x010E] = "secret place"
    out = io.BytesIO()
    image.save(out, kind, exif=exif)
    return out.getvalue()


def jpeg() -> bytes:
    return picture("JPEG")


def bring(layout: Layout, video: Video, content: bytes) -> str:
    brought = new_id()
    choosing.picture_path(layout, video, brought).write_bytes(content)
    return brought


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_which_way_up_is_read_of_all_kinds(kind: str, turn: int) -> None:
    assert orientation_of(picture(kind, turn=turn)) == turn


@pytest.mark.parametrize(
    "head",
    [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0", b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xff"],
)
def test_heads_that_are_cut_are_upright(head: bytes) -> None:
    assert orientation_of(head) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_cut_down_and_tells_nothing(
    kind: str, video: Video, settings: Settings, layout: Layout
) -> None:
    content = picture(kind, turn=6, size=(2000, 1000))
    brought = bring(layout, video, content)
    choosing.choose(video, None, layout, brought=brought)
    assert run_one(settings, "quick").state is JobState.COMPLETED
    made = poster(layout, video)
    assert made.size == (360, 720)
    assert close(made.getpixel((300, 300)), (0, 0, 254))  # type: ignore[arg-type]  # RGB
    assert close(made.getpixel((60, 300)), (254, 0, 0))  # type: ignore[arg-type]
    assert b"secret" not in layout.poster(video.public_id).read_bytes()
    assert not choosing.picture_path(layout, video, brought).exists()
    fresh = again(video)
    assert (fresh.poster_choice, fresh.poster_at_s) == (PosterChoice.CUSTOM, None)


def png_of(width: int, height: int) -> bytes:
    """A bomb: as many pixels as it says, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(width, 40_000) // 8 + 1) * 2000, 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


HOSTILE: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "no PNG, JPEG or WebP"),
    ("drawing", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG, JPEG or WebP"),
    ("playlist", b"#EXTM3U\nfile:///etc/passwd\n", "no PNG, JPEG or WebP"),
    ("gif", b"GIF89a\1\0\1\0\0\0\0;", "no PNG, JPEG or WebP"),
    ("half", picture("PNG")[:60], "damaged"),
    ("only a head", b"\xff\xd8\xff\xe0" + b"\0" * 500, "damaged"),
    ("playlist behind a head", b"\x89PNG\r\n\x1a\n#EXTM3U\nfile:///etc/passwd\n", "damaged"),
    ("webp of nothing", b"RIFF\x10\0\0\0WEBPVP8 \4\0\0\0abcd", "damaged"),
    ("bomb", png_of(60_000, 60_000), "more pixels"),
]


@pytest.mark.parametrize(
    ("content", "words"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_what_is_no_picture_leaves_the_old_poster(
    content: bytes, words: str, db: None, settings: Settings, layout: Layout
) -> None:
    video = make_video(facts={"audio": None}, duration_s=2.0, poster_version=1)
    layout.video(video.public_id).mkdir()
    layout.poster(video.public_id).write_bytes(b"old")
    brought = bring(layout, video, content)
    choosing.choose(video, None, layout, brought=brought)
    job = run_one(settings, "quick")
    assert (job.state, job.error_code) == (JobState.FAILED, "bad_picture")
    assert words in (job.error or "") and "stays as it was" in (job.error or "")
    assert layout.poster(video.public_id).read_bytes() == b"old"
    assert [entry.name for entry in layout.video(video.public_id).iterdir()] == ["poster.webp"]
    assert Event.get(Event.type == "video.poster_failed").data["error"] == job.error


def test_only_the_decoder_of_its_kind_is_asked() -> None:
    for kind, demuxer in [("JPEG", "jpeg_pipe"), ("PNG", "png_pipe"), ("WEBP", "webp_pipe")]:
        content = picture(kind)
        assert demuxer_of(content) == demuxer
        words: Any = brought_command(content, (1280, 720), ffmpeg="ffmpeg")
        before = words[: words.index("file:brought")]
        assert before[before.index("-format_whitelist") + 1] == demuxer
        assert before[before.index("-f") + 1] == demuxer
        assert before[before.index("-protocol_whitelist") + 1] == "file"
        assert before[before.index("-max_pixels") + 1] == str(MAX_PIXELS)
