"""Buffers of uploads come from memory that the process has already."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Whether a buffer lies in the heap (which grows and stays) or in a mapping of its own.
LOOK = """
import ctypes, sys
from appliance.allocator import keep_buffers
if sys.argv[1] == "keep":
    assert keep_buffers()
buffer = ctypes.create_string_buffer(1 << 20)
at = ctypes.addressof(buffer)
heap = next(line.split()[0] for line in open("/proc/self/maps") if "[heap]" in line)
first, last = (int(end, 16) for end in heap.split("-"))
print(first <= at < last)
"""


def in_heap(what: str, **environ: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", LOOK, what]
    done = subprocess.run(
        command, env=clean | environ, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_buffers_come_from_the_heap_unless_the_environment_says_otherwise() -> None:
    assert in_heap("leave") == "False"
    assert in_heap("keep") == "True"
    assert in_heap("keep", MALLOC_MMAP_THRESHOLD_="65536") == "False"
