"""How a guess of time is said: no more exact than it is."""

from __future__ import annotations

import pytest

from appliance.job_history import Range
from appliance.states import JobState
from web import progress, words
from web.progress import Work


@pytest.mark.parametrize(
    ("low_s", "high_s", "text"),
    [
        (0, 4, "a few seconds"),
        (2, 30, "up to 30 s"),
        (12, 28, "about 10–30 s"),
        (31, 34, "about 30 s"),
        (20, 100, "up to 2 min"),
        (170, 300, "about 3–5 min"),
        (175, 185, "about 3 min"),
        (600, 3700, "up to 1 h"),
        (3500, 5500, "about 1–1.5 h"),
        (7000, 7300, "about 2 h"),
    ],
)
def test_time_between(low_s: float, high_s: float, text: str) -> None:
    assert words.time_between(low_s, high_s) == text


LEFT = Range(170, 230, 300)


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (
            Work("encode", JobState.RUNNING, "Encoding", 0.4, 99, left=LEFT),
            "40 %, about 3–5 min left",
        ),
        (
            Work("encode", JobState.RUNNING, "Encoding", 0.0, None, left=LEFT),
            "Encoding, about 3–5 min left",
        ),
        (Work("encode", JobState.RUNNING, "Encoding", 0.4, None), "40 %"),
        (
            Work("encode", JobState.QUEUED, "", 0.0, None, 1, left=LEFT),
            "2nd in line, about 3–5 min",
        ),
        (Work("encode", JobState.QUEUED, "Waiting for space", 0.0, None, 1), "Waiting for space"),
    ],
)
def test_progress_in_words(work: Work, text: str) -> None:
    assert progress.of_work(work).words == text
