"""Encoding a file while it arrives: the same result sooner, or no trace of it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest

from appliance import jobs
from appliance.clock import now
from appliance.db import database
from appliance.models import Job, Method, Priority, Setting, Source, Upload, User, Video
from appliance.states import JobState, RenditionState, UploadState, VideoState
from storage import uploads
from storage.uploads import Created, NewUpload, Store
from storage.uploads.files import write_at
from tasks import pipeline, profiles, renditions, restarts, runner, ticker
from tasks.in_flight import decide
from tasks.in_flight.decide import Flow, Outlook, gives_way, wait_s
from tasks.probe.facts import AudioTrack, Probe, VideoTrack
from tasks.profiles import SOCIAL
from tasks.transcode.plan import plan
from tests import media
from tests.factories import make_user
from tests.tasks.doing import (
    at_work_in,
    bring_in,
    job_of,
    rendition_of,
    run_one,
    run_social,
    worker,
)
from tests.web.serving import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from storage.layout import Layout

MIB = 1 << 20
RATE = ("-b:v", "6M", "-minrate", "6M", "-maxrate", "6M", "-bufsize", "6M")
# Pixels that aren't square have to be encoded, and 6 Mbit/s are more than a look's megabyte.
NOISE = "testsrc2=s={size}:r={fps}:d={seconds},noise=alls=60:allf=t,setsar=64/63"


@cache
def encoded() -> Path:
    return media.clip(
        "ahead.mkv", *media.H264, "-bf", "2", "-g", "30", *RATE, *media.AAC,
        size="320x240", seconds=4, source=NOISE,
    )  # fmt: skip


def repacked(name: str, *options: str) -> Path:
    target = media.folder() / f"ahead-{name}"
    if not target.exists():
        media.ffmpeg("-i", str(encoded()), "-map", "0", "-c", "copy", *options, str(target))
    return target


def index_first() -> Path:
    return repacked("first.mp4", "-movflags", "+faststart")


def fragmented() -> Path:
    return repacked("frag.mp4", "-movflags", "+frag_keyframe+empty_moov")


def transport() -> Path:
    """8 MB: without a header its tracks are looked for in five million bytes."""
    rate = ("-b:v", "16M", "-minrate", "16M", "-maxrate", "16M", "-bufsize", "16M")
    return media.clip(
        "ahead.ts", *media.H264, "-bf", "2", "-g", "30", *rate, *media.AAC,
        size="320x240", seconds=4, source=NOISE,
    )  # fmt: skip


def stumbles_later() -> Path:
    """Its second half keeps no pace; the first doesn't tell."""
    later = "setpts='if(lt(N,50),N,50+(N-50)*1.4+0.4*mod(N,3))/25/TB'"
    return media.clip(
        "ahead-vfr.mkv", *media.H264, "-g", "30", *RATE, "-vf", later, "-fps_mode", "vfr",
        *media.AAC, size="320x240", fps="25", seconds=5, source=NOISE,
    )  # fmt: skip


# Decisions


