"""Who uses the data folder: every process of the box shares it, a restore wants it for itself.

A lock of the kernel on the folder itself: it needs no file, works on a full disk, and goes with
the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import Conflict, SettingsError
from storage.backups import switching

if TYPE_CHECKING:
    from collections.abc import Iterator

# Others stop because of the same switch that we wait for: a delivery may be in its last step.
_OTHERS_STOP_S = 180.0
_BRIEFLY_S = 5.0
_LOOK_S = 0.05

_held: tuple[Path, int] | None = None


def enter(data: Path) -> None:
    """Use ``data`` from now on until this process ends; carries out a restore that waits for it.

    Raises SettingsError when a restore is at work on it.
    """
    global _held
    if _held is not None and _held[0] == data and not switching.is_due(data):
        return
    leave()
    handle = _open(data)
    try:
        _share(data, handle)
    except BaseException:
        os.close(handle)
        raise
    _held = (data, handle)


def leave() -> None:
    """Use it no more."""
    global _held
    if _held is not None:
        os.close(_held[1])
        _held = None


def _share(data: Path, handle: int) -> None:
    began_s = time.monotonic()
    while True:
        waited_s = time.monotonic() - began_s
        if switching.is_due(data):
            if _lock(handle, fcntl.LOCK_EX):
                switching.finish(data)
            elif waited_s > _OTHERS_STOP_S:
                raise SettingsError(
                    f"A restored backup waits to take its place in {data}, and other processes "
                    f"still use it. {how_to_stop(data)}"
                )
        elif _lock(handle, fcntl.LOCK_SH):
            if not switching.is_due(data):
                return
            fcntl.flock(handle, fcntl.LOCK_UN)
        elif waited_s > _BRIEFLY_S:
            raise SettingsError(
                f"A backup is being restored into {data}. Wait until that is done, then try again."
            )
        time.sleep(_LOOK_S)


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Nobody else uses ``data`` meanwhile, nor begins to. Raises Conflict while somebody does."""
    leave()
    handle = _open(data)
    try:
        if _up_runs(data) or not _lock(handle, fcntl.LOCK_EX):
            raise Conflict(
                f"The box is running on {data}. {how_to_stop(data)}", code="box_is_running"
            )
        yield
    finally:
        os.close(handle)


def how_to_stop(data: Path) -> str:
    """The sentence with the command that stops what uses ``data``."""
    if _up_runs(data):
        return "Press Ctrl-C where `appliance up` runs, and try again."
    if Path("/run/systemd/system").is_dir() and Path("/etc/appliance").is_dir():
        return "Stop it with `sudo systemctl stop appliance.target`, and try again."
    return "Stop its processes (`appliance up`, `web`, `worker`), and try again."


def _up_runs(data: Path) -> bool:
    try:
        handle = os.open(data / "up.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


def _open(data: Path) -> int:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
