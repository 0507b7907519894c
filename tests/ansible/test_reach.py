"""Which addresses the units may be allowed to reach: the filter of the role preflight."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from tests.ansible.parts import ANSIBLE

cannot_reach = runpy.run_path(str(ANSIBLE / "roles/preflight/filter_plugins/near.py"))[
    "cannot_reach"
]


@pytest.mark.parametrize(
    "entry",
    ["192.168.1.25", "10.1.0.0/16", "100.64.0.7", "fd12::25", "fd12:0:0:1::/64", "127.0.0.1"],
)
def test_a_neighbour_may_be_reached(entry: str) -> None:
    assert cannot_reach([entry]) == []


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("mail.lan", "is no address"),
        ("192.168.1.25/24", "is no address"),
        ("", "is no address"),
        (10.1, "is no address"),
        (None, "is no address"),
        ("192.168.1.25 0.0.0.0/0", "is no address"),
        ("any", "is no address"),
        ("0.0.0.0/0", "hand out a machine's credentials"),
        ("::/0", "hand out a machine's credentials"),
        ("169.254.169.254", "hand out a machine's credentials"),
        ("100.64.0.0/10", "hand out a machine's credentials"),
        ("fc00::/7", "hand out a machine's credentials"),
        ("::ffff:169.254.169.254", "not of a private network"),
        ("192.0.2.0/24", "not of a private network"),
        ("2001:db8::1", "not of a private network"),
        ("::/1", "not of a private network"),
    ],
)
def test_what_is_no_neighbour_is_refused(entry: Any, why: str) -> None:
    (said,) = cannot_reach([entry])
    assert said.startswith(f"{entry} ") and why in said


def test_all_that_is_wrong_is_told_in_one_go() -> None:
    assert len(cannot_reach(["a.lan", "10.0.0.7", "0.0.0.0/0"])) == 2
    assert cannot_reach("10.0.0.7") == ["10.0.0.7 is no list"]
    assert cannot_reach([]) == []
