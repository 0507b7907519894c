"""What a program that opens users' files is given of the processors and of the disk: the rest."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tasks import sandbox
from tasks.launch import BEST_EFFORT_LAST
from tasks.sandbox_types import MIB, Command, Limits

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.layout import Layout

# ioprio_get(2) by machine.
IOPRIO_GET = {"x86_64": 252, "aarch64": 31}

CHILD = """
import os, time
print(os.getpid(), flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
"""


@pytest.mark.skipif(os.uname().machine not in IOPRIO_GET, reason="no number is known for it")
def test_people_come_first_at_the_processors_and_at_the_disk(
    settings: Settings, layout: Layout
) -> None:
    folder = layout.tmp / "job"
    folder.mkdir()
    seen: list[tuple[int, int]] = []

    def look(line: str) -> None:
        pid = int(line)
        number = IOPRIO_GET[os.uname().machine]
        io = ctypes.CDLL(None).syscall(number, 1, pid)
        seen.append((os.getpriority(os.PRIO_PROCESS, pid), io))
        (folder / "go").touch()

    command = Command(
        argv=(sys.executable, "-I", "-c", CHILD),
        folder=folder,
        limits=Limits(memory_bytes=512 * MIB, cpu_s=20, file_bytes=MIB),
        reads=sandbox.python_reads(),
    )
    alone = settings.model_copy(update={"sandbox": "limits"})
    own = os.getpriority(os.PRIO_PROCESS, 0)
    ended = sandbox.run(command, alone, check=lambda: None, timeout_s=30, on_line=look)
    assert ended.code == 0, ended.words
    assert seen == [(min(19, own + 10), BEST_EFFORT_LAST)]
