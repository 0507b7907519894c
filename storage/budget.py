"""How much room is left: on the disk, and within what videos may take in sum (``disk_budget``).

What counts as taken, though it isn't there yet: what was promised to open uploads, and what the
jobs in line will leave behind. So an upload is refused before its first byte, with numbers, and
not at its last. What is here already goes first: its work may use half of the reserve, which
uploads leave alone, or a disk that uploads have filled would never finish anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peewee import fn

from appliance.db import database
from appliance.errors import StorageFull
from appliance.models import Job, Method, Rendition, Upload, Video
from appliance.states import JobState, RenditionState, UploadState
from appliance.text import describe_size
from storage.media import free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.settings import Settings
    from storage.layout import Layout

# From here on the pages warn.
NEARLY_FULL = 0.9
OPEN_UPLOADS = (UploadState.RECEIVING, UploadState.FINISHING)


@dataclass(frozen=True)
class Room:
    """All in bytes. ``owed``: what open uploads still have to bring. ``arriving``: all that they
    were promised. ``coming``: what jobs in line will leave behind, about.
    """

    free: int
    reserve: int
    owed: int
    coming: int
    budget: int | None
    used: int
    arriving: int

    @property
    def on_disk(self) -> int:
        return self.free - self.reserve - self.owed - self.coming

    @property
    def in_budget(self) -> int | None:
        if self.budget is None:
            return None
        return self.budget - self.used - self.arriving - self.coming

    @property
    def for_uploads(self) -> int:
        """What may still be promised to uploads; below 0 when too much is promised already."""
        within = self.in_budget
        return self.on_disk if within is None else min(self.on_disk, within)

    @property
    def narrowed_by_budget(self) -> bool:
        within = self.in_budget
        return within is not None and within < self.on_disk


def room(
    settings: Settings,
    layout: Layout,
    under_way: Iterable[Upload] | None = None,
    *,
    present_bytes: int = 0,
    used: int | None = None,
) -> Room:
    """The room at this moment. ``under_way``: to whom it is promised; None: all open uploads.

    ``present_bytes``: what is here of an upload that isn't among them. ``used``: what videos take,
    when that is known.
    """
    if under_way is None:
        under_way = Upload.select().where(Upload.state.in_(OPEN_UPLOADS))
    owed, arriving = 0, present_bytes
    for row in under_way:
        here, promised = _bytes_here(layout, row), row.length
        if promised is None:
            promised = row.expected_bytes
        arriving += max(here or 0, promised)
        # No file: it has just become an original. Finishing: nothing more comes.
        if here is not None and row.state is not UploadState.FINISHING:
            owed += max(0, promised - here)
    budget = settings.disk_budget
    return Room(
        free=free_bytes(layout.data),
        reserve=settings.reserve_bytes(),
        owed=owed,
        coming=coming_bytes(),
        budget=None if budget is None else int(budget),
        used=0 if budget is None else used_bytes() if used is None else used,
        arriving=arriving,
    )


def _bytes_here(layout: Layout, row: Upload) -> int | None:
    try:
        return layout.upload(row.public_id).stat().st_size
    except FileNotFoundError:
        return None


def coming_bytes(*, without: int | None = None) -> int:
    """About what the live jobs will leave on the disk; ``without``: the number of one of them."""
    live = Job.select(fn.SUM(Job.room_bytes)).where(
        Job.state.in_([JobState.QUEUED, JobState.RUNNING]), Job.room_bytes > 0
    )
    if without is not None:
        live = live.where(Job.id != without, Job.state == JobState.RUNNING)
    return int(live.scalar() or 0)


def used_bytes() -> int:
    """What originals and renditions take, those in the bin included; from rows alone.

    A rendition that *is* the original (a second name of the same bytes) counts once.
    """
    originals = Video.select(fn.SUM(Video.size_bytes)).where(
        Video.received_at.is_null(False), Video.original_removed_at.is_null()
    )
    ready = Rendition.state == RenditionState.READY
    made = Rendition.select(fn.SUM(Rendition.size_bytes)).where(ready)
    return int(originals.scalar() or 0) + int(made.scalar() or 0) - _shared_bytes()


def _shared_bytes() -> int:
    removed = Video.select(Video.id).where(Video.original_removed_at.is_null(False))
    shared = Rendition.select(fn.SUM(Rendition.size_bytes)).where(
        Rendition.state == RenditionState.READY,
        Rendition.method == Method.LEAVE,
        Rendition.video.not_in(removed),
    )
    return int(shared.scalar() or 0)


def full_sentence(needed: int, left: Room) -> str:
    """What somebody is told whose file finds no room, with the numbers."""
    free = describe_size(max(0, left.for_uploads))
    why = ""
    if left.narrowed_by_budget and left.budget is not None:
        why = f" of the {describe_size(left.budget)} that all videos may take"
    return (
        f"The box has no room for this file: it has {describe_size(needed)}, and {free}{why} "
        "are free for uploads. Delete videos, or ask your admin for space."
    )


def require_room(settings: Settings, needed_bytes: int, *, job: Job | None = None) -> None:
    """Call it before work that writes ``needed_bytes``, about. ``job``: whose work that is.

    Opens a connection unless this thread has one. Raises StorageFull: the job then waits.
    """
    if database.is_closed():
        with database.connection_context():
            _require_room(settings, needed_bytes, job)
    else:
        _require_room(settings, needed_bytes, job)


def _require_room(settings: Settings, needed_bytes: int, job: Job | None) -> None:
    others = coming_bytes(without=job.id) if job is not None else 0
    disk = free_bytes(settings.data) - settings.reserve_bytes() // 2 - others
    if needed_bytes > disk:
        raise StorageFull(
            f"This takes about {describe_size(needed_bytes)}, and the disk has "
            f"{describe_size(max(0, disk))} for it. It goes on by itself once there is room: "
            "delete videos or empty the bin."
        )
    if settings.disk_budget is None:
        return
    left = int(settings.disk_budget) - used_bytes() - others
    if needed_bytes > left:
        raise StorageFull(
            f"This takes about {describe_size(needed_bytes)}, and {describe_size(max(0, left))} "
            f"are left of the {describe_size(int(settings.disk_budget))} that all videos may "
            "take. It goes on by itself once there is room: delete videos or empty the bin."
        )
