"""The ticker: due jobs, lost leases, leftovers, and a clock that jumps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import bell, jobs, videos
from appliance.clock import now
from appliance.errors import InvalidTransition
from appliance.models import Event, IdempotencyKey, Job, Post, Setting, Video
from appliance.states import JobState
from tasks import ticker
from tests.factories import make_user, make_video
from tests.tasks.doing import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def rung() -> Iterator[list[str]]:
    before, heard = bell.ring, []
    bell.connect(lambda queue, priority: heard.append(queue))
    yield heard
    bell.connect(before)


def tick_in_thread(settings: Settings) -> None:
    from tests.tasks.doing import in_thread

    in_thread(lambda: ticker.tick(settings))


def test_rings_for_what_is_due_and_not_for_what_waits(settings: Settings, rung: list[str]) -> None:
    jobs.create("probe", "due", run_after=now() - timedelta(seconds=1))
    jobs.create("encode", "later", run_after=now() + timedelta(hours=1))
    rung.clear()
    tick_in_thread(settings)
    assert rung == ["quick"]


def test_only_one_of_two_tickers_sweeps(settings: Settings) -> None:
    assert ticker._is_my_turn(30)
    assert not ticker._is_my_turn(30)
    assert ticker._is_my_turn(0)


def test_a_restart_of_the_machine_makes_it_anybodys_turn(settings: Settings) -> None:
    assert ticker._is_my_turn(3600)
    value = Setting.get().value
    Setting.update(value={**value, "boot": "another", "at": value["at"] + 1e9}).execute()
    assert ticker._is_my_turn(3600)


@pytest.mark.parametrize("step", [timedelta(days=2), timedelta(days=-2)])
def test_a_wait_stays_as_long_when_the_clock_is_set(step: timedelta, settings: Settings) -> None:
    due = now() + timedelta(seconds=30)
    job = jobs.create("probe", "backoff", run_after=due)
    assert ticker._is_my_turn(0)
    last = Setting.get().value
    # As if the clock had stood elsewhere at the last sweep.
    Setting.update(value={**last, "offset": last["offset"] - step.total_seconds()}).execute()
    assert ticker._is_my_turn(0)
    moved = Job.get_by_id(job.id).run_after
    assert abs((moved - due - step).total_seconds()) < 1


def test_a_time_that_a_person_chose_stands_when_the_clock_is_set(settings: Settings) -> None:
    chosen = now() + timedelta(days=1)
    post = Post.create(video=make_video(), publish_at=chosen)
    job = jobs.create("publish", "scheduled", post=post, run_after=chosen)
    ticker.follow_clock_step(3600.0)
    assert Job.get_by_id(job.id).run_after == chosen


def test_folders_of_claims_that_are_gone_are_swept(settings: Settings, layout: Layout) -> None:
    jobs.create("probe", "lives")
    job = jobs.claim("quick", "worker", lease_s=60)
    assert job is not None
    lives = layout.job_folder(job.public_id, job.fence)
    old = layout.job_folder(job.public_id, job.fence + 1)
    for folder in (lives, old):
        folder.mkdir()
    ticker.sweep(settings)
    assert lives.exists() and not old.exists()


def test_a_job_that_cannot_be_ended_holds_up_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose end breaks a rule of the states, say: the sweep must not stop at it for ever."""
    stuck = jobs.create("probe", "stuck", video=make_video())
    jobs.create("probe", "other", video=make_video())
    for _ in range(2):
        assert jobs.claim("quick", "dead", lease_s=-1)
    Job.update(crashes=jobs.MAX_CRASHES).where(Job.id == stuck.id).execute()

    def refuse(job: Job, failure: object) -> None:
        raise InvalidTransition("This can't go there.")

    monkeypatch.setattr("tasks.pipeline.settle_failure", refuse)
    old = Event.create(type="job.progress", subject="x", at=now() - timedelta(days=1))
    ticker.sweep(settings)
    assert Job.get(Job.key == "other").state is JobState.QUEUED
    assert Job.get_by_id(stuck.id).state is JobState.RUNNING
    assert Event.get_or_none(Event.id == old.id) is None


def test_the_bin_is_emptied_after_a_week(settings: Settings, layout: Layout) -> None:
    actor = make_user()
    young, old = make_video(), make_video()
    for video in (young, old):
        layout.video(video.public_id).mkdir()
        videos.trash(video, actor=actor)
    week = timedelta(days=7, minutes=1)
    Video.update(deleted_at=now() - week).where(Video.id == old.id).execute()
    ticker.sweep(settings)
    run_all(settings)
    assert [video.id for video in Video.select()] == [young.id]
    assert layout.trashed(young.public_id).exists()
    assert not layout.trashed(old.public_id).exists()
    assert not layout.video(old.public_id).exists()


def test_old_rows_are_pruned(settings: Settings) -> None:
    user, video = make_user(), make_video()
    long_ago = now() - timedelta(days=8)
    job = jobs.create("probe", "done", video=video)
    Job.update(state=JobState.COMPLETED, finished_at=long_ago).where(Job.id == job.id).execute()
    for type_ in ("job.progress", "video.ready"):
        Event.create(type=type_, subject="x", at=long_ago)
    IdempotencyKey.create(user=user, key="k", fingerprint="f", created_at=long_ago)
    ticker.sweep(settings)
    assert Job.get_or_none(Job.id == job.id) is None
    assert [event.type for event in Event.select().where(Event.at == long_ago)] == ["video.ready"]
    assert not IdempotencyKey.select().exists()


def test_a_video_without_a_job_goes_on(settings: Settings) -> None:
    video = make_video()
    ticker.sweep(settings)
    assert [(job.kind, job.video_id) for job in Job.select()] == [("probe", video.id)]
