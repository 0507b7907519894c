"""Files compared with their rows: what is missing, has another size, or belongs to nothing."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from appliance.models import Rendition, Video
from appliance.states import RenditionState, VideoState
from storage.media_types import RENDITION_FILES, is_other_file
from storage.orphans import is_old

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from storage.layout import Layout

ORIGINAL = "original"
MISSING, SIZE, CONTENT = "missing", "size", "content"
_BLOCK = 4 * 1024**2


@dataclass(frozen=True)
class Kept:
    """A file that a row names. ``name``: "original", or a profile. ``sha256`` None: not known."""

    name: str
    file_name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Wrong:
    video: Video
    name: str
    problem: str


@dataclass
class Portion:
    """What was found of some videos. ``last``: the number of the last of them, None at the end."""

    last: int | None = None
    videos: list[Video] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)
    other_files: int = 0  # posters and the like, whose size no row says
    other_bytes: int = 0


def kept_files(video: Video, renditions: list[Rendition]) -> list[Kept]:
    """What its rows say that there is on disk."""
    found = []
    if video.received_at is not None and video.original_removed_at is None:
        found.append(kept_original(video))
    found += [
        kept_version(row)
        for row in renditions
        if row.state is RenditionState.READY and row.profile in RENDITION_FILES
    ]
    return found


def kept_original(video: Video) -> Kept:
    return Kept(ORIGINAL, ORIGINAL, video.size_bytes, video.sha256)


def kept_version(row: Rendition) -> Kept:
    """As it was when it was ready last, whatever state it is in."""
    return Kept(row.profile, RENDITION_FILES[row.profile].name, row.size_bytes, row.sha256)


def is_as_kept(path: Path, kept: Kept, check: Callable[[], None]) -> bool:
    """Whether a file is there with the size and, where that is known, the digest of its row."""
    try:
        if path.stat().st_size != kept.size_bytes:
            return False
        return kept.sha256 is None or digest(path, check) == kept.sha256.lower()
    except FileNotFoundError:
        return False


def compare(kept: list[Kept], here: Mapping[str, int]) -> tuple[dict[str, str], list[str]]:
    """``here``: file name → bytes. What is wrong (name → problem), and names that belong to
    nothing, those of files that no row says are there included.
    """
    wrong = {}
    for file in kept:
        if file.file_name not in here:
            wrong[file.name] = MISSING
        elif here[file.file_name] != file.size_bytes:
            wrong[file.name] = SIZE
    named = {file.file_name for file in kept}
    return wrong, [name for name in here if name not in named and not is_other_file(name)]


def look_through(layout: Layout, after: int, how_many: int) -> Portion:
    """Compare the next videos after row ``after`` with what is on disk. Wants a connection."""
    videos = list(Video.select().where(Video.id > after).order_by(Video.id).limit(how_many))
    renditions: defaultdict[int, list[Rendition]] = defaultdict(list)
    for row in Rendition.select().where(Rendition.video.in_([v.id for v in videos])):
        renditions[row.video_id].append(row)
    portion = Portion(last=videos[-1].id if videos else None, videos=videos)
    for video in videos:
        _look_at(layout, video, renditions[video.id], portion)
    return portion


def _look_at(layout: Layout, video: Video, renditions: list[Rendition], portion: Portion) -> None:
    folder = folder_of(layout, video)
    here = _sizes_in(folder)
    kept = kept_files(video, renditions)
    wrong, strays = compare(kept, here)
    portion.wrong += [Wrong(video, name, problem) for name, problem in wrong.items()]
    portion.strays += [folder / name for name in strays if is_old(folder / name)]
    others = [size for name, size in here.items() if is_other_file(name)]
    portion.other_files += len(others)
    portion.other_bytes += sum(others)


def folder_of(layout: Layout, video: Video) -> Path:
    """Where its files are; a move to or from the bin may be under way."""
    places = [layout.video(video.public_id), layout.trashed(video.public_id)]
    if video.state is VideoState.TRASHED:
        places.reverse()
    return places[0] if places[0].exists() else places[1]


def _sizes_in(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
    except FileNotFoundError:
        return {}


def still_wrong(layout: Layout, wrong: Wrong) -> bool:
    """Whether it is wrong by the rows of this moment. Call it in a transaction: files are put in
    their places inside one, so none is on its way meanwhile.
    """
    video = Video.get_or_none(Video.id == wrong.video.id)
    if video is None:
        return False
    kept = kept_files(video, list(Rendition.select().where(Rendition.video == video)))
    problems, _ = compare(kept, _sizes_in(folder_of(layout, video)))
    return problems.get(wrong.name) == wrong.problem


def is_stray(layout: Layout, path: Path) -> bool:
    """Whether a file inside a video's folder belongs to nothing now. As ``still_wrong``."""
    video = Video.get_or_none(Video.public_id == path.parent.name)
    if video is None:
        return False
    kept = kept_files(video, list(Rendition.select().where(Rendition.video == video)))
    return path.name in compare(kept, {path.name: 0})[1] and is_old(path)


def digest(path: Path, check: Callable[[], None]) -> str:
    """SHA-256 of a file, in hex; ``check`` is called between blocks."""
    with path.open("rb") as stream:
        return digest_of(stream, check)


def digest_of(stream: BinaryIO, check: Callable[[], None]) -> str:
    """The same of one that is open.

    What is read isn't kept in memory by the system: that belongs to those who watch.
    """
    found = hashlib.sha256()
    at = 0
    while block := stream.read(_BLOCK):
        found.update(block)
        os.posix_fadvise(stream.fileno(), at, len(block), os.POSIX_FADV_DONTNEED)
        at += len(block)
        check()
    return found.hexdigest()
