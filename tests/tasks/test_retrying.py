"""Every reason that work may end with is sorted: no retry, one, or several."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tasks
from appliance.errors import JobFailed
from tasks.retrying import (
    ABOUT_THE_BOX,
    ABOUT_THE_ENCODE,
    ABOUT_THE_FILE,
    CANCELLED,
    ONCE,
    PERMANENT,
    TRANSIENT,
    ends_at_once,
    may_help,
)


def _codes_in_source() -> set[str]:
    """Codes of all refusals and failures of work; those of posts are the platforms'."""
    folder = Path(tasks.__path__[0])
    found = set()
    for path in folder.rglob("*.py"):
        if path.is_relative_to(folder / "publish"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            code = node.args[0] if name == "Refusal" else named.get("code")
            if name in ("Refusal", "JobFailed", "super().__init__") and isinstance(
                code, ast.Constant
            ):
                found.add(str(code.value))
    return found


def test_every_code_is_sorted_once() -> None:
    groups = [ABOUT_THE_FILE, ABOUT_THE_ENCODE, ABOUT_THE_BOX, {CANCELLED}, ONCE, TRANSIENT]
    sorted_codes = [code for group in groups for code in group]
    assert len(sorted_codes) == len(set(sorted_codes))
    missing = _codes_in_source() - set(sorted_codes)
    assert not missing, "sort them in tasks/retrying.py"


def test_no_code_is_sorted_that_nobody_uses() -> None:
    of_classes = {"bad_setting", "storage_full"}  # appliance/errors.py
    assert _codes_in_source() | of_classes == PERMANENT | ONCE | TRANSIENT


@pytest.mark.parametrize(
    ("code", "permanent", "before", "over"),
    [
        ("too_small", True, [], True),
        ("too_small", False, [], True),  # the table knows better than who raised it
        ("bad_setting", False, [], True),
        ("encoder_crashed", False, [], False),
        ("encoder_crashed", False, ["encoder_crashed"], True),
        ("encoder_crashed", False, ["sandbox_failed"], False),
        ("stalled", False, ["stalled"], True),
        ("database_busy", False, ["database_busy"], False),
        ("of a plug-in", True, [], True),
        ("of a plug-in", False, ["of a plug-in"], False),
    ],
)
def test_what_is_tried_again(
    code: str, permanent: bool, before: list[str | None], over: bool
) -> None:
    failure = JobFailed("No.", permanent=permanent, code=code)
    assert ends_at_once("encode", failure, before) is over


@pytest.mark.parametrize("permanent", [True, False])
def test_who_talks_to_a_platform_knows_best(permanent: bool) -> None:
    failure = JobFailed("No.", permanent=permanent, code="too_long")
    assert ends_at_once("publish", failure, []) is permanent


@pytest.mark.parametrize(
    ("kind", "code", "hope"),
    [
        ("probe", "too_small", False),
        ("encode", "encode_failed", True),
        ("encode", "stalled", True),
        ("encode", "storage_full", True),
        ("probe", "crashed", True),
        ("probe", None, True),
        ("publish", "too_long", True),
    ],
)
def test_retry_is_offered_where_it_may_help(kind: str, code: str | None, hope: bool) -> None:
    assert may_help(kind, code) is hope
