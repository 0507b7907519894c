"""Amounts, times and states as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance import states
from web import words

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (940_000, "940 kB"),
        (999_600, "1.0 MB"),
        (24_100_000, "24.1 MB"),
        (482_113_920, "482 MB"),
        (1_250_000_000, "1.25 GB"),
        (21_474_836_480, "21.5 GB"),
        (3_000_000_000_000, "3.00 TB"),
    ],
)
def test_size(size_bytes: int, text: str) -> None:
    assert words.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03"), (-5, "0:00")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0, "0 %"), (0.426, "42 %"), (0.9999, "99 %"), (1.0, "100 %")]
)
def test_percent_says_a_hundred_only_when_all_is_done(fraction: float, text: str) -> None:
    assert words.percent(fraction) == text


@pytest.mark.parametrize(
    ("eta_s", "text"),
    [
        (None, ""),
        (-1, ""),
        (4, "a few seconds left"),
        (34, "about 30 s left"),
        (56, "about 1 min left"),
        (187, "about 3 min left"),
        (7200, "about 2 h left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_time_left(eta_s: float | None, text: str) -> None:
    assert words.time_left(eta_s) == text


@pytest.mark.parametrize(
    ("before_s", "text"),
    [
        (10, "just now"),
        (-30, "just now"),
        (50, "1 min ago"),
        (3599, "1 h ago"),
        (7200, "2 h ago"),
        (30 * 3600, "yesterday"),
        (3 * 86400, "3 days ago"),
        (30 * 86400, "12 Feb"),
        (400 * 86400, "7 Feb 2025"),
        (-300, "in 5 min"),
        (-3 * 3600, "in 3 h"),
        (-3 * 86400, "in 3 days"),
        (-25 * 3600, "tomorrow"),
        (-300 * 86400, "8 Jan 2027"),
    ],
)
def test_ago(before_s: float, text: str) -> None:
    assert words.ago(NOW - timedelta(seconds=before_s), NOW) == text


def test_a_time_is_told_in_the_zone_of_its_reader() -> None:
    assert words.clock_time(NOW + timedelta(hours=2), "Europe/Berlin", NOW) == "15:00"
    assert words.clock_time(NOW + timedelta(hours=12), "Europe/Berlin", NOW) == "tomorrow 01:00"
    assert words.clock_time(NOW + timedelta(days=3), "Europe/Berlin", NOW) == "17 Mar 13:00"
    assert words.full_time(NOW, "Asia/Tokyo") == "14 Mar 2026, 21:00 (Asia/Tokyo)"


def test_each_state_has_a_badge_with_a_word_and_a_known_tone() -> None:
    kinds = [
        states.VideoState,
        states.UploadState,
        states.RenditionState,
        states.JobState,
        states.PostState,
        states.TargetState,
        states.AccountState,
        states.ApprovalState,
    ]
    for kind in kinds:
        for state in kind:
            badge = words.badge(state)
            assert badge.word
            assert badge.tone in {"neutral", "info", "ok", "warn", "bad", "live"}
    assert len(words.all_badges()) == len(kinds)


def test_names_are_joined_as_in_a_sentence() -> None:
    assert words.joined([]) == ""
    assert words.joined(["A"]) == "A"
    assert words.joined(["A", "B", "C"]) == "A, B and C"
