"""Logs: one line for each event; nothing that people write can forge another."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.logs import LineFormatter, configure_logs, escape
from appliance.settings import Settings


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    found = sys.exc_info() if error else None
    return logging.LogRecord("tasks.x", logging.INFO, "", 0, message, arguments, found)


@given(st.text())
def test_what_people_write_stays_on_its_line(title: str) -> None:
    line = LineFormatter(with_time=False).format(record("video title=%s", title))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_text_that_can_be_read_is_left_alone(text: str) -> None:
    assert escape(text) == text


def test_newlines_and_colours_are_spelled_out() -> None:
    assert escape("a\nerror forged \x1b[31mred\u202e") == "a\\nerror forged \\x1b[31mred\\u202e"


def test_a_traceback_is_indented_so_that_its_words_forge_nothing() -> None:
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z info forged")
    except ValueError:
        lines = LineFormatter(with_time=False).format(record("it broke", error=True)).splitlines()
    assert lines[0] == "info tasks.x it broke"
    assert len(lines) > 3
    assert all(line.startswith("    ") for line in lines[1:])


def test_the_time_stands_in_front_but_for_the_journal_which_keeps_its_own() -> None:
    line = LineFormatter(with_time=True).format(record("x"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info tasks\.x x", line)


def test_libraries_that_tell_whole_addresses_are_kept_short(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logs(Settings(log_level="debug"))
        logging.getLogger("httpx").info("GET https://example.org/public/secret")
        logging.getLogger("tasks.x").debug("seen")
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("Z debug tasks.x seen")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
