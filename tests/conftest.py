"""Fixtures for all tests: real parts, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest

from appliance.db import database
from appliance.settings import Settings
from storage.layout import Layout
from tests.factories import make_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

# Thousands of programs are started, each of which would compile all that it imports anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A job in the background of a shell ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_create_context = ssl.create_default_context
_USUAL = {certifi.where(), os.environ.get("SSL_CERT_FILE")} - {None}


@cache
def _usual_context(cafile: str) -> ssl.SSLContext:
    return _create_context(cafile=cafile)


def _context_of(*arguments: Any, **options: Any) -> ssl.SSLContext:
    """What httpx asks for with each client, of which tests make thousands: 23 ms of processor."""
    if not arguments and options.keys() == {"cafile"} and options["cafile"] in _USUAL:
        return _usual_context(**options)
    return _create_context(*arguments, **options)


ssl.create_default_context = _context_of

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 6 << 30
_LONG_FOLDERS = ("ansible", "end_to_end", "provisioning")


def pytest_configure() -> None:
    """Keep files in memory where there is room: all that is forced to disk would be waited for,
    some hundred thousand times. Who wants a disk sets PYTEST_DEBUG_TEMPROOT, or --basetemp.
    """
    if os.access(_MEMORY, os.W_OK) and min(_free_bytes()) >= _ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: for one that begins last, the other processes wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    slow |= {item.path for item in items if item.path.parent.name in _LONG_FOLDERS}
    items.sort(key=lambda item: item.path not in slow)


def _free_bytes() -> tuple[int, int]:
    """What the folder in memory would take, and the memory that nobody needs."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return shutil.disk_usage(_MEMORY).free, int(facts["MemAvailable"].split()[0]) * 1024


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a box of its own; leases and sweeps are short, so that tests needn't wait."""
    return Settings(
        data=tmp_path / "data",
        listen="127.0.0.1:0",
        lease_s=2,
        sweep_s=0.5,
        disk_reserve="10 MiB",  # type: ignore[arg-type]
    )


@pytest.fixture
def layout(settings: Settings) -> Layout:
    layout = Layout(settings.data)
    layout.make_folders()
    return layout


@pytest.fixture
def db(settings: Settings, layout: Layout) -> Iterator[None]:
    """A database with all tables, bound and open on this thread."""
    make_tables(settings)
    with database.connection_context():
        yield