PROBE = Probe(
    size_bytes=10**8,
    format="mov,mp4,m4a",
    brand="isom",
    duration_s=60.0,
    tracks=2,
    faststart=True,
    video=VideoTrack(
        0, "h264", "High", 40, "yuv420p", 1920, 1080, 1920, 1080, True, (1, 1), 30.0,
        False, False, "bt709", "bt709", False, 12_000_000, 0.0, 90, 1.0, True,
    ),
    audio=AudioTrack(1, "aac", "LC", 48000, 2, 128_000, 0.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("looked", "begins"),
    [
        pytest.param(Outlook(40, 30, 0, False), True, id="upload as long as the encode"),
        pytest.param(Outlook(40, 89, 0, False), True, id="twice as long"),
        pytest.param(Outlook(40, 300, 0, False), False, id="much longer: later will do"),
        pytest.param(Outlook(40, None, 0, False), False, id="no pace yet"),
        pytest.param(Outlook(40, 30, 0, True), False, id="others wait"),
        pytest.param(Outlook(40, 30, 15, False), False, id="the sender has a break"),
    ],
)
def test_it_begins_when_that_saves_time_and_costs_nobody(looked: Outlook, begins: bool) -> None:
    assert (wait_s(looked) == 0) is begins
    assert 0 <= wait_s(looked) <= 300


def test_slow_uploads_are_asked_seldom() -> None:
    """Each asking takes a place for a moment."""
    rest, asked = 20_000.0, 0
    while pause_s := wait_s(Outlook(40, rest, 0, False)):
        rest, asked = rest - pause_s, asked + 1
    assert 60 < rest <= 90 and asked < 80


FLOW = Flow(hungry_s=0, idle=0, rest_s=100, others_wait=False, all_here=False)


@pytest.mark.parametrize(
    ("flow", "way"),
    [
        pytest.param(FLOW, False, id="alone"),
        pytest.param(replace(FLOW, others_wait=True), False, id="never waits: a job like others"),
        pytest.param(replace(FLOW, idle=0.9), False, id="waits, but nobody else does"),
        pytest.param(replace(FLOW, idle=0.9, others_wait=True), True, id="waits before others"),
        pytest.param(replace(FLOW, idle=1, others_wait=True, rest_s=None), True, id="no end seen"),
        pytest.param(replace(FLOW, idle=0.9, others_wait=True, rest_s=9), False, id="nearly here"),
        pytest.param(replace(FLOW, hungry_s=21), True, id="silence"),
        pytest.param(
            Flow(99, 1, None, others_wait=True, all_here=True), False, id="all of it is here"
        ),
    ],
)
def test_it_gives_way_to_work_that_has_all_its_bytes(flow: Flow, way: bool) -> None:
    assert bool(gives_way(flow)) is way


@pytest.mark.parametrize(
    ("probe", "first"),
    [
        (PROBE, True),
        (replace(PROBE, faststart=False), False),
        (replace(PROBE, faststart=False, fragmented=True), True),
        (replace(PROBE, format="matroska,webm", faststart=None), True),
        (replace(PROBE, format="mpegts", faststart=None), True),
        (replace(PROBE, format="avi", faststart=None), False),
    ],
)
def test_only_what_can_be_read_straight_through(probe: Probe, first: bool) -> None:
    assert decide.index_is_first(probe) is first


def test_another_file_than_promised_is_noticed() -> None:
    assert PROBE.video is not None
    chosen = plan(PROBE, SOCIAL)
    for after in (
        replace(PROBE, size_bytes=1),
        replace(PROBE, audio=None),
        replace(PROBE, video=replace(PROBE.video, width=1280)),
        replace(PROBE, video=replace(PROBE.video, fps=25.0)),
        replace(PROBE, video=replace(PROBE.video, interlaced=True)),
    ):
        assert decide.what_differs(chosen, plan(after, SOCIAL), PROBE, after)
    longer = replace(PROBE, duration_s=61.0)  # of some kinds it was guessed
    assert decide.what_differs(chosen, plan(longer, SOCIAL), PROBE, longer) == ""


# Flights


@pytest.fixture
def store(settings: Settings, layout: Layout, db: None) -> Store:
    return Store(settings, layout)


class Sending:
    """An upload that is looked into, and goes on as the test says."""

    def __init__(self, store: Store, file: Path, here: int) -> None:
        self.store, self.content = store, file.read_bytes()
        assert here < len(self.content)
        new = NewUpload(length=len(self.content), filename=file.name, source=Source.BROWSER)
        self.created: Created = store.create(make_user(f"{os.urandom(4).hex()}@a.example"), new)
        # Slow enough to be looked into.
        Upload.update(created_at=now() - timedelta(minutes=10)).execute()
        self.go_on(here)
        run_one(store.settings, "quick")
        Upload.update(created_at=now() - timedelta(seconds=1), touched_at=now()).execute()

    def go_on(self, here: int | None = None) -> None:
        held = self.store.open(self.created.upload_id, self.created.token)
        try:
            end = len(self.content) if here is None else here
            assert held.handle is not None
            write_at(held.handle, self.content[held.offset : end], held.offset)
            held.offset = end
            self.store.settle(held)
        finally:
            held.close()

    def die(self) -> None:
        """The web process ends after a write: bytes that nobody has acknowledged."""
        held = self.store.open(self.created.upload_id, self.created.token)
        assert held.handle is not None
        write_at(held.handle, self.content[held.offset : held.offset + 50_000], held.offset)
        held.close()

    @property
    def video(self) -> Video:
        return Video.get(Video.public_id == self.created.video_id)

    @property
    def job(self) -> Job:
        return job_of(self.video, "in_flight")

    @property
    def row(self) -> Upload:
        return Upload.get(Upload.public_id == self.created.upload_id)


@contextmanager
def flying(sending: Sending, settings: Settings, layout: Layout) -> Iterator[threading.Thread]:
    """The job runs, and ffmpeg has had bytes."""
    thread = threading.Thread(target=lambda: run_flight(settings))
    thread.start()
    wait_until("it encodes", lambda: list(layout.tmp.glob("*/made.mp4")), seconds=60)
    assert at_work_in(layout.tmp)
    try:
        yield thread
    finally:
        thread.join(timeout=30)
        assert not thread.is_alive()


def run_flight(settings: Settings) -> None:
    with database.connection_context():
        job = jobs.claim("media", "test", lease_s=settings.lease_s)
    assert job is not None and job.kind == renditions.AHEAD
    runner.run(job, settings, threading.Event())


def shown(video: Video, layout: Layout) -> str:
    """On the card of the library."""
    from web.rows import load_cards

    (card,) = load_cards(User.get(), layout, [video])
    return card.outlook


def is_clean(layout: Layout) -> bool:
    return list(layout.tmp.iterdir()) == [] and at_work_in(layout.tmp) == []


@pytest.mark.parametrize(
    "make", [index_first, fragmented, encoded, transport],
    ids=["index first", "fragmented", "matroska", "transport"],
)  # fmt: skip
def test_a_growing_file_becomes_what_the_finished_one_would(
    make: Callable[[], Path], store: Store, settings: Settings, layout: Layout
) -> None:
    file = make()
    sending = Sending(store, file, len(file.read_bytes()) * 5 // 6)
    assert sending.job.state is JobState.QUEUED
    with flying(sending, settings, layout):
        assert sending.video.state is VideoState.UPLOADING
        assert sending.job.stage == "Encoding while it uploads"
        assert shown(sending.video, layout).startswith("Encoding while it uploads, ")
        sending.go_on(len(sending.content) * 9 // 10)
        sending.die()
        sending.go_on()
        run_one(settings, "quick")
    run_social(settings)
    assert sending.video.state is VideoState.READY
    made = rendition_of(sending.video)
    assert (made.state, made.method) == (RenditionState.READY, Method.TRANSCODE)
    assert made.facts["ahead"] is True and made.facts["seconds"] >= made.facts["after_s"]
    assert job_of(sending.video, "in_flight").state is JobState.COMPLETED
    assert not Job.select().where(Job.kind == "encode", Job.rendition == made).exists()
    assert is_clean(layout)

    type(made).update(recipe="another").where(type(made).id == made.id).execute()  # no twin
    usual = bring_in(settings, file)
    run_social(settings)
    expected = rendition_of(usual).facts
    assert "ahead" not in expected
    for kind in ("video", "audio"):
        ours, theirs = made.facts["probe"][kind], expected["probe"][kind]
        assert ours | {"bit_rate": 0} == theirs | {"bit_rate": 0}
    assert made.facts["probe"]["duration_s"] == pytest.approx(expected["probe"]["duration_s"])


def test_what_turns_out_otherwise_is_thrown_away(
    store: Store, settings: Settings, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    sending = Sending(store, stumbles_later(), 5 * MIB // 4)
    with caplog.at_level("INFO"), flying(sending, settings, layout):
        sending.go_on()
        run_one(settings, "quick")
    assert "something else has to be done" in caplog.text
    run_social(settings)
    made = rendition_of(sending.video)
    assert (sending.video.state, made.state) == (VideoState.READY, RenditionState.READY)
    assert "ahead" not in made.facts
    assert job_of(sending.video, "encode").state is JobState.COMPLETED
    assert is_clean(layout)


def terminate(sending: Sending) -> None:
    uploads.stop(sending.store.settings, sending.row, UploadState.TERMINATED, "Enough.")


def expire(sending: Sending) -> None:
    uploads.stop(sending.store.settings, sending.row, UploadState.EXPIRED, "It took too long.")


def begin_anew(sending: Sending) -> None:
    held = sending.store.open(sending.created.upload_id, sending.created.token)
    sending.store.restart(held)
    held.close()


def kill_the_encoder(sending: Sending) -> None:
    for pid in at_work_in(sending.store.layout.tmp):
        os.kill(pid, signal.SIGKILL)


def cancel(sending: Sending) -> None:
    pipeline.cancel_job(sending.job, None)


@pytest.mark.parametrize("end", [terminate, expire, begin_anew, kill_the_encoder, cancel])
def test_whatever_ends_it_leaves_nothing(
    end: Callable[[Sending], None], store: Store, settings: Settings, layout: Layout
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    job, video = sending.job, sending.video
    with flying(sending, settings, layout):
        end(sending)
    wait_until("nothing is left", lambda: is_clean(layout))
    assert not layout.rendition(video.public_id, "social").exists()
    left = Job.get_or_none(Job.id == job.id)
    if end in (terminate, expire):
        assert left is None and Video.get_or_none(Video.id == video.id) is None
        return
    assert left.state is (JobState.CANCELLED if end is cancel else JobState.COMPLETED)
    sending.go_on()
    run_social(settings)
    made = rendition_of(video)
    assert (sending.video.state, made.state) == (VideoState.READY, RenditionState.READY)
    assert "ahead" not in made.facts


def test_a_cancel_of_what_is_all_there_is_cancels_it(
    store: Store, settings: Settings, layout: Layout
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    job = jobs.claim("media", "test", lease_s=30)  # a worker that is slow
    assert job is not None and job.kind == "in_flight"
    sending.go_on()
    run_one(settings, "quick")
    assert sending.video.state is VideoState.PROCESSING
    pipeline.cancel_job(job, None)
    jobs.cancelled(job)
    pipeline.settle_cancel(Job.get_by_id(job.id))
    assert sending.video.state is VideoState.FAILED
    restarts.retry_video(sending.video, None)
    run_social(settings)
    assert sending.video.state is VideoState.READY


def test_it_gives_its_place_to_others_while_bytes_trickle(
    store: Store, settings: Settings, layout: Layout
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    with flying(sending, settings, layout):
        other = bring_in(settings, media.webm_vp9())
        run_one(settings, "quick")
        assert job_of(other, "encode").priority == Priority.NORMAL
    run_social(settings)
    assert rendition_of(other).state is RenditionState.READY
    waiting = sending.job
    assert (waiting.state, waiting.payload["tries"]) == (JobState.QUEUED, 1)
    assert waiting.run_after is not None and is_clean(layout)
    sending.go_on()
    run_one(settings, "quick")
    run_social(settings)
    assert sending.video.state is VideoState.READY
    assert sending.job.state is JobState.CANCELLED


def test_when_the_sender_falls_silent_it_gives_way_though_nobody_waits(
    store: Store, settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "SILENCE_S", 0.2)
    sending = Sending(store, index_first(), 5 * MIB // 4)
    with flying(sending, settings, layout):
        pass
    waiting = sending.job
    assert (waiting.state, waiting.payload["tries"]) == (JobState.QUEUED, 1)
    assert waiting.run_after is not None and is_clean(layout)


def test_settings_that_change_under_way_are_those_it_is_made_by(
    store: Store, settings: Settings, layout: Layout
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    with flying(sending, settings, layout):
        Setting.create(name=profiles.CHOICES, value={"social": {"crf": 30}})
        sending.go_on()
        run_one(settings, "quick")
    assert rendition_of(sending.video).state is RenditionState.PENDING
    run_social(settings)
    made = rendition_of(sending.video)
    assert (made.state, made.recipe) == (RenditionState.READY, profiles.current("social").recipe)
    assert "ahead" not in made.facts and job_of(sending.video, "encode") is not None


def test_what_finds_no_room_on_the_disk_waits_and_is_encoded_as_usual(
    store: Store, settings: Settings, layout: Layout
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    Job.update(room_bytes=1 << 60).execute()
    with flying(sending, settings, layout):
        sending.go_on()
        run_one(settings, "quick")
    assert (sending.job.state, sending.job.stage) == (JobState.QUEUED, "Waiting for space")
    assert is_clean(layout)
    Job.update(room_bytes=0, run_after=None).execute()
    run_social(settings)
    assert sending.video.state is VideoState.READY
    assert "ahead" not in rendition_of(sending.video).facts


def test_a_file_that_is_sooner_than_the_encoder_is_encoded_as_usual(
    store: Store, settings: Settings
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    assert sending.job.state is JobState.QUEUED
    sending.go_on()
    run_one(settings, "quick")
    run_social(settings)
    assert sending.job.state is JobState.CANCELLED
    assert sending.video.state is VideoState.READY
    assert "ahead" not in rendition_of(sending.video).facts


def test_what_nobody_wants_is_not_begun(store: Store, settings: Settings) -> None:
    frugal = settings.model_copy(update={"auto_renditions": False})
    store.settings = frugal
    sending = Sending(store, index_first(), 5 * MIB // 4)
    assert not Job.select().where(Job.kind == renditions.AHEAD).exists()
    assert sending.row.early_look["facts"]["method"] == Method.TRANSCODE


def test_a_worker_that_is_killed_costs_nothing_but_time(
    store: Store, settings: Settings, layout: Layout
) -> None:
    sending = Sending(store, index_first(), 5 * MIB // 4)
    with worker(settings, "media") as process:
        wait_until("it encodes", lambda: list(layout.tmp.glob("*/made.mp4")), seconds=60)
        process.kill()
        process.wait()
    wait_until("nothing outlives it", lambda: at_work_in(layout.tmp) == [])
    sending.go_on()
    wait_until("its lease is over", lambda: ticker.take_back_expired() == 1)
    run_social(settings)
    made = rendition_of(sending.video)
    assert (sending.video.state, made.state) == (VideoState.READY, RenditionState.READY)
    assert "ahead" not in made.facts
