"""Real worker processes: stopped, killed, frozen, cancelled, and without their bells."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from appliance import bell, jobs
from appliance.clock import boottime_s
from appliance.models import Event, Heartbeat, Job
from appliance.settings import Settings
from appliance.states import JOB_ENDED, JobState, RenditionState, VideoState
from tasks import pipeline, ticker
from tasks.queue import connect
from tests import media
from tests.end_to_end.box import wait_for
from tests.tasks.doing import (
    again,
    at_work_in,
    bring_in,
    forget_later,
    is_ended,
    job_of,
    rendition_of,
    run_all,
    run_one,
    worker,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Video
    from storage.layout import Layout


@pytest.fixture(autouse=True)
def bells(settings: Settings, db: None) -> Iterator[None]:
    before = bell.ring
    connect(settings)
    yield
    bell.connect(before)


def bring_in_for_encoding(settings: Settings) -> Video:
    video = bring_in(settings, media.slow())
    assert run_one(settings, "quick").kind == "probe"
    assert job_of(video, "encode").state is JobState.QUEUED
    Job.delete().where(Job.kind == "preview").execute()  # it would run beside it
    forget_later()
    return video


def encoding(video: Video, layout: Layout) -> Job:
    """The encode, as soon as ffmpeg is at it."""

    def look() -> Job | None:
        job = job_of(video, "encode")
        return job if job.progress > 0 and at_work_in(layout.tmp) else None

    job: Job = wait_for("ffmpeg is encoding", look)
    return job


def assert_gone(layout: Layout) -> None:
    wait_for("no ffmpeg is left", lambda: not at_work_in(layout.tmp), seconds=5)


@pytest.mark.parametrize("backend", ["auto", "limits"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_a_stop_is_prompt_and_queues_the_encode_uncounted(
    how: signal.Signals, backend: str, settings: Settings, layout: Layout
) -> None:
    settings = settings.model_copy(update={"sandbox": backend})
    video = bring_in_for_encoding(settings)
    with worker(settings, "media") as process:
        encoding(video, layout)
        process.send_signal(how)
        assert process.wait(timeout=10) == 0
    assert_gone(layout)
    job = job_of(video, "encode")
    assert (job.state, job.attempts, job.crashes) == (JobState.QUEUED, 0, 0)
    assert list(layout.tmp.iterdir()) == []
    assert not Heartbeat.select().exists()


@pytest.mark.parametrize("backend", ["auto", "limits"])
def test_ffmpeg_dies_with_a_worker_that_is_killed_and_the_job_is_taken_back(
    backend: str, settings: Settings, layout: Layout
) -> None:
    settings = settings.model_copy(update={"sandbox": backend})
    video = bring_in_for_encoding(settings)
    with worker(settings, "media") as process:
        first = encoding(video, layout)
        process.kill()
        process.wait()
    assert_gone(layout)
    wait_for("the lease runs out", lambda: jobs.expired())
    ticker.sweep(settings)
    job = job_of(video, "encode")
    assert (job.state, job.attempts, job.crashes) == (JobState.QUEUED, 0, 1)
    assert list(layout.tmp.iterdir()) == []

    with worker(settings, "media"):
        second = encoding(video, layout)
        assert second.fence == first.fence + 1


def test_a_worker_that_was_frozen_past_its_lease_is_fenced_off(
    settings: Settings, layout: Layout
) -> None:
    video = bring_in_for_encoding(settings)
    with worker(settings, "media") as process:
        encoding(video, layout)
        process.send_signal(signal.SIGSTOP)
        wait_for("the lease runs out", lambda: jobs.expired())
        assert ticker.take_back_expired() == 1
        mine = jobs.claim("media", "another worker", lease_s=60)
        assert mine is not None

        process.send_signal(signal.SIGCONT)
        assert_gone(layout)
        job = job_of(video, "encode")
        assert (job.state, job.lease_owner, job.fence) == (
            JobState.RUNNING,
            "another worker",
            mine.fence,
        )
        assert rendition_of(video).state is RenditionState.PROCESSING
        assert process.poll() is None


def test_a_cancel_reaches_ffmpeg(settings: Settings, layout: Layout) -> None:
    video = bring_in_for_encoding(settings)
    with worker(settings, "media"):
        job = encoding(video, layout)
        assert pipeline.cancel_job(job, None) is JobState.RUNNING
        asked_s = boottime_s()
        wait_for("the job is cancelled", lambda: is_ended(job), seconds=10)
        took_s = boottime_s() - asked_s
        assert_gone(layout)
    assert job_of(video, "encode").state is JobState.CANCELLED
    assert again(video).state is VideoState.FAILED
    # Said in the design: within a second. Ten times that, because others use this machine too.
    assert took_s < 10


def test_progress_and_time_left_are_told(settings: Settings, layout: Layout) -> None:
    video = bring_in_for_encoding(settings)
    with worker(settings, "media"):
        told = wait_for(
            "there is an estimate",
            lambda: (job := job_of(video, "encode")).eta_s is not None and job,
        )
    assert told.stage == "Encoding"
    assert 0 < told.progress < 1
    assert told.eta_s > 0


def test_bells_that_are_deleted_are_hung_again(settings: Settings) -> None:
    with worker(settings, "quick"), worker(settings, "media"):
        first = bring_in(settings, media.h264_aac())
        wait_for("the first is ready", lambda: again(first).state is VideoState.READY)
        for path in settings.data.glob("queue.db*"):
            path.unlink()
        second = bring_in(settings, media.index_last())
        wait_for("the second is ready", lambda: again(second).state is VideoState.READY)
        settings.queue_path.write_bytes(b"this is no database" * 500)
        third = bring_in(settings, media.with_location())
        wait_for("the third is ready", lambda: again(third).state is VideoState.READY)


def test_what_nobody_rang_for_is_found_by_the_sweep(settings: Settings) -> None:
    with worker(settings, "quick"), worker(settings, "delivery"):
        wait_for("both are here", lambda: Heartbeat.select().count() == 2)
        bell.connect(lambda queue, priority: None)
        video = bring_in(settings, media.h264_aac())
        wait_for("it is ready", lambda: again(video).state is VideoState.READY)


def test_a_frozen_worker_loses_its_job_to_the_ticker_of_a_real_worker(
    settings: Settings, layout: Layout
) -> None:
    video = bring_in_for_encoding(settings)
    with worker(settings, "media") as frozen:
        encoding(video, layout)
        frozen.send_signal(signal.SIGSTOP)
        with worker(settings, "delivery"), worker(settings, "media"):
            wait_for("the job is claimed again", lambda: job_of(video, "encode").fence == 2)
            assert job_of(video, "encode").crashes == 1


def test_two_messages_run_a_job_once(settings: Settings) -> None:
    video = bring_in(settings, media.h264_aac())
    for _ in range(5):
        bell.ring("quick", 0)
    with worker(settings, "quick"):
        wait_for("it is ready", lambda: again(video).state is VideoState.READY)
    assert {job.fence for job in Job.select() if job.state in JOB_ENDED} == {1}


def test_a_worker_says_that_it_is_alive(settings: Settings) -> None:
    with worker(settings, "quick") as process:
        beat = wait_for("a heartbeat", lambda: Heartbeat.get_or_none())
        assert (beat.process, beat.pid) == ("worker-quick", process.pid)
        assert beat.beat_boottime_s <= boottime_s()


def test_a_second_signal_ends_it_on_the_spot(settings: Settings, layout: Layout) -> None:
    video = bring_in_for_encoding(settings)
    with worker(settings, "media") as process:
        encoding(video, layout)
        freeze(layout)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) in (0, 1)
    assert_gone(layout)
    run_all_but_encodes(settings)


def freeze(layout: Layout) -> None:
    """ffmpeg doesn't answer; only a kill helps."""
    for pid in at_work_in(layout.tmp):
        os.kill(pid, signal.SIGSTOP)


def run_all_but_encodes(settings: Settings) -> None:
    Job.delete().where(Job.kind == "encode").execute()
    run_all(settings)


def test_a_stalled_encoder_is_ended_and_tried_again(settings: Settings, layout: Layout) -> None:
    settings = settings.model_copy(update={"stall_s": 3.0})
    video = bring_in_for_encoding(settings)
    with worker(settings, "media"):
        encoding(video, layout)
        freeze(layout)
        wait_for("the job failed once", lambda: job_of(video, "encode").attempts == 1)
    told = [event.data["error"] for event in Event.select().where(Event.type == "job.queued")]
    assert any("stood still for 3 s" in (error or "") for error in told)
