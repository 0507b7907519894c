"""How far a video is, from plain facts."""

from __future__ import annotations

import pytest

from appliance.states import JobState, VideoState
from web import progress
from web.progress import Progress, Work

PROBE = Work("probe", JobState.RUNNING, "", 0.0, None)
ENCODE = Work("encode", JobState.RUNNING, "Encoding", 0.42, 187.0)
QUEUED = Work("encode", JobState.QUEUED, "", 0.0, None, place=2)


@pytest.mark.parametrize(
    ("state", "part", "work", "expected"),
    [
        (VideoState.UPLOADING, 0.61, [], Progress(0.61, "61 %")),
        (VideoState.UPLOADING, None, [], None),
        (VideoState.RECEIVED, None, [], None),
        (VideoState.RECEIVED, None, [PROBE], Progress(None, "Check the file")),
        (VideoState.PROCESSING, None, [ENCODE], Progress(0.42, "42 %, about 3 min left")),
        (VideoState.PROCESSING, None, [QUEUED], Progress(None, "3rd in line")),
        # What runs says more than what waits, whatever their order.
        (VideoState.PROCESSING, None, [QUEUED, PROBE], Progress(None, "Check the file")),
        (VideoState.READY, None, [ENCODE], None),
        (VideoState.FAILED, None, [], None),
    ],
)
def test_progress_of_a_video(
    state: VideoState, part: float | None, work: list[Work], expected: Progress | None
) -> None:
    assert progress.of_video(state, part, work) == expected


def test_what_is_encoded_while_it_uploads_is_told() -> None:
    job = Work("in_flight", JobState.RUNNING, "Encoding while it uploads", 0.34, None)
    assert progress.while_it_uploads([PROBE, job]) == Progress(
        0.34, "Encoding while it uploads, 34 %"
    )
    waiting = Work("in_flight", JobState.QUEUED, "Waiting for more of the file", 0.0, None)
    assert progress.while_it_uploads([waiting]) is None
    # When all of it is here, it is what makes the video ready.
    assert progress.of_video(VideoState.PROCESSING, None, [PROBE, job]) == Progress(0.34, "34 %")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (0, "Next in line"),
        (1, "2nd in line"),
        (2, "3rd in line"),
        (3, "4th in line"),
        (10, "11th in line"),
        (20, "21st in line"),
        (110, "111th in line"),
    ],
)
def test_place_in_line(place: int, text: str) -> None:
    assert progress.in_line(place) == text


def test_badge_has_the_percent_and_tells_of_a_version_that_failed() -> None:
    assert progress.badge(VideoState.PROCESSING, Progress(0.42, "")).word == "Processing 42 %"
    assert progress.badge(VideoState.PROCESSING, Progress(None, "")).word == "Processing"
    assert progress.badge(VideoState.READY, None).word == "Ready"
    partly = progress.badge(VideoState.READY, None, failed_version=True)
    assert (partly.state, partly.tone) == ("partly", "warn")


def test_phase_is_failed_running_done_or_waiting() -> None:
    failed = progress.phase("X", done=False, jobs_of_it=[ENCODE], problem="No disk.")
    assert (failed.tone, failed.problem) == ("bad", "No disk.")
    running = progress.phase("X", done=False, jobs_of_it=[ENCODE])
    assert running.progress == Progress(0.42, "42 %, about 3 min left")
    assert progress.phase("X", done=True, jobs_of_it=[]).tone == "ok"
    assert progress.phase("X", done=False, jobs_of_it=[QUEUED]).note == "3rd in line"
    assert progress.phase("X", done=False, jobs_of_it=[], wanted=False).icon == "dot"
