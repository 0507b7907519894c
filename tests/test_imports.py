"""Imports run one way: ``web → tasks → storage → appliance``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ORDER = ["web", "tasks", "storage", "appliance"]
ROOT = Path(__file__).parent.parent
# Assembles the program: its commands may import everything, and nothing imports it.
ASSEMBLY = ROOT / "appliance" / "cli"


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules() -> list[Path]:
    return [path for package in ORDER for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_to_its_right(path: Path) -> None:
    if path.is_relative_to(ASSEMBLY):
        return
    package = path.relative_to(ROOT).parts[0]
    to_the_left = ORDER[: ORDER.index(package)]
    names = imported_packages(path)
    wrong = {name for name in names if name.split(".")[0] in to_the_left}
    assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"
    assert not {name for name in names if name.startswith("appliance.cli")}
