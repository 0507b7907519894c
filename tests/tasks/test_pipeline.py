"""From an original to a ready video, with real ffmpeg in the real sandbox."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import av
import pytest
from PIL import Image

from appliance import jobs, videos
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, JobFailed
from appliance.job_kinds import KINDS
from appliance.models import Event, Job, Method, Priority, Video
from appliance.settings import Settings
from appliance.states import JobState, RenditionState, VideoState
from tasks import pipeline, renditions, restarts, runner
from tasks.probe.facts import Edits, Probe
from tasks.profiles import SOCIAL
from tasks.transcode.plan import plan
from tasks.transcode.task import length_fault
from tests import media
from tests.factories import make_user
from tests.tasks.doing import again, bring_in, job_of, rendition_of, run_all, run_one
from tests.tasks.test_plan import FITS
from tests.tasks.test_plan import video as changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage.layout import Layout


@pytest.mark.parametrize(
    ("make", "method", "kind"),
    [
        pytest.param(media.h264_aac, Method.LEAVE, "remux", id="fits"),
        pytest.param(media.index_last, Method.REMUX, "remux", id="index last"),
        pytest.param(media.with_location, Method.REMUX, "remux", id="tells the place"),
        pytest.param(media.h264_opus, Method.AUDIO, "encode", id="opus"),
        pytest.param(media.silent, Method.AUDIO, "encode", id="silent"),
        pytest.param(media.webm_vp9, Method.TRANSCODE, "encode", id="vp9"),
        pytest.param(media.turned, Method.TRANSCODE, "encode", id="turned"),
    ],
)
def test_becomes_ready_by_the_cheapest_way(
    make: Callable[[], Path],
    method: Method,
    kind: str,
    db: None,
    settings: Settings,
    layout: Layout,
) -> None:
    video = bring_in(settings, make())
    run_all(settings)

    ready, rendition = again(video), rendition_of(video)
    assert (ready.state, ready.error) == (VideoState.READY, None)
    assert (rendition.state, rendition.method) == (RenditionState.READY, method)
    assert job_of(video, kind).state is JobState.COMPLETED
    file = layout.rendition(video.public_id, "social")
    content = file.read_bytes()
    assert rendition.sha256 == hashlib.sha256(content).hexdigest()
    assert rendition.size_bytes == len(content)
    result = Probe.from_dict(rendition.facts["probe"])
    assert plan(result, SOCIAL).method is Method.LEAVE
    assert result.edits is Edits.NONE and result.faststart and not result.has_location
    assert result.video is not None and result.audio is not None
    assert abs(result.video.first_s - result.audio.first_s) < 0.08
    assert ready.sha256 == hashlib.sha256(make().read_bytes()).hexdigest()
    assert list(layout.tmp.iterdir()) == []


def test_what_fits_takes_no_room(db: None, settings: Settings, layout: Layout) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    original = layout.original(video.public_id).stat()
    assert layout.rendition(video.public_id, "social").stat().st_ino == original.st_ino


def test_a_turned_video_is_measured_and_made_upright(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.turned())
    run_all(settings)
    ready = again(video)
    assert (ready.width, ready.height) == (120, 160)
    result = Probe.from_dict(rendition_of(video).facts["probe"]).video
    assert result is not None
    assert (result.width, result.height, result.turned) == (120, 160, False)
    with Image.open(layout.poster(video.public_id)) as poster:
        assert (poster.format, poster.size) == ("WEBP", (120, 160))


def test_poster_is_not_black_when_the_film_begins_so(
    db: None, settings: Settings, layout: Layout
) -> None:
    fade = media.clip(
        "fade.mp4", *media.H264, size="320x240", seconds=4, source="testsrc2=s={size}:r={fps}"
        ":d={seconds},drawbox=t=fill:c=black:enable='lt(t,1.3)'",
    )  # fmt: skip
    video = bring_in(settings, fade)
    run_all(settings)
    assert again(video).poster_version == 1
    with Image.open(layout.poster(video.public_id)) as poster:
        darkest, lightest = poster.convert("L").getextrema()
    assert lightest > 100


HOSTILE: list[tuple[str, Callable[[], Path], str]] = [
    ("empty", media.empty, "0 bytes"),
    ("two bytes", media.two_bytes, "only 2 bytes"),
    ("text", media.not_a_video, "text file"),
    ("audio only", media.audio_only, "sound but no picture"),
    ("picture", media.still_picture, "still picture (PNG)"),
    ("truncated", media.truncated, "ends early"),
    ("truncated without index", media.truncated_without_index, "ends early"),
    ("truncated mkv", media.truncated_mkv, "ends early"),
    ("playlist", media.playlist, "playlist"),
    ("concat script", media.concat_script, "playlist"),
    ("dash", media.dash_manifest, "playlist"),
    ("sdp", media.sdp, "stream on the network"),
    ("svg", media.svg, "drawing"),
    ("tiny", media.tiny_picture, "4 × 4"),
    ("huge", media.huge_picture, "8192 × 8192"),
    ("long", media.very_long, "7 hours"),
    ("tracks", media.many_tracks, "41 tracks"),
]


@pytest.mark.parametrize(
    ("make", "words"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_what_is_no_video_fails_with_a_sentence_and_is_kept(
    make: Callable[[], Path], words: str, db: None, settings: Settings, layout: Layout
) -> None:
    file = make()
    video = bring_in(settings, file)
    run_all(settings)

    failed = again(video)
    assert failed.state is VideoState.FAILED
    assert words in (failed.error or "")
    assert job_of(video, "probe").state is JobState.FAILED
    assert str(settings.data) not in f"{failed.error} {failed.error_detail}"
    assert layout.original(video.public_id).read_bytes() == file.read_bytes()


def test_what_is_damaged_inside_fails_and_keeps_its_poster(
    db: None, settings: Settings, layout: Layout
) -> None:
    """Only the encoder notices: the probe reads the beginning, and the length is right."""
    whole = bytearray(media.webm_vp9(4).read_bytes())
    middle = slice(len(whole) // 3, len(whole) - 2000)
    whole[middle] = b"\x00" * (middle.stop - middle.start)
    video = bring_in(settings, media.written("holes.webm", bytes(whole)))
    run_all(settings)

    failed = again(video)
    assert failed.state is VideoState.FAILED
    assert "damaged" in (failed.error or "") or "could not" in (failed.error or "")
    assert rendition_of(video).state is RenditionState.FAILED
    assert failed.poster_version == 1
    assert not layout.rendition(video.public_id, "social").exists()


def with_holes(begin_s: float, end_s: float = 99.0) -> Path:
    """Pictures that have to be encoded, some of them zeroes; length, index and sound are whole."""
    source = media.clip(
        "holes.mp4", *media.H264, *media.AAC, seconds=5,
        source="testsrc2=s={size}:r={fps}:d={seconds},setsar=64/63",
    )  # fmt: skip
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        for packet in container.demux(video=0):
            if packet.pos is None or packet.pts is None or packet.time_base is None:
                continue
            if begin_s <= packet.pts * packet.time_base < end_s:
                content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    return media.written(f"holes-{begin_s:g}-{end_s:g}.mp4", bytes(content))


@pytest.mark.parametrize("holes", [(2.0, 99.0), (1.5, 3.5)], ids=["to the end", "in the middle"])
def test_pictures_that_are_missing_below_whole_sound_are_noticed(
    holes: tuple[float, float], db: None, settings: Settings
) -> None:
    video = bring_in(settings, with_holes(*holes))
    run_all(settings)
    assert rendition_of(video).state is RenditionState.FAILED
    assert "damaged in the middle" in (again(video).error or "")


def test_a_scratch_is_borne(db: None, settings: Settings) -> None:
    video = bring_in(settings, with_holes(2.0, 2.2))
    run_all(settings)
    assert again(video).state is VideoState.READY


@pytest.mark.parametrize(
    ("made_s", "picture_s", "source_s", "words"),
    [
        (20.0, 20.0, 20.0, ""),
        (20.0, 8.0, 20.0, "has 8.0 s of picture instead of 20.0 s"),
        (20.0, 8.0, 8.1, ""),  # as in the source
        (20.0, 8.0, None, ""),  # which doesn't say
        (20.0, None, 20.0, ""),
        (19.2, 19.2, 20.0, ""),
        (18.9, 18.9, 20.0, "lasts 18.9 s instead of 20.0 s"),
    ],
)
def test_each_track_is_held_to_its_source(
    made_s: float, picture_s: float | None, source_s: float | None, words: str
) -> None:
    made = replace(FITS, duration_s=made_s, **changed(duration_s=picture_s))
    source = replace(FITS, duration_s=20.0, **changed(duration_s=source_s))
    assert length_fault(made, source, 20.0) == words


def test_of_an_hour_no_more_than_seconds_may_be_missing() -> None:
    hour = replace(FITS, duration_s=3600.0)
    assert length_fault(replace(FITS, duration_s=3590.0), hour, 3600.0)
    assert not length_fault(replace(FITS, duration_s=3598.0), hour, 3600.0)


def test_same_bytes_are_found_not_made_again(db: None, settings: Settings, layout: Layout) -> None:
    first = bring_in(settings, media.webm_vp9())
    run_all(settings)
    second = bring_in(settings, media.webm_vp9())
    run_all(settings)

    assert rendition_of(second).facts["reused"] is True
    assert Job.select().where(Job.video == second, Job.kind == "encode").count() == 0
    one, two = (layout.rendition(video.public_id, "social").stat() for video in (first, second))
    assert one.st_ino == two.st_ino


def test_a_twin_whose_file_is_gone_is_no_help_and_no_harm(
    db: None, settings: Settings, layout: Layout
) -> None:
    first = bring_in(settings, media.webm_vp9())
    run_all(settings)
    layout.rendition(first.public_id, "social").unlink()
    second = bring_in(settings, media.webm_vp9())
    run_all(settings)
    kinds = [job.kind for job in Job.select().where(Job.rendition == rendition_of(second))]
    assert sorted(kinds) == ["encode", "remux"]
    assert rendition_of(second).method is Method.TRANSCODE
    assert again(second).state is VideoState.READY


def test_a_copy_that_was_refused_is_encoded(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.index_last())
    only_probe(settings)
    job = job_of(video, "remux")
    with transaction():
        pipeline.hand_to_encoder(job, rendition_of(video), "isn't taken")
        Job.delete().where(Job.id == job.id).execute()
    run_all(settings)
    made = rendition_of(video)
    assert (made.state, made.method) == (RenditionState.READY, Method.TRANSCODE)
    assert made.facts["reasons"] == ["isn't taken"]


def on_demand(settings: Settings) -> Settings:
    return settings.model_copy(update={"auto_renditions": False})


def test_without_auto_renditions_a_video_is_ready_and_its_rendition_waits(
    db: None, settings: Settings
) -> None:
    settings = on_demand(settings)
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    assert again(video).state is VideoState.READY
    assert rendition_of(video).state is RenditionState.PENDING
    assert Job.select().where(Job.kind.in_(["remux", "encode"])).count() == 0

    renditions.want_rendition(again(video), priority=Priority.HIGH)
    run_all(settings)
    assert rendition_of(video).state is RenditionState.READY


def test_a_wish_before_the_first_look_is_remembered(db: None, settings: Settings) -> None:
    settings = on_demand(settings)
    video = bring_in(settings, media.h264_aac())
    renditions.want_rendition(video, priority=Priority.HIGH)
    run_all(settings)
    assert rendition_of(video).state is RenditionState.READY
    assert job_of(video, "remux").priority == Priority.HIGH


def test_a_wish_lifts_the_job_that_is_there_and_makes_no_second(
    db: None, settings: Settings
) -> None:
    video = bring_in(settings, media.webm_vp9())
    only_probe(settings)
    for _ in range(3):
        renditions.want_rendition(again(video), priority=Priority.HIGH)
    made = list(Job.select().where(Job.kind == "encode"))
    assert [job.priority for job in made] == [Priority.HIGH]


def only_probe(settings: Settings) -> None:
    assert run_one(settings, "quick").kind == "probe"


def test_a_ready_rendition_is_not_made_again(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    before = Job.select().count()
    assert renditions.want_rendition(again(video)).state is RenditionState.READY
    assert Job.select().count() == before


def test_retry_makes_a_ready_rendition_anew(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.index_last())
    run_all(settings)
    first = rendition_of(video).ready_at
    restarts.retry_video(again(video), None)
    assert rendition_of(video).state is RenditionState.READY  # its file serves until then
    assert job_of(video, "remux").priority == Priority.HIGH
    run_all(settings)
    assert rendition_of(video).state is RenditionState.READY
    assert rendition_of(video).ready_at > first


def test_a_retry_that_comes_to_nothing_leaves_the_ready_file(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.index_last())
    run_all(settings)
    before = rendition_of(video)
    restarts.retry_video(again(video), None)
    pipeline.cancel_job(job_of(video, "remux"), None)
    layout.original(video.public_id).write_bytes(b"broken since")
    restarts.retry_video(again(video), None)
    run_all(settings)
    assert job_of(video, "encode").state is JobState.FAILED
    assert again(video).state is VideoState.READY
    after = rendition_of(video)
    assert (after.state, after.ready_at) == (RenditionState.READY, before.ready_at)
    assert layout.rendition(video.public_id, "social").stat().st_size == before.size_bytes


def test_a_retry_without_the_original_is_refused_although_there_is_a_twin(
    db: None, settings: Settings
) -> None:
    video, _ = (bring_in(settings, media.index_last()) for _ in range(2))
    run_all(settings)
    Video.update(original_removed_at=now()).where(Video.id == video.id).execute()
    with pytest.raises(Conflict, match="was removed to save space"):
        restarts.retry_video(again(video), None)
    assert rendition_of(video).state is RenditionState.READY


def test_retry_after_a_failed_look_looks_again(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.truncated())
    run_all(settings)
    layout.original(video.public_id).write_bytes(media.h264_aac().read_bytes())
    restarts.retry_video(again(video), None)
    run_all(settings)
    assert (again(video).state, again(video).error) == (VideoState.READY, None)


def test_no_rendition_can_be_wanted_of_what_is_no_video(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.not_a_video())
    run_all(settings)
    with pytest.raises(Conflict, match="text file"):
        renditions.want_rendition(again(video))


@pytest.mark.parametrize("kind", ["probe", "encode"])
def test_cancelled_work_ends_in_a_state_with_retry(kind: str, db: None, settings: Settings) -> None:
    video = bring_in(settings, media.webm_vp9())
    if kind == "encode":
        only_probe(settings)
    state = pipeline.cancel_job(job_of(video, kind), None)
    assert state is JobState.CANCELLED
    assert again(video).state is VideoState.FAILED
    assert "cancelled" in (again(video).error or "")

    restarts.retry_job(job_of(video, kind), None)
    run_all(settings)
    assert again(video).state is VideoState.READY
    assert rendition_of(video).state is RenditionState.READY


def test_a_video_in_the_bin_is_left_alone_and_goes_on_after_its_return(
    db: None, settings: Settings
) -> None:
    video = bring_in(settings, media.webm_vp9())
    only_probe(settings)
    actor = make_user()
    videos.trash(again(video), actor=actor)
    run_all(settings)
    assert again(video).state is VideoState.TRASHED
    assert rendition_of(video).state is RenditionState.PENDING

    videos.restore(again(video), actor=actor)
    restarts.sweep(settings)
    run_all(settings)
    assert again(video).state is VideoState.READY


def test_a_failure_of_a_video_in_the_bin_waits_for_its_return(db: None, settings: Settings) -> None:
    """Its files were moved away under the job."""
    video = bring_in(settings, media.webm_vp9())
    only_probe(settings)
    pipeline.rendition_started(rendition_of(video))
    videos.trash(again(video), actor=make_user())
    pipeline.settle_failure(job_of(video, "encode"), JobFailed("No such file.", permanent=True))
    assert rendition_of(video).state is RenditionState.PENDING
    assert again(video).state_before_trash == VideoState.PROCESSING


def test_an_old_look_that_is_repeated_leaves_a_ready_video_ready(
    db: None, settings: Settings
) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    jobs.create("probe", "again", video=video)
    run_all(settings)
    assert again(video).state is VideoState.READY
    assert Job.select().where(Job.rendition == rendition_of(video)).count() == 1


def test_a_repeated_look_that_fails_leaves_a_ready_video_ready(
    db: None, settings: Settings, layout: Layout
) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    layout.original(video.public_id).unlink()
    jobs.create("probe", "again", video=video)
    assert run_one(settings, "quick").state is JobState.FAILED
    assert again(video).state is VideoState.READY
    assert rendition_of(video).state is RenditionState.READY


def test_a_repeated_look_can_be_cancelled(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    job = jobs.create("probe", "again", video=video)
    assert pipeline.cancel_job(job, None) is JobState.CANCELLED
    assert again(video).state is VideoState.READY


def test_events_tell_the_story_in_order(db: None, settings: Settings) -> None:
    video = bring_in(settings, media.h264_aac())
    run_all(settings)
    told = [
        event.type
        for event in Event.select().where(Event.subject == f"video:{video.public_id}")
        if event.type != "video.poster" and event.data.get("profile") in (None, "social")
    ]
    assert told == ["video.processing", "rendition.processing", "rendition.ready", "video.ready"]
    states: list[Any] = [
        event.data["state"] for event in Event.select().where(Event.type == "video.ready")
    ]
    assert states == [VideoState.READY]


def test_every_kind_of_job_has_its_handler() -> None:
    assert set(runner.HANDLERS) == set(KINDS)
    for kind in KINDS:
        assert callable(runner.handler(kind))


def test_original_that_vanished_is_said(db: None, settings: Settings, layout: Layout) -> None:
    video: Video = bring_in(settings, media.h264_aac())
    layout.original(video.public_id).unlink()
    run_all(settings)
    assert "gone from the disk" in (again(video).error or "")
