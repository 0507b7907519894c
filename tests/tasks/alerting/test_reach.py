"""Whether a unit is kept from an address, as systemd tells it."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from tasks.alerting import reach

if TYPE_CHECKING:
    from pathlib import Path

DENIED = [ip_network(text) for text in ("127.0.0.0/8", "::1/128", "192.168.0.0/16", "fc00::/7")]
ALLOWED = [ip_network(text) for text in ("127.0.0.53/32", "192.168.1.25/32", "fd12::/64")]
ANSWER = f"""\
IPAddressAllow={" ".join(map(str, ALLOWED))}
IPAddressDeny={" ".join(map(str, DENIED))}
"""


@pytest.mark.parametrize(
    ("address", "is_kept"),
    [
        ("192.0.2.1", False),
        ("192.168.1.25", False),
        ("192.168.1.26", True),
        ("::ffff:192.168.1.26", True),
        ("fd12::7", False),
        ("fd13::7%eth0", True),
        ("127.0.0.53", False),
        ("2001:db8::1", False),
    ],
)
def test_what_is_allowed_wins_over_what_is_denied(address: str, is_kept: bool) -> None:
    assert reach.is_kept_from(address, ALLOWED, DENIED) is is_kept


@pytest.mark.parametrize(
    ("said", "unit"),
    [
        ("0::/system.slice/appliance-watch.service\n", "appliance-watch.service"),
        (
            "2:cpu:/\n1:name=systemd:/system.slice/appliance-worker@delivery.service\n",
            "appliance-worker@delivery.service",
        ),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("0::/\n", ""),
    ],
)
def test_a_unit_is_known_by_its_control_group(said: str, unit: str) -> None:
    assert reach.unit_of(said) == unit


def test_systemd_s_answer_is_read() -> None:
    assert reach.networks(ANSWER, "IPAddressAllow") == ALLOWED
    assert reach.networks(ANSWER, "IPAddressDeny") == DENIED
    assert reach.networks("IPAddressAllow=\n", "IPAddressAllow") == []
    assert reach.networks("", "IPAddressDeny") == []


@pytest.fixture
def in_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by a systemd that gives the answer above."""
    (tmp_path / "answer").write_text(ANSWER)
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\ncat '{tmp_path}/answer'\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "cgroup").write_text("0::/system.slice/appliance-watch.service\n")
    monkeypatch.setattr(reach, "CGROUPS", tmp_path / "cgroup")


@pytest.mark.usefixtures("in_a_unit")
def test_who_fails_at_a_neighbour_is_told_what_mends_it() -> None:
    said = reach.why_not(["192.168.1.25", "192.168.1.26"])
    assert said.startswith("This service may not reach 192.168.1.26, ")
    assert "appliance_reach" in said
    assert re.search(r"may not reach (127\.0\.0\.1|::1),", reach.why_not(["localhost"]))
    assert reach.why_not(["192.168.1.25", "192.0.2.1"]) == ""


def test_without_a_unit_there_is_nothing_to_say() -> None:
    assert reach.why_not(["127.0.0.1"]) == ""
