"""Structured fields, by the rules and examples of RFC 9651."""

from __future__ import annotations

import pytest

from web.structured_fields import (
    Other,
    parse_boolean,
    parse_count,
    parse_dictionary,
    parse_item,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-42", -42),
        ("007", 7),
        ("-0", 0),
        ("999999999999999", 999_999_999_999_999),
        ("4.5", 4.5),
        ("?1", True),
        ("?0", False),
        ("  ?1  ", True),
        ("5; foo=bar", 5),
        ('5;a;b=?0;c="x\\"y";d=:YQ==:;e=@1659578233;f=%"f%c3%bc"', 5),
        (":cHJldGVuZA==:", b"pretend"),
        (":cHJldGVuZA:", b"pretend"),
        ("::", b""),
        ('"a string"', Other('"a string"')),
        ("foo123/456", Other("foo123/456")),
        ("@1659578233", Other("@1659578233")),
    ],
)
def test_items_as_in_section_4_2_3(text: str, value: object) -> None:
    parsed = parse_item([text])
    assert (type(parsed), parsed) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1000000000000000",
        "1.2345",
        "1.",
        "+5",
        "1_0",
        "\u0665",
        "5 ; a",
        "5;",
        "5;A=1",
        "5;a=",
        "5, 6",
        "?2",
        "?",
        "?10",
        "true",
        ":YQ==",
        ":Y:",
        ":Y-_=:",
        '"open',
        '"tab\t"',
        "@1.5",
        "\t5",
    ],
)
def test_what_is_no_integer_or_boolean(text: str) -> None:
    assert parse_count([text]) is None
    assert parse_boolean([text]) is None


def test_an_item_on_two_lines_is_none() -> None:
    assert parse_count(["5", "5"]) is None
    assert parse_boolean(["?1", "?1"]) is None
    assert parse_count([]) is None


def test_a_count_is_not_negative_and_a_boolean_no_count() -> None:
    assert parse_count(["-1"]) is None
    assert parse_count(["?1"]) is None
    assert parse_count(["1.0"]) is None
    assert parse_boolean(["1"]) is None


def test_dictionaries_as_in_section_3_2() -> None:
    assert parse_dictionary(["max-size=1234567890, max-age=3600"]) == {
        "max-size": 1_234_567_890,
        "max-age": 3600,
    }
    assert parse_dictionary(["a=?0, b, c; foo=bar"]) == {"a": False, "b": True, "c": True}
    assert parse_dictionary(["rating=1.5", "feelings=(joy sadness);x"]) == {
        "rating": 1.5,
        "feelings": (Other("joy"), Other("sadness")),
    }
    assert parse_dictionary(["a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid"]) == {
        "a": (1, 2),
        "b": 3,
        "c": 4,
        "d": (5, 6),
    }
    assert parse_dictionary(["a=1,b=2 \t,\ta=3"]) == {"a": 3, "b": 2}
    assert parse_dictionary([]) == {}
    assert parse_dictionary(["sha-256=:YQ==:"]) == {"sha-256": b"a"}


@pytest.mark.parametrize(
    "text", ["a=1,", "a=1,,b=2", "A=1", "a=", "a=(1", "a=(1,2)", "a=1 b=2", "=1"]
)
def test_dictionaries_that_are_none(text: str) -> None:
    assert parse_dictionary([text]) is None
