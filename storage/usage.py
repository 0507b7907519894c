"""What takes room, as sums of rows: the same work for ten videos and for a hundred thousand.

Only what no row knows (posters, files of nobody) is what the last look through the files found.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance.models import Damage, Method, Rendition, Setting, Upload, Video
from appliance.states import RenditionState, VideoState
from storage import budget
from storage.budget import OPEN_UPLOADS, Room
from storage.media import free_bytes
from storage.orphans import Amount, measure

if TYPE_CHECKING:
    from peewee import ModelSelect

    from appliance.settings import Settings
    from storage.layout import Layout

# The row that says what the last look through all files found, and when that was.
LOOKED = "storage_looked"
# The row that says how full the box is, for pages that can't sum up all videos each time.
WARNED = "storage_warned"
# The row that says what the files take that only backups have.
BACKUPS = "storage_backups"
NEWEST_DAMAGES = 100


@dataclass(frozen=True)
class Part:
    """``name``: "original", a profile, "bin", …; ``count`` of files."""

    name: str
    count: int
    size_bytes: int


@dataclass(frozen=True)
class Damaged:
    video_id: str
    title: str
    name: str
    problem: str
    mending: bool
    found_at: datetime


@dataclass(frozen=True)
class Usage:
    """``looked_at``: when all files were last compared with their rows; None: never yet."""

    total_bytes: int
    room: Room
    parts: list[Part]
    videos_bytes: int
    orphans: Amount
    looked_at: datetime | None
    damaged: int

    @property
    def nearly_full(self) -> bool:
        """Of what uploads may fill, nine tenths are taken."""
        return nearly_full(self.room, self.total_bytes, self.videos_bytes)


def nearly_full(room: Room, total_bytes: int, videos_bytes: int) -> bool:
    fillable = total_bytes - room.reserve
    if fillable > 0 and (fillable - max(0, room.on_disk)) / fillable >= budget.NEARLY_FULL:
        return True
    return room.budget is not None and videos_bytes >= budget.NEARLY_FULL * room.budget


@dataclass(frozen=True)
class Warned:
    """How full the box was a moment ago. Bytes, rounded to two digits."""

    nearly_full: bool = False
    free_for_uploads_bytes: int = 0


def warned(settings: Settings) -> Warned:
    """As the last sweep found it. Wants a connection.

    A disk below its reserve is seen at once: a full one lets no sweep write down what it found.
    """
    if free_bytes(settings.data) < settings.reserve_bytes():
        return Warned(nearly_full=True)
    row = Setting.get_or_none(Setting.name == WARNED)
    return Warned(**row.value) if row is not None else Warned()


def look_how_full(settings: Settings, layout: Layout) -> Warned:
    """The same, of this moment."""
    room = budget.room(settings, layout)
    total = shutil.disk_usage(layout.data).total
    if not nearly_full(room, total, room.used):
        return Warned()
    left = max(0, room.for_uploads)
    return Warned(True, round(left, 2 - len(str(left))))


def take_stock(settings: Settings, layout: Layout) -> Usage:
    """Wants a connection."""
    looked = looked_before()
    videos = [
        _originals("original", Video.state != VideoState.TRASHED),
        *_renditions(),
        _in_bin(),
    ]
    videos_bytes = sum(part.size_bytes for part in videos)
    parts = [
        *videos[:-1],
        Part("posters", looked.get("other_files", 0), looked.get("other_bytes", 0)),
        videos[-1],
        _arriving(layout),
        Part("work", *_amount(measure(layout.tmp))),
        _database(settings),
        Part("backups", *_amount(_backups(settings))),
    ]
    orphans = Amount(looked.get("orphans", 0), looked.get("orphans_bytes", 0))
    looked_at = looked.get("at")
    return Usage(
        total_bytes=shutil.disk_usage(layout.data).total,
        room=budget.room(settings, layout, used=videos_bytes),
        parts=parts,
        videos_bytes=videos_bytes,
        orphans=orphans,
        looked_at=datetime.fromisoformat(looked_at) if looked_at else None,
        damaged=Damage.select().count(),
    )


def damaged_files(visible: ModelSelect[Video]) -> list[Damaged]:
    """The newest first, of the videos of a query."""
    # Of all that are visible only those are looked at, or the list of them takes a while.
    damaged = visible.where(Video.id.in_(Damage.select(Damage.video)))
    rows = (
        Damage.select(Damage, Video)
        .join(Video)
        .where(Video.id.in_(damaged.select(Video.id)))
        .order_by(Damage.id.desc())
        .limit(NEWEST_DAMAGES)
    )
    return [
        Damaged(
            row.video.public_id,
            row.video.title,
            row.name,
            row.problem,
            row.mending,
            row.found_at,
        )
        for row in rows
    ]


def looked_before() -> dict[str, Any]:
    """What the last look through all files found; {} before the first."""
    return _kept_of(LOOKED)


def _kept_of(name: str) -> dict[str, Any]:
    row = Setting.get_or_none(Setting.name == name)
    return row.value if row is not None else {}


def _amount(found: Amount) -> tuple[int, int]:
    return found.files, found.size_bytes


def _originals(name: str, *also: Any) -> Part:
    rows: Any = (
        Video.select(fn.COUNT(Video.id), fn.SUM(Video.size_bytes))
        .where(Video.received_at.is_null(False), Video.original_removed_at.is_null(), *also)
        .tuples()
    )
    count, size_bytes = next(iter(rows))
    return Part(name, count, int(size_bytes or 0))


def _renditions() -> list[Part]:
    """For each profile. Of those that are the original itself, only the names count.

    One run through the index; what is rare (in the bin, an original that went) is taken off it.
    """
    ready = Rendition.state == RenditionState.READY
    rows: Any = (
        Rendition.select(
            Rendition.profile,
            Rendition.method,
            fn.COUNT(Rendition.id),
            fn.SUM(Rendition.size_bytes),
        )
        .where(ready)
        .group_by(Rendition.profile, Rendition.method)
    )
    in_bin = rows.where(
        Rendition.video.in_(Video.select(Video.id).where(Video.state == VideoState.TRASHED))
    )
    kept = Video.select(Video.id).where(
        Video.original_removed_at.is_null(False), Video.state != VideoState.TRASHED
    )
    counts: defaultdict[str, int] = defaultdict(int)
    sizes: defaultdict[str, int] = defaultdict(int)
    for sign, found in ((1, rows), (-1, in_bin)):
        for profile, method, count, size_bytes in found.tuples():
            counts[profile] += sign * count
            if method != Method.LEAVE:
                sizes[profile] += sign * int(size_bytes)
    known = list(counts)
    alone = rows.where(
        Rendition.profile.in_(known), Rendition.method == Method.LEAVE, Rendition.video.in_(kept)
    )
    for profile, _, _, size_bytes in alone.tuples():
        sizes[profile] += int(size_bytes)
    return [Part(profile, counts[profile], sizes[profile]) for profile in known if counts[profile]]


def _in_bin() -> Part:
    trashed = Video.select(Video.id).where(Video.state == VideoState.TRASHED)
    originals = _originals("bin", Video.state == VideoState.TRASHED)
    made = (
        Rendition.select(fn.SUM(Rendition.size_bytes))
        .where(
            Rendition.video.in_(trashed),
            Rendition.state == RenditionState.READY,
            Rendition.method.is_null() | (Rendition.method != Method.LEAVE),
        )
        .scalar()
    )
    return Part("bin", trashed.count(), originals.size_bytes + int(made or 0))


def _arriving(layout: Layout) -> Part:
    count = size_bytes = 0
    for row in Upload.select(Upload.public_id).where(Upload.state.in_(OPEN_UPLOADS)):
        found = measure(layout.upload(row.public_id))
        count, size_bytes = count + 1, size_bytes + found.size_bytes
    return Part("uploads", count, size_bytes)


def _database(settings: Settings) -> Part:
    found = Amount()
    for ending in ("", "-wal", "-shm"):
        for path in (settings.database_path, settings.queue_path):
            found += measure(path.with_name(path.name + ending))
    return Part("database", *_amount(found))


def _backups(settings: Settings) -> Amount:
    """Copies of the database, of backups and before migrations, and files that backups alone have.

    What is on another disk takes no room here. Files of videos are second names of what the box
    has, as a rule; those that are not were counted when they last changed (`count_objects`).
    """
    found = Amount()
    if _is_on_disk_of_data(settings):
        known = _kept_of(BACKUPS)
        found = measure(settings.backups / "sets") + measure(settings.backups / "tmp")
        found += Amount(known.get("files", 0), known.get("size_bytes", 0))
    if (settings.data / "backups").is_dir():
        for path in (settings.data / "backups").glob("before-*.db"):
            found += measure(path)
    return found


def count_objects(settings: Settings) -> Amount:
    """Files of videos that take room for the sake of backups: no other name of theirs is left.

    It looks at each file of the backups, so it is for jobs; they write it down as ``BACKUPS``.
    """
    files = size_bytes = 0
    if _is_on_disk_of_data(settings):
        for root, _, names in os.walk(settings.backups / "objects"):
            for name in names:
                with suppress(FileNotFoundError):
                    about = os.lstat(os.path.join(root, name))
                    if about.st_nlink == 1:
                        files, size_bytes = files + 1, size_bytes + about.st_size
    return Amount(files, size_bytes)


def _is_on_disk_of_data(settings: Settings) -> bool:
    try:
        return settings.backups.stat().st_dev == settings.data.stat().st_dev
    except FileNotFoundError:
        return False


def biggest(query: Any, how_many: int, *, by: str = "all") -> list[tuple[Video, int, int]]:
    """The videos of ``query`` that take most: each with its original's bytes and its versions'.

    ``by``: "all", "original" or "versions".
    """
    made = (
        Rendition.select(Rendition.video, fn.SUM(Rendition.size_bytes).alias("made"))
        .where(
            Rendition.state == RenditionState.READY,
            Rendition.method.is_null() | (Rendition.method != Method.LEAVE),
        )
        .group_by(Rendition.video)
        .alias("sums")
    )
    original = fn.IIF(
        Video.received_at.is_null() | Video.original_removed_at.is_null(False),
        0,
        Video.size_bytes,
    )
    versions = fn.COALESCE(made.c.made, 0)
    key = {"original": original, "versions": versions}.get(by, original + versions)
    rows: Any = (
        query.select(Video.id, original, versions)
        .left_outer_join(made, on=(made.c.video_id == Video.id))
        .order_by(key.desc(), Video.id.desc())
        .limit(how_many)
        .tuples()
    )
    found = list(rows)
    videos = {row.id: row for row in Video.select().where(Video.id.in_([r[0] for r in found]))}
    return [(videos[number], int(a), int(b)) for number, a, b in found]
