"""How long work takes: from samples to a range, and through the line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from appliance import job_history, jobs
from appliance.clock import boot_id, now
from appliance.job_history import Ahead, Range, in_line, learn_pace, left_of
from appliance.models import Heartbeat, Job, JobSample, Priority, Rendition, Video
from appliance.states import JobState
from tests.factories import make_video

SECOND = Range(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("samples", "work", "takes"),
    [
        ([], 10, None),
        ([(10, 5)], 10, Range(2.5, 5, 10)),  # one alone says little: half to twice
        ([(10, 5)] * 4, 20, Range(8, 10, 12.5)),
        # The nearest in size tell, not those that are mostly the start of a program.
        ([(10, 10), (11, 11), (12, 12), (1, 5), (1, 5)], 10, Range(7.5, 10, 10 * 4 / 3)),
        ([(10, 0.5)], 1000, None),
        ([(10, 5)], 1000, Range(250, 500, 1000)),
        ([(0, 5)], 10, None),
    ],
)
def test_learn(samples: list[tuple[float, float]], work: float, takes: Range | None) -> None:
    pace = learn_pace(samples, work)
    if takes is None:
        assert pace is None
    else:
        assert pace is not None
        assert vars(pace * work) == pytest.approx(vars(takes))


@pytest.mark.parametrize("samples", [2, 5, 50])
def test_more_samples_narrow_the_range(samples: int) -> None:
    many = learn_pace([(10.0, 5.0 + n % 2) for n in range(samples)], 10.0)
    more = learn_pace([(10.0, 5.0 + n % 2) for n in range(samples * 4)], 10.0)
    assert many and more
    assert more.high_s - more.low_s < many.high_s - many.low_s
    assert more.low_s <= more.likely_s <= more.high_s


USUAL = Range(80, 100, 150)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3, 0.6, 0.95])
def test_left_comes_down_with_a_job_that_goes_as_usual(fraction: float) -> None:
    left = left_of(USUAL, 100 * fraction, fraction)
    assert left is not None
    assert left.likely_s == pytest.approx(100 * (1 - fraction))
    assert 0 <= left.low_s <= left.likely_s <= left.high_s
    assert left.high_s - left.low_s <= 70 * (1 - fraction) + 1e-6


def test_its_own_pace_overrules_what_is_usual() -> None:
    slow = left_of(USUAL, 200, 0.5)  # four minutes in all instead of 100 s
    assert slow is not None and slow.likely_s == pytest.approx(200)
    early = left_of(USUAL, 20, 0.05)
    assert early is not None and 100 < early.likely_s < 380 * 0.4


@pytest.mark.parametrize(
    ("usual", "elapsed_s", "fraction", "expected"),
    [
        (None, 5, 0.0, None),
        (None, 5, 0.01, None),  # too early to tell
        (None, 50, 0.5, 50),
        (Range(1, 2, 3), 10, 0.0, 2.5),  # overdue
    ],
)
def test_left_without_history_or_without_progress(
    usual: Range | None, elapsed_s: float, fraction: float, expected: float | None
) -> None:
    left = left_of(usual, elapsed_s, fraction)
    assert (left and left.likely_s) == expected


@pytest.mark.parametrize(
    ("line", "lanes", "starts"),
    [
        ([(3, True), (2, False), (1, False)], 1, [0, 3, 5]),
        ([(3, True), (2, False), (1, False)], 2, [0, 0, 2]),
        ([(3, False)], 1, [0]),
        ([(None, True), (2, False)], 1, [0, None]),
        ([(None, True), (2, False), (1, False)], 2, [0, 0, 2]),
        ([(1, True), (None, False), (2, False)], 1, [0, 1, None]),
    ],
)
def test_in_line(
    line: list[tuple[float | None, bool]], lanes: int, starts: list[float | None]
) -> None:
    ahead = [
        Ahead(number, Range(left, left, left) if left is not None else None, running)
        for number, (left, running) in enumerate(line)
    ]
    found = in_line(ahead, lanes)
    begins = [found[number][0] for number in range(len(line))]
    assert [start and start.likely_s for start in begins] == starts


# With rows


def make_job(work: float, kind: str = "encode", **columns: Any) -> tuple[Video, Job]:
    video = make_video()
    rendition = Rendition.create(video=video, profile="social", recipe="1")
    job = jobs.create(kind, f"x:{video.public_id}", video=video, rendition=rendition, work=work)
    Job.update({"cores": 64.0, **columns}).where(Job.id == job.id).execute()  # one at a time
    return video, Job.get_by_id(job.id)


@pytest.mark.usefixtures("db")
def test_only_the_last_samples_of_each_kind_and_profile_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_history, "KEPT_SAMPLES", 3)
    _, job = make_job(10.0)
    _, other = make_job(10.0, "preview")
    job_history.record(other, 1.0, 10.0)
    for seconds in range(5):
        job_history.record(job, float(seconds), 10.0)
    kept = JobSample.select().where(JobSample.kind == "encode").order_by(JobSample.id)
    assert [sample.seconds for sample in kept] == [2.0, 3.0, 4.0]
    assert JobSample.select().count() == 4
    assert job_history.guess("encode", "social", 10.0) is not None
    assert job_history.guess("encode", "vertical", 10.0) is None


@pytest.mark.usefixtures("db")
def test_what_waits_before_a_video_counts() -> None:
    for _ in range(4):
        JobSample.create(kind="encode", profile="social", work=10.0, seconds=100.0)
    at = now()
    running = {"state": JobState.RUNNING, "started_at": at - timedelta(seconds=50), "progress": 0.5}
    make_job(10.0, **running)
    waiting, job = make_job(20.0)
    urgent, _ = make_job(10.0, priority=int(Priority.HIGH))
    make_job(10.0, run_after=at + timedelta(hours=1))
    make_job(10.0, only_at_night=True)
    places = {id: forecast.place for id, forecast in job_history.forecasts().items()}
    assert (len(places), places[job.id]) == (3, 2)
    first, last = (job_history.ready_range(video) for video in (urgent, waiting))
    assert first is not None and last is not None
    for found, likely_s in ((first, 150), (last, 350)):
        earliest, latest = ((when - at).total_seconds() for when in found)
        assert likely_s * 0.7 < earliest < likely_s < latest < likely_s * 1.4


@pytest.mark.usefixtures("db")
def test_nobody_knows_without_history() -> None:
    video, _ = make_job(10.0)
    assert job_history.ready_range(video) is None
    assert job_history.ready_range(make_video()) is None


@pytest.mark.usefixtures("db")
def test_lanes_and_the_night_are_those_of_the_media_worker() -> None:
    JobSample.create(kind="encode", profile="social", work=10.0, seconds=100.0)
    own = [make_job(10.0, cores=2.0, memory_mib=1000)[1] for _ in range(3)]
    _, later = make_job(10.0, only_at_night=True)

    def starts() -> list[float | None]:
        found = job_history.forecasts()
        begins = [found[job.id].starts for job in (*own, later) if job.id in found]
        return [start and start.likely_s for start in begins]

    def said(**info: Any) -> list[float | None]:
        Heartbeat.delete().execute()
        Heartbeat.create(
            process="worker-media", pid=1, boot_id=boot_id(), beat_boottime_s=0.0, info=info
        )
        return starts()

    assert starts() == [0, 100, 200]
    assert said(cores=4.0, memory_mib=8000) == [0, 0, 100]
    assert said(cores=8.0, memory_mib=2500) == [0, 0, 100]
    assert said(cores=2.0, memory_mib=8000, night=True) == [0, 100, 200, 300]
