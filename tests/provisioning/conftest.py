"""A story is told in order: after a step that failed, the others have nothing to stand on."""

from __future__ import annotations

from collections.abc import Generator

import pytest

_failed = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.parent is not None and _failed not in item.parent.stash:
        item.parent.stash[_failed] = item.name
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.parent is not None and (step := item.parent.stash.get(_failed, "")):
        pytest.skip(f"{step} failed before it")
