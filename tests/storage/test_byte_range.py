"""Ranges against a model that slices real bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.byte_range import (
    Slice,
    Unsatisfiable,
    is_known,
    is_other,
    parse_range,
    range_applies,
)

SIZES = st.integers(0, 50)
NUMBERS = st.integers(0, 60)


def cut(header: str | None, data: bytes) -> bytes | None:
    """What is sent for the header; None: 416."""
    part = parse_range(header, len(data))
    if isinstance(part, Unsatisfiable):
        return None
    return data if part is None else data[part.start : part.stop]


@given(SIZES, NUMBERS, NUMBERS)
def test_first_and_last_are_a_slice(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    expected = data if last < first else (data[first : last + 1] or None)
    assert cut(f"bytes={first}-{last}", data) == expected


@given(SIZES, NUMBERS)
def test_an_open_range_goes_to_the_end(size: int, first: int) -> None:
    data = bytes(range(size))
    assert cut(f"bytes={first}-", data) == (data[first:] or None)


@given(SIZES, NUMBERS)
def test_a_suffix_is_the_last_bytes(size: int, count: int) -> None:
    data = bytes(range(size))
    assert cut(f"bytes=-{count}", data) == ((data[-count:] if count else b"") or None)


@given(st.text(max_size=40), SIZES)
def test_nothing_makes_it_fail_or_leave_the_file(header: str, size: int) -> None:
    part = parse_range(header, size)
    if isinstance(part, Slice):
        assert 0 <= part.start < part.stop <= size


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=5), SIZES)
def test_several_ranges_are_the_whole_file(ranges: list[tuple[int, int]], size: int) -> None:
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges)
    assert parse_range(header, size) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1-0", None),
        ("bytes=+1-3", None),
        ("bytes=1 - 3", None),
        ("seconds=1-3", None),
        ("Bytes=1-3", Slice(1, 4)),
        ("bytes = 1-3 ", Slice(1, 4)),
        ("bytes=000000000000000000000000000001-3", Slice(1, 4)),
        ("bytes=9-9", Slice(9, 10)),
        ("bytes=0-99999999999999999999999999", Slice(0, 10)),
        (f"bytes=-{'9' * 5000}", Slice(0, 10)),
    ],
)
def test_forms(header: str | None, expected: Slice | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", f"bytes={'9' * 5000}-", "bytes=-0"])
def test_outside_of_the_file(header: str) -> None:
    assert isinstance(parse_range(header, 10), Unsatisfiable)


def test_a_range_counts_only_for_the_same_version() -> None:
    assert range_applies(None, '"a"')
    assert range_applies('"a"', '"a"')
    assert not range_applies('"b"', '"a"')
    assert not range_applies('W/"a"', '"a"')
    assert not range_applies("Sat, 21 Nov 2026 10:00:00 GMT", '"a"')


def test_known_versions_compare_weakly() -> None:
    assert is_known("*", '"a"')
    assert is_known('"x", W/"a"', '"a"')
    assert not is_known('"x"', '"a"')
    assert not is_known(None, '"a"')


def test_wanted_versions_compare_strongly() -> None:
    assert not is_other(None, '"a"')
    assert not is_other('"x", "a"', '"a"')
    assert is_other('W/"a"', '"a"')
