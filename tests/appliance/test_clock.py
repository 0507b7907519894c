"""The two clocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.clock import boot_id


def test_the_start_of_the_machine_is_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("APPLIANCE_BOOT_ID", raising=False)
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_unit_is_told_it_without_dashes_and_means_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """systemd's %b; commands beside the unit read the kernel's own form."""
    monkeypatch.delenv("APPLIANCE_BOOT_ID", raising=False)
    from_kernel = boot_id()
    monkeypatch.setenv("APPLIANCE_BOOT_ID", from_kernel.replace("-", ""))
    assert boot_id() == from_kernel
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", boot_id())
