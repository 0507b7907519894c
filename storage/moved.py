"""Let the path of the data lead to where it was moved, in one step; and forget where it was."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from appliance.durable import sync_folder
from appliance.errors import Conflict, NotFound

NOTES = ".moving.jsonl"
MOVED_FROM = ".moved-from"
_RENAME_EXCHANGE = 2


def settle_switch(data: Path) -> None:
    """Finish a switch that was cut short after its one step."""
    data = data.parent.resolve() / data.name
    aside = data.with_name(f"{data.name}.new")
    if data.is_symlink() and aside.is_dir() and not aside.is_symlink():
        aside.rename(old_of(data))
        sync_folder(data.parent)


def switch(data: Path, target: Path) -> Path:
    """Let ``data`` lead to ``target``, in one step; where the old folder is now.

    Nothing may run. Afterwards ``data`` is a link, and stays one over further moves. Switching
    back is the same with the old folder. Raises Conflict when another old folder is in the way.
    """
    data = data.parent.resolve() / data.name
    link = data.with_name(f"{data.name}.new")
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve())
    if data.is_symlink():
        old = data.resolve()
        link.replace(data)
    else:
        old = old_of(data)
        if old.exists():
            link.unlink()
            raise Conflict(f"{old} is there, from another move: `--forget-old` removes it.")
        _exchange(link, data)
        link.rename(old)
    sync_folder(data.parent)
    return old


def switch_back(data: Path, old: Path) -> None:
    """After ``switch``: as it was before."""
    data = data.parent.resolve() / data.name
    if old == old_of(data):
        _exchange(old, data)
        old.unlink()
        sync_folder(data.parent)
    else:
        switch(data, old)


def old_of(data: Path) -> Path:
    return data.with_name(f"{data.name}.old")


def moved_from(data: Path) -> list[Path]:
    """The folders that the data was in, the last first; [] when all are forgotten."""
    try:
        return [Path(line) for line in (data / MOVED_FROM).read_text("utf-8").splitlines()]
    except FileNotFoundError:
        return []


def forget_old(data: Path) -> list[Path]:
    """Remove all that is in the folders that the data was moved from; they themselves stay.

    Raises NotFound when there is none.
    """
    places = moved_from(data)
    if not places:
        raise NotFound("The data was not moved, or the old folder is gone already.")
    whole = data.resolve()
    for old in places:
        if whole.is_relative_to(old.resolve()) or old.resolve().is_relative_to(whole):
            raise Conflict(f"{old} and the data folder lie in one another; nothing was removed.")
    for old in filter(Path.is_dir, places):
        for entry in old.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    (data / MOVED_FROM).unlink()
    (data / NOTES).unlink(missing_ok=True)
    return places


def _exchange(one: Path, other: Path) -> None:
    """Two names change places; there is no moment at which one is missing. Source: renameat2(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    at_cwd = -100
    if libc.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
