"""The look into the first bytes: never a false alarm, and the same words as at the end."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from appliance.models import Event, Job, Method, Source, Upload, Video
from appliance.states import JobState, UploadState, VideoState
from storage.uploads import Created, NewUpload, Store, first_looks
from storage.uploads.files import write_at
from storage.uploads.first_looks import LOOK_AT
from tasks.early_look import estimate
from tasks.early_look.verdict import KIND_BYTES, Beginning, Kind, Verdict, decide
from tasks.probe import child
from tasks.probe.decoders import DECODERS
from tasks.probe.facts import FORMATS, Probe, parse
from tasks.probe.judge import Limits, Refusal, judge
from tasks.profiles import SOCIAL
from tests import media
from tests.factories import make_user
from tests.tasks.doing import run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout

MIB = 1 << 20
LIMITS = Limits(max_duration_s=6 * 3600, max_pixels=8192 * 8192, max_tracks=32)
# More beginnings of each file by APPLIANCE_TEST_LONG=1.
PREFIXES = 60 if os.environ.get("APPLIANCE_TEST_LONG") else 3
NOISE = "testsrc2=s={size}:r={fps}:d={seconds},noise=alls=60:allf=t"
RATE = ("-b:v", "12M", "-minrate", "12M", "-maxrate", "12M", "-bufsize", "12M")


# Files. One is encoded, the others are made of it.


@cache
def encoded() -> Path:
    """3 s, about 4 MiB."""
    return media.clip(
        "early.mkv", *media.H264, "-bf", "2", "-g", "30", *RATE, *media.AAC,
        size="640x360", seconds=3, source=NOISE,
    )  # fmt: skip


def repacked(name: str, *options: str) -> Path:
    target = media.folder() / f"early-{name}"
    if not target.exists():
        media.ffmpeg("-i", str(encoded()), "-map", "0", "-c", "copy", *options, str(target))
    return target


def index_first() -> Path:
    return repacked("first.mp4", "-movflags", "+faststart")


def index_last() -> Path:
    return repacked("last.mp4")


def quicktime() -> Path:
    return repacked("last.mov")


def fragmented() -> Path:
    return repacked("frag.mp4", "-movflags", "+frag_keyframe+empty_moov")


def matroska() -> Path:
    return repacked("a.mkv")


def live_matroska() -> Path:
    """As a browser records: no duration, no length."""
    return repacked("live.mkv", "-live", "1")


def transport() -> Path:
    return repacked("a.ts")


def long_transport() -> Path:
    """20 MiB."""
    target = media.folder() / "early-long.ts"
    if not target.exists():
        media.ffmpeg("-stream_loop", "3", "-i", str(encoded()), "-c", "copy", str(target))
    return target


def avi() -> Path:
    return repacked("a.avi", "-bsf:v", "h264_mp4toannexb")


def flash() -> Path:
    return repacked("a.flv")


def program_stream() -> Path:
    return media.clip(
        "early.mpg", "-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2",
        size="640x360", seconds=3, source=NOISE,
    )  # fmt: skip


def motion_jpeg() -> Path:
    return media.clip(
        "early-mjpeg.avi", "-c:v", "mjpeg", "-q:v", "3", "-c:a", "pcm_s16le",
        size="640x360", seconds=2, source=NOISE,
    )  # fmt: skip


def box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4s", size, kind) + bytes(size - 8)


def index_after_filling() -> Path:
    """Something large and empty between the head and the index."""
    whole = index_first().read_bytes()
    (size,) = struct.unpack_from(">I", whole)
    # Chunk offsets don't move: it is the media's own box that was made room for before.
    target = repacked("filled.mp4", "-movflags", "+faststart", "-moov_size", str(2 * MIB))
    assert size < 64
    return target


def with_tail() -> Path:
    """Phones append things that are no boxes."""
    return media.written("early-tail.mp4", index_first().read_bytes() + b"SEFT" * 4000)


def looks_like_an_archive() -> Path:
    """A transport stream in a ZIP file without compression: libavformat finds it."""
    name = b"film.ts"
    entry = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0)
    return media.written("early-zip.ts", entry + name + transport().read_bytes())


def named_a_picture() -> Path:
    """A film whose major brand is that of still pictures, and whose index is last."""
    content = bytearray(index_last().read_bytes())
    content[8:12] = b"heic"
    return media.written("early-heic.mp4", bytes(content))


def begins_late() -> Path:
    """A transport stream that was cut out of a longer one."""
    return media.written("early-late.ts", transport().read_bytes()[188 * 301 :])


GOOD: list[Callable[[], Path]] = [
    index_first,
    index_last,
    quicktime,
    fragmented,
    matroska,
    live_matroska,
    transport,
    avi,
    flash,
    program_stream,
    motion_jpeg,
    index_after_filling,
    with_tail,
    looks_like_an_archive,
    named_a_picture,
    begins_late,
]


# Looking, by the child's own code, without the cost of the sandbox


def probed(content: bytes, length: int | None, max_pixels: int = LIMITS.max_pixels) -> Probe:
    path = media.folder() / "early-beginning"
    path.write_bytes(content)
    said = io.StringIO()
    arguments, sys.argv = sys.argv, ["child", str(path), FORMATS, DECODERS, str(max_pixels)]
    try:
        with redirect_stdout(said):
            child.main()
    finally:
        sys.argv = arguments
    return parse(
        json.loads(said.getvalue().splitlines()[-1]), len(content) if length is None else length
    )


def look_at(
    content: bytes, here: int, *, limits: Limits = LIMITS, declared: bool = True
) -> Verdict:
    """The verdict on the first ``here`` bytes. ``declared``: the length was said."""
    return verdict_on(probed(content[:here], None, limits.max_pixels), content, declared, limits)


def verdict_on(probe: Probe, content: bytes, declared: bool, limits: Limits = LIMITS) -> Verdict:
    here, length = probe.size_bytes, len(content) if declared else None
    if length is not None:
        probe = replace(probe, size_bytes=length)
    beginning = Beginning(probe, content[:4096], here, length)
    return decide(beginning, limits, SOCIAL, pixels_per_s=estimate.USUAL_PIXELS_PER_S)


def judged_at_the_end(content: bytes, limits: Limits = LIMITS) -> list[Refusal]:
    return judge(probed(content, None, limits.max_pixels), limits, content[:4096])


def name(make: Any) -> str:
    return getattr(make, "__name__", str(make))


@pytest.mark.parametrize("make", GOOD, ids=name)
def test_a_good_file_is_never_refused(make: Callable[[], Path]) -> None:
    content = make().read_bytes()
    assert judged_at_the_end(content) == [], "this is no good file"
    assert len(content) > 2 * MIB
    chance = random.Random(make.__name__)
    cuts = {
        MIB,
        6 * MIB,
        len(content) - 1,
        *(chance.randrange(MIB, len(content)) for _ in range(PREFIXES)),
    }
    for here in sorted(min(cut, len(content)) for cut in cuts):
        probe = probed(content[:here], None)
        for declared in (True, False):
            verdict = verdict_on(probe, content, declared)
            assert verdict.kind is not Kind.REFUSED, (here, verdict)


@pytest.mark.parametrize("make", [index_first, matroska, transport], ids=name)
def test_nothing_is_said_of_less_than_the_first_mark(make: Callable[[], Path]) -> None:
    content = make().read_bytes()
    for here in (0, 1, 30, 4096, KIND_BYTES - 1):
        assert look_at(content, here).kind is not Kind.REFUSED


# What will be done


@pytest.mark.parametrize(
    ("make", "here", "kind", "words"),
    [
        (index_first, MIB, Kind.FINE, "No re-encoding needed."),
        (matroska, MIB, Kind.FINE, "No re-encoding needed."),
        (transport, MIB, Kind.UNKNOWN, ""),
        (index_last, MIB, Kind.UNKNOWN, "Its index comes last."),
        (quicktime, MIB, Kind.UNKNOWN, "Its index comes last."),
        (motion_jpeg, 16 * MIB, Kind.FINE, "Will be made social-ready: about 10 s."),
    ],
    ids=name,
)
def test_says_what_will_be_done(
    make: Callable[[], Path], here: int, kind: Kind, words: str
) -> None:
    verdict = look_at(make().read_bytes(), here)
    assert verdict.kind is kind
    assert verdict.sentence.startswith(words) and bool(verdict.sentence) == bool(words)


@pytest.mark.parametrize("make", [index_first, matroska, fragmented, long_transport], ids=name)
def test_what_it_says_is_what_the_whole_file_says(make: Callable[[], Path]) -> None:
    content = make().read_bytes()
    early = look_at(content, max(6 * MIB, len(content) * 4 // 5))
    whole = look_at(content, len(content))
    assert early.kind is whole.kind is Kind.FINE
    assert (early.facts["method"], early.sentence) == (whole.facts["method"], whole.sentence)
    assert early.facts["duration_s"] == pytest.approx(whole.facts["duration_s"], rel=0.2)


def test_an_index_that_is_gigabytes_away_is_not_looked_for_again() -> None:
    content = bytearray(index_last().read_bytes())
    at = content.index(b"mdat")
    # As a camera's file of 4 GB would begin.
    content[at - 4 : at] = struct.pack(">I", 0xF000_0000)
    beginning = bytes(content[:MIB])
    found = Beginning(probed(beginning, 0xF100_0000), beginning[:4096], MIB, 0xF100_0000)
    verdict = decide(found, LIMITS, SOCIAL, pixels_per_s=1e8)
    assert verdict.final and verdict.facts["index"] == "last" and verdict.kind is Kind.UNKNOWN
    assert not look_at(index_last().read_bytes(), MIB).final  # that one is small


# What is refused, and in which words


def padded(content: bytes, size: int = 2 * MIB) -> bytes:
    return content + random.Random(3).randbytes(size - len(content))


def pdf() -> bytes:
    return padded(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")


def archive() -> bytes:
    return padded(b"PK\x03\x04\x14\x00\x00\x00\x08\x00")


def letter() -> bytes:
    return b"This is a letter, not a film.\n" * 70_000


def picture() -> bytes:
    return padded(media.still_picture().read_bytes())


def slides() -> bytes:
    return padded(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")


def windows_media() -> bytes:
    """A film, but of a kind that is not opened here."""
    target = media.folder() / "early.wmv"
    if not target.exists():
        options = ("-c:v", "msmpeg4v3", "-q:v", "2", "-c:a", "wmav2")
        media.ffmpeg("-i", str(encoded()), *options, str(target))
    return target.read_bytes()


def music() -> bytes:
    target = media.folder() / "early.wav"
    if not target.exists():
        media.ffmpeg("-f", "lavfi", "-i", media.SOUND.format(seconds=12), str(target), "-y")
    content = target.read_bytes()
    return content * 2 if len(content) < 2 * MIB else content


def podcast() -> bytes:
    """Sound alone in a container for films; with its index in front."""
    target = media.folder() / "early.m4a"
    if not target.exists():
        options = ("-c:a", "aac", "-b:a", "256k", "-movflags", "+faststart")
        source = ("-f", "lavfi", "-i", "anoisesrc=r=48000:d=50")
        media.ffmpeg(*source, *options, str(target))
    return target.read_bytes()


def cut_off() -> bytes:
    """Sent from a copy that ended early: its own index promises more than will come."""
    content = index_first().read_bytes()
    return content[: len(content) * 2 // 3]


def cut_off_matroska() -> bytes:
    content = matroska().read_bytes()
    return content[: len(content) * 2 // 3]


def long_film() -> bytes:
    first = media.folder() / "early-long.mp4"
    if not first.exists():
        options = ("-c", "copy", "-movflags", "+faststart")
        media.ffmpeg("-i", str(media.very_long()), *options, str(first))
    return first.read_bytes() + box(b"free", 2 * MIB)


def many_tracks() -> bytes:
    content = media.many_tracks().read_bytes()
    return content + b"\xec" + (1 << 56 | 2 * MIB).to_bytes(8, "big") + bytes(2 * MIB)


WRONG: list[tuple[Callable[[], bytes], Limits]] = [
    (pdf, LIMITS),
    (archive, LIMITS),
    (letter, LIMITS),
    (picture, LIMITS),
    (slides, LIMITS),
    (windows_media, LIMITS),
    (music, LIMITS),
    (podcast, LIMITS),
    (cut_off, LIMITS),
    (cut_off_matroska, LIMITS),
    (long_film, LIMITS),
    (many_tracks, LIMITS),
    (lambda: index_first().read_bytes(), replace(LIMITS, max_pixels=300 * 200)),
    (lambda: matroska().read_bytes(), replace(LIMITS, max_pixels=300 * 200)),
]


@pytest.mark.parametrize(("make", "limits"), WRONG, ids=lambda value: name(value)[:20])
def test_what_is_wrong_is_said_in_the_words_of_the_end(
    make: Callable[[], bytes], limits: Limits
) -> None:
    content = make()
    assert len(content) > MIB
    verdict = look_at(content, MIB, limits=limits)
    assert (verdict.kind, verdict.final) == (Kind.REFUSED, True)
    expected = judged_at_the_end(content, limits)[0]
    assert (verdict.code, verdict.sentence) == (expected.code, expected.sentence)


def test_a_file_of_unknown_length_may_still_become_whole() -> None:
    assert look_at(cut_off(), MIB, declared=False).kind is not Kind.REFUSED


def test_trouble_of_the_sandbox_refuses_nothing() -> None:
    for error in ("not read within 10 s", "ended with -9: ", "MemoryError: "):
        broken = Beginning(Probe(size_bytes=2 * MIB, error=error), pdf()[:4096], MIB, 2 * MIB)
        assert decide(broken, LIMITS, SOCIAL, pixels_per_s=1e8).kind is Kind.UNKNOWN


# Estimates


def test_the_estimate_learns_from_this_box() -> None:
    probe = {"video": {"width": 1920, "height": 1080, "fps": 30.0}, "duration_s": 60.0}
    assert estimate.pixels_per_s([]) == estimate.USUAL_PIXELS_PER_S
    slow, fast = {"probe": probe, "seconds": 120.0}, {"probe": probe, "seconds": 30.0}
    reused, short = {"probe": probe, "seconds": 9.0, "reused": True}, {"seconds": 0.5}
    speed = estimate.pixels_per_s([None, slow, slow, fast, reused, short])
    assert speed == pytest.approx(1920 * 1080 * 30 / 2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "10 s"), (31, "40 s"), (54, "60 s"), (58, "1 min"), (200, "3 min"), (3300, "0.9 h"),
     (3600, "1 h"), (5400, "1.5 h")],
)  # fmt: skip
def test_estimates_in_words(seconds: float, words: str) -> None:
    assert estimate.in_words(seconds) == words


# When it is made


def test_marks() -> None:
    first, second, third = LOOK_AT
    assert first_looks.crossed(0, first - 1) is None
    assert first_looks.crossed(0, first) == first
    assert first_looks.crossed(first, first + 5) is None
    assert first_looks.crossed(10, 1 << 40) == third
    assert first_looks.next_look(0) == first
    assert first_looks.next_look(first) == second
    assert first_looks.next_look(third) > 1 << 60


@pytest.mark.parametrize(
    ("offset", "length", "elapsed_s", "soon"),
    [
        (MIB, 2 * MIB, 1.0, True),
        (MIB, 4000 * MIB, 1.0, False),
        (MIB, 4 * MIB, 1.0, True),
        (MIB, 6 * MIB, 1.0, False),
        (MIB, None, 1.0, False),
        (MIB, 2 * MIB, -3600.0, True),  # the clock was set back
    ],
)
def test_what_ends_soon_is_not_looked_into(
    offset: int, length: int | None, elapsed_s: float, soon: bool
) -> None:
    at = now()
    assert first_looks.ends_soon(offset, length, at - timedelta(seconds=elapsed_s), at) is soon


# As a job


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


def begin(store: Store, content: bytes, here: int) -> Created:
    """An upload of ``content`` that got as far as ``here`` in ten minutes."""
    new = NewUpload(length=len(content), filename="clip.mp4", source=Source.BROWSER)
    created = store.create(make_user(f"{os.urandom(4).hex()}@example.org"), new)
    Upload.update(created_at=now() - timedelta(minutes=10)).execute()
    go_on(store, created, content, here)
    return created


def go_on(store: Store, created: Created, content: bytes, here: int) -> None:
    held = store.open(created.upload_id, created.token)
    try:
        assert held.handle is not None
        write_at(held.handle, content[held.offset : here], held.offset)
        held.offset = here
        store.settle(held)
    finally:
        held.close()


def looks() -> list[Job]:
    return list(Job.select().where(Job.kind == "early_look").order_by(Job.id))


def told() -> list[dict[str, Any]]:
    return [e.data for e in Event.select().where(Event.type == "upload.looked").order_by(Event.id)]


def test_one_look_says_what_will_be_done(store: Store, settings: Settings, layout: Layout) -> None:
    content = index_first().read_bytes()
    created = begin(store, content, MIB - 1)
    assert looks() == []
    go_on(store, created, content, MIB + 10)
    go_on(store, created, content, MIB + 20)
    assert len(looks()) == 1
    run_all(settings)
    row = Upload.get()
    assert row.state is UploadState.RECEIVING
    assert row.early_look["verdict"] == "fine"
    assert row.early_look["facts"]["method"] == Method.REMUX
    assert row.early_look["facts"]["width"] == 640
    assert told() == [{"video_id": created.video_id, **row.early_look}]
    assert [job.state for job in looks()] == [JobState.COMPLETED]
    assert list(layout.tmp.iterdir()) == []
    go_on(store, created, content, len(content))
    assert len(looks()) == 1


def test_what_is_unknown_is_looked_into_again(store: Store, settings: Settings) -> None:
    content = long_transport().read_bytes()
    created = begin(store, content, 2 * MIB)
    run_all(settings)
    assert (Upload.get().early_look["verdict"], len(looks())) == ("unknown", 1)
    go_on(store, created, content, 7 * MIB)
    run_all(settings)
    assert (Upload.get().early_look["verdict"], len(looks())) == ("fine", 2)
    go_on(store, created, content, 17 * MIB)
    assert len(looks()) == 2  # there is nothing more to find out


def test_the_wrong_file_is_sent_no_further(
    store: Store, settings: Settings, layout: Layout
) -> None:
    content = padded(b"%PDF-1.7\n", 30_000_000)
    begin(store, content, MIB)
    run_all(settings)
    row, video = Upload.get(), Video.get()
    sentence = "This is a PDF document, not a video. Upload the video in it."
    assert (row.state, row.error) == (UploadState.FAILED, sentence)
    assert (video.state, video.error) == (VideoState.FAILED, sentence)
    assert told()[0]["sentence"] == sentence
    assert list(layout.uploads.iterdir()) == []
    assert [job.state for job in looks()] == [JobState.COMPLETED]


def test_a_verdict_that_was_not_carried_out_is_by_the_next_worker(
    store: Store, settings: Settings
) -> None:
    begin(store, pdf() * 20, MIB)
    found = {"verdict": "refused", "sentence": "No.", "final": True, "facts": {}, "code": "x"}
    Upload.update(early_look=found).execute()
    run_all(settings)
    assert (Upload.get().state, Upload.get().error) == (UploadState.FAILED, "No.")


def test_a_file_that_is_sent_anew_is_looked_into_anew(store: Store, settings: Settings) -> None:
    """A script put the wrong file to the address, and then the right one."""
    content = index_first().read_bytes()
    created = begin(store, content, MIB)
    found = {"verdict": "refused", "sentence": "No.", "final": True, "facts": {}, "code": "x"}
    Upload.update(early_look=found).execute()
    held = store.open(created.upload_id, created.token)
    store.restart(held)
    held.close()
    assert Upload.get().early_look is None
    go_on(store, created, content, MIB)
    assert len(looks()) == 2
    run_all(settings)
    assert Upload.get().early_look["verdict"] == "fine"


def test_a_look_that_comes_too_late_does_nothing(store: Store, settings: Settings) -> None:
    content = index_first().read_bytes()
    created = begin(store, content, MIB)
    go_on(store, created, content, len(content))
    run_all(settings)
    assert Upload.get().early_look is None and told() == []
    assert {job.state for job in looks()} == {JobState.COMPLETED}
    assert Video.get().state is VideoState.READY


def test_a_fast_upload_is_not_looked_into(store: Store) -> None:
    content = index_first().read_bytes()
    new = NewUpload(length=len(content), filename="clip.mp4", source=Source.BROWSER)
    created = store.create(make_user(), new)
    go_on(store, created, content, len(content) - 1)
    assert looks() == []


def test_a_cancelled_look_leaves_the_upload_alone(store: Store, settings: Settings) -> None:
    from tasks import pipeline

    begin(store, index_first().read_bytes(), MIB)
    pipeline.cancel_job(looks()[0], None)
    assert Video.get().state is VideoState.UPLOADING
    assert Upload.get().state is UploadState.RECEIVING
