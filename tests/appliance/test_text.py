"""Text from people and files is made safe to show, and never more than text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.text import clean_filename, clean_line, clean_text, describe_size, title_from

# Also what UTF-8 can't encode, and what reorders or hides.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400) | st.text(
    st.sampled_from("a/\\.\0\n\r\t \u202e\u2066\u200b\ufeff\ud800é😀‍👩"), max_size=60
)


def assert_is_one_safe_line(line: str, max_bytes: int = 255) -> None:
    assert len(line.encode("utf-8")) <= max_bytes  # also: it can be encoded at all
    assert line == line.strip()
    assert line == unicodedata.normalize("NFC", line)
    for character in line:
        assert character in "\u200c\u200d" or unicodedata.category(character)[0] != "C"
    assert "\n" not in line and "\u2028" not in line and "\u2029" not in line


@given(ANY_TEXT)
def test_a_line_is_one_safe_line_whatever_comes(text: str) -> None:
    assert_is_one_safe_line(clean_line(text))


@given(ANY_TEXT, st.integers(min_value=0, max_value=300))
def test_a_line_is_never_longer_than_asked(text: str, max_bytes: int) -> None:
    assert_is_one_safe_line(clean_line(text, max_bytes=max_bytes), max_bytes)


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_line(clean_line(text)) == clean_line(text)
    assert clean_text(clean_text(text)) == clean_text(text)


@given(ANY_TEXT)
def test_every_line_of_a_text_is_a_safe_line(text: str) -> None:
    cleaned = clean_text(text, max_bytes=200)
    assert len(cleaned.encode()) <= 200
    for line in cleaned.split("\n"):
        assert_is_one_safe_line(line)


@given(ANY_TEXT)
def test_a_filename_has_no_path_and_is_never_empty_or_hidden(name: str) -> None:
    cleaned = clean_filename(name)
    assert_is_one_safe_line(cleaned)
    assert cleaned and not cleaned.startswith(".")
    assert "/" not in cleaned and "\\" not in cleaned


@given(ANY_TEXT)
def test_a_title_is_never_empty(name: str) -> None:
    title = title_from(clean_filename(name))
    assert title
    assert_is_one_safe_line(title)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\clip.mp4", "clip.mp4"),
        ("a\0b.mp4", "ab.mp4"),
        ("..", "video"),
        (".hidden.mp4", "hidden.mp4"),
        (". .mp4", "mp4"),
        ("folder/", "video"),
        ("", "video"),
        ("evil\u202e4pm.exe", "evil4pm.exe"),
        ("line\nbreak.mp4", "line break.mp4"),
        ("Cafe\u0301.mp4", "Café.mp4"),
        ("👩\u200d👩\u200d👧.mp4", "👩\u200d👩\u200d👧.mp4"),
        ('"><script>alert(1)</script>.mp4', "script>.mp4"),
        ("-rf.mp4", "-rf.mp4"),  # only text: never an argument of a command
        ("x" * 5000, "x" * 255),
        ("é" * 200, "é" * 127),  # no half character at the end
    ],
)
def test_filenames(name: str, cleaned: str) -> None:
    assert clean_filename(name) == cleaned


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("My_holiday_2026.mp4", "My holiday 2026"),
        ("no ending", "no ending"),
        ("Mr. Smith goes home", "Mr. Smith goes home"),
        ("version 1.2.webm", "version 1.2"),
        ("___.mp4", "Untitled video"),
        (".mp4", ".mp4"),
    ],
)
def test_titles(filename: str, title: str) -> None:
    assert title_from(filename) == title


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (240_000_000, "240 MB"),
        (20 * 1024**3, "21.5 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes(size_bytes: int, words: str) -> None:
    assert describe_size(size_bytes) == words
