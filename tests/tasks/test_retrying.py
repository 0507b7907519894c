"""Every reason that ends a job at once is known, and which of them no retry mends."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

import pytest

from tasks import pipeline
from tasks.poster import task as poster
from tasks.probe import judge
from tasks.probe import task as probe
from tasks.retrying import ABOUT_THE_ENCODE, ABOUT_THE_FILE, may_help
from tasks.transcode import run
from tasks.transcode import task as transcode

if TYPE_CHECKING:
    from types import ModuleType


def _codes(module: ModuleType) -> set[str]:
    """Codes of the refusals and of the permanent failures in its source."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        permanent = ast.unparse(named.get("permanent", ast.Constant(False))) == "True"
        if node.func.id == "Refusal":
            code: ast.expr | None = node.args[0]
        elif node.func.id == "JobFailed" and permanent:
            code = named["code"]
        else:
            continue
        if isinstance(code, ast.Constant):
            found.add(str(code.value))
    return found


def test_codes_are_those_that_the_work_ends_with() -> None:
    modules = (judge, probe, poster, transcode, run, pipeline)
    ended = set().union(*map(_codes, modules)) - {"cancelled"}  # by a person, who may want it again
    assert ended == ABOUT_THE_FILE | ABOUT_THE_ENCODE


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
