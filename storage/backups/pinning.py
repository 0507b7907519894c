"""The files of videos, held fast by a second name: a removal meanwhile harms nobody.

A file of a video never changes under its name: it is written aside and renamed (storage/media.py).
So a second name keeps its bytes. ``collect`` may be called again: it looks only at folders that
have changed, and is quick enough to be called while the database takes no writes.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.ids import is_id
from storage.backups import format
from storage.orphans import PINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from storage.backups.format import Entry
    from storage.layout import Layout

_TOPS = ("media", "trash")
# Times of folders are as coarse as the kernel's ticks: one that has changed just now may change
# again without showing it.
_SETTLED_NS = 2_000_000_000
_CHECK_EVERY = 200


@dataclass
class Pinned:
    """``pin``: the second name; None: the file's object is in the backups already (``sha256``)."""

    path: str
    size_bytes: int
    mtime_ns: int
    inode: int
    device: int
    pin: Path | None
    sha256: str = ""


class Pins:
    """``known``: the files of the last backup by path; ``has_object``: whether a digest with so
    many bytes is kept already. ``check`` is called now and then, and may raise."""

    def __init__(
        self,
        layout: Layout,
        known: Mapping[str, Entry],
        has_object: Callable[[str, int], bool],
        check: Callable[[], None],
    ) -> None:
        self._places = {"media": layout.media, "trash": layout.trash, "uploads": layout.uploads}
        self._known, self._has_object, self._check = known, has_object, check
        # What can't be held, by path: files that are another's. For the report of the backup.
        self.unreadable: dict[str, str] = {}
        self._folders: dict[str, tuple[int, int] | None] = {}
        self._files: dict[str, dict[str, Pinned]] = {}
        self._number = 0

    @property
    def files(self) -> list[Pinned]:
        return [file for files in self._files.values() for file in files.values()]

    def prepare(self) -> None:
        """A place for the second names, on the disk of each folder; what died left is removed."""
        self.remove()
        for place in self._places.values():
            (place / PINS).mkdir(mode=0o700)

    def remove(self) -> None:
        for place in self._places.values():
            shutil.rmtree(place / PINS, ignore_errors=True)

    def collect(self) -> None:
        """Look at all folders of videos, or again at those that have changed since."""
        here = set()
        for top in _TOPS:
            with os.scandir(self._places[top]) as entries:
                for number, entry in enumerate(entries):
                    if number % _CHECK_EVERY == 0:
                        self._check()
                    if is_id(entry.name):
                        here.add(f"{top}/{entry.name}")
                        with (
                            suppress(FileNotFoundError, NotADirectoryError),
                            self._told(f"{top}/{entry.name}"),
                        ):
                            self._look_into(top, entry)
        for gone in set(self._folders) - here:
            del self._folders[gone]
            self._files.pop(gone, None)

    def add_upload(self, upload_id: str) -> None:
        """One whose last byte is here, and which is not yet adopted: it changes no more."""
        place = self._places["uploads"] / upload_id
        with suppress(FileNotFoundError), self._told(f"uploads/{upload_id}"):
            file = self._pin(f"uploads/{upload_id}", place, place.lstat())
            self._files.setdefault("uploads", {})[upload_id] = file

    def _look_into(self, top: str, folder: os.DirEntry[str]) -> None:
        name = f"{top}/{folder.name}"
        state = folder.stat(follow_symlinks=False)
        settled = time.time_ns() - state.st_mtime_ns > _SETTLED_NS
        mark = (state.st_mtime_ns, state.st_ino) if settled else None
        if mark is not None and self._folders.get(name) == mark:
            return
        before, found = self._files.get(name, {}), {}
        with os.scandir(folder.path) as entries:
            for entry in entries:
                path = f"{name}/{entry.name}"
                if not format.is_file_path(path):
                    continue
                with suppress(FileNotFoundError), self._told(path):
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(about.st_mode):
                        same = before.get(entry.name)
                        found[entry.name] = (
                            same
                            if same is not None and _is_same(same, about)
                            else self._pin(
                                path, self._places[top] / folder.name / entry.name, about
                            )
                        )
        self._folders[name], self._files[name] = mark, found

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as exc:
            self.unreadable[path] = str(exc.strerror)

    def _pin(self, path: str, place: Path, about: os.stat_result) -> Pinned:
        pinned = Pinned(
            path, about.st_size, about.st_mtime_ns, about.st_ino, about.st_dev, pin=None
        )
        known = self._known.get(path)
        if (
            known is not None
            and (known.size_bytes, known.mtime_ns, known.inode)
            == (about.st_size, about.st_mtime_ns, about.st_ino)
            and self._has_object(known.sha256, known.size_bytes)
        ):
            pinned.sha256 = known.sha256
            return pinned
        self._number += 1
        pin = self._places[path.partition("/")[0]] / PINS / str(self._number)
        os.link(place, pin, follow_symlinks=False)
        pinned.pin = pin
        return pinned


def _is_same(pinned: Pinned, about: os.stat_result) -> bool:
    return (pinned.inode, pinned.mtime_ns, pinned.size_bytes) == (
        about.st_ino,
        about.st_mtime_ns,
        about.st_size,
    )
