"""What an admin is told, and how often, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance import alerts
from appliance.alerts import KINDS, Known, Trouble, What, decide
from appliance.states import AlertState

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SILENT = Trouble("worker_silent:media", "The media worker is silent", "It is silent.")
FAILED = Trouble("post_failed:abc", "A post", "No.")


class Team:
    """Keeps what the decider says, as the rows do, and hears what is told."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.seen: dict[str, datetime] = {}
        self.heard: list[tuple[int, str]] = []

    def look(
        self, minute: float, *troubles: Trouble, quiet: bool = False, told: bool = True
    ) -> None:
        at = BEGIN + minute * MINUTE
        made = decide(at, troubles, self.known, self.seen, quiet=quiet)
        self.seen = made.seen
        for trouble in made.opened:
            before = self.known.get(trouble.key)
            cleared_at = before.cleared_at if before else None
            self.known[trouble.key] = Known(AlertState.OPEN, at, at, cleared_at)
        for trouble in made.standing:
            self.known[trouble.key] = replace(self.known[trouble.key], last_at=at)
        for key in made.cleared:
            self.known[key] = replace(self.known[key], state=AlertState.CLEARED, cleared_at=at)
        for key, what in made.told.items() if told else ():
            self.heard.append((int(minute), what.value))
            if what is not What.CLEARED:
                self.known[key] = replace(self.known[key], told_at=at)


def test_one_message_when_it_opens_one_a_day_and_one_when_it_is_over() -> None:
    team = Team()
    minute = 0
    while minute < 2 * 24 * 60 + 10:
        team.look(minute, SILENT)
        minute += 5
    for later in range(minute, minute + 30, 5):
        team.look(later)
    assert team.heard == [
        (5, "opened"),
        (1445, "reminder"),
        (2885, "reminder"),
        (minute, "cleared"),
    ]


def test_a_restart_tells_nobody() -> None:
    team = Team()
    team.look(0)
    team.look(0.5, SILENT)
    team.look(1, SILENT)
    for minute in range(2, 60):
        team.look(minute)
    assert team.heard == [] and team.seen == {}


def test_what_comes_and_goes_is_told_a_few_times_only() -> None:
    team = Team()
    for minute in range(12 * 60):
        team.look(minute, *([SILENT] if minute % 20 < 10 else []))
    assert [what for _, what in team.heard] == ["opened", "cleared", "opened"]
    for minute in range(12 * 60, 14 * 60):
        team.look(minute)
    assert team.heard[-1][1] == "cleared" and len(team.heard) == 4


def test_a_planned_stop_is_quiet_and_forgets_nothing() -> None:
    team = Team()
    for minute in range(30):
        team.look(minute, SILENT, quiet=True)
    assert team.heard == []
    for minute in range(30, 40):
        team.look(minute, SILENT)
    assert team.heard == [(32, "opened")]
    for minute in range(40, 50):
        team.look(minute, quiet=True)
    assert len(team.heard) == 1
    team.look(50)
    assert team.heard[1:] == [(50, "cleared")]


def test_what_nobody_could_be_told_is_told_as_soon_as_somebody_can() -> None:
    team = Team()
    for minute in range(10):
        team.look(minute, SILENT, told=False)
    team.look(10, SILENT)
    assert team.heard == [(10, "opened")]


def test_what_has_happened_is_told_once() -> None:
    team = Team()
    for minute in range(0, 3 * 24 * 60, 30):
        team.look(minute, FAILED)
    team.look(3 * 24 * 60)
    assert team.heard == [(0, "opened")]
    assert team.known[FAILED.key].state is AlertState.CLEARED


def test_what_is_known_to_last_opens_at_once() -> None:
    team = Team()
    team.look(0, replace(SILENT, lasts=timedelta(minutes=7)))
    assert team.heard == [(0, "opened")]


def test_a_clock_that_was_set_back_holds_nothing_open() -> None:
    team = Team()
    for minute in range(3000, 3010):
        team.look(minute, SILENT)
    team.look(0)  # two days back
    assert [what for _, what in team.heard] == ["opened", "cleared"]
    team.seen = {SILENT.key: BEGIN + timedelta(days=2)}
    for minute in range(1, 6):
        team.look(minute, SILENT)
    assert team.heard[-1] == (4, "opened")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_says_why_it_matters_what_to_do_and_where(kind: str) -> None:
    subject, body = alerts.words_of(
        What.OPENED, f"{kind}:x", "Title", "What was found.", link="https://box.example/x"
    )
    assert subject == "Title"
    assert body.startswith("What was found.\n\nWhy it matters: ")
    assert "\nWhat to do: " in body and body.endswith("https://box.example/x")
    assert alerts.path_of(f"{kind}:x").startswith("/")


def test_an_alert_of_another_version_is_cleared_in_silence() -> None:
    at = BEGIN
    row = Known(AlertState.OPEN, at, at, None, at)
    made = decide(at + timedelta(days=2), [], {"gone_kind:x": row}, {})
    assert (made.cleared, made.told) == (["gone_kind:x"], {})
