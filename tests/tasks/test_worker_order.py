"""Real media workers: how much runs at a time, who makes way for people, and the night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import bell
from appliance.clock import now
from appliance.job_log import Ending
from appliance.models import Job, JobRun, Priority
from appliance.states import JobState
from tasks import renditions
from tasks.profiles import SOCIAL
from tasks.queue import connect
from tests import media
from tests.end_to_end.box import wait_for
from tests.tasks.doing import bring_in, is_ended, job_of, run_one, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.models import Video
    from appliance.settings import Settings


@pytest.fixture(autouse=True)
def bells(settings: Settings, db: None) -> Iterator[None]:
    before = bell.ring
    connect(settings)
    yield
    bell.connect(before)


def to_encode(settings: Settings, file: Path, **columns: object) -> Job:
    """The encode of a new video, alone in the line; ``columns``: of its job."""
    video = bring_in(settings, file)
    assert run_one(settings, "quick").kind == "probe"
    Job.delete().where(Job.video == video, Job.kind.not_in(["probe", "encode"])).execute()
    if columns:
        Job.update(columns).where(Job.id == job_of(video, "encode").id).execute()
    return job_of(video, "encode")


def fresh(job: Job) -> Job:
    return Job.get_by_id(job.id)


def is_at_work(job: Job) -> bool:
    return fresh(job).progress > 0


def test_two_small_films_are_encoded_at_a_time(settings: Settings) -> None:
    settings = settings.model_copy(update={"encode_cores": 2.0})
    both = [to_encode(settings, media.slow()) for _ in range(2)]
    assert [job.cores for job in both] == [1.0, 1.0]
    with worker(settings, "media"):
        wait_for("both are encoded", lambda: all(is_at_work(job) for job in both))


def test_large_films_are_encoded_one_after_another(settings: Settings) -> None:
    settings = settings.model_copy(update={"encode_cores": 2.0})
    both = [to_encode(settings, media.webm_vp9(), cores=4) for _ in range(2)]
    with worker(settings, "media"):
        wait_for("both are there", lambda: all(is_ended(job) for job in both))
    first, second = JobRun.select().where(JobRun.job.in_(both)).order_by(JobRun.id)
    assert first.ended_at <= second.started_at
    assert [fresh(job).state for job in both] == [JobState.COMPLETED] * 2


def test_a_remake_makes_way_for_a_post_and_is_begun_again(settings: Settings) -> None:
    settings = settings.model_copy(update={"encode_cores": 2.0})
    remake = to_encode(
        settings,
        media.slow(),
        cores=4,
        priority=int(Priority.LOW),
        payload={"remake": True},
    )
    with worker(settings, "media"):
        wait_for("the re-make runs", lambda: is_at_work(remake))
        asked = to_encode(settings, media.webm_vp9(), cores=4)
        video: Video | None = asked.video
        assert video is not None
        renditions.want_rendition(video, SOCIAL.name, Priority.HIGH)
        wait_for("what was asked for is there", lambda: is_ended(asked))
        wait_for("the re-make is begun again", lambda: fresh(remake).fence == 2)
    assert fresh(asked).state is JobState.COMPLETED
    assert (fresh(remake).attempts, fresh(remake).crashes) == (0, 0)
    run = JobRun.get(JobRun.job == remake, JobRun.fence == 1)
    assert run.outcome == Ending.MADE_WAY.value


def test_by_day_only_what_somebody_wants_is_encoded(settings: Settings) -> None:
    hour = (now().hour + 12) % 24
    settings = settings.model_copy(update={"night_hours": f"{hour:02}:00-{(hour + 1) % 24:02}:00"})
    later = to_encode(settings, media.webm_vp9(), only_at_night=True)
    other = to_encode(settings, media.h264_opus())
    with worker(settings, "media"), worker(settings, "delivery"):
        wait_for("the other is there", lambda: is_ended(other))
        assert fresh(later).fence == 0
        video: Video | None = later.video
        assert video is not None
        renditions.want_rendition(video, SOCIAL.name, Priority.HIGH)
        wait_for("it is there", lambda: is_ended(later))
    assert fresh(later).state is JobState.COMPLETED
