"""Files that are not as their rows say: written down, shown, and made anew where that is possible.

Never silently: a damage stands in a row of its own until the file is right again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance import events, videos
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict
from appliance.models import Damage, Priority, Rendition, Video
from appliance.states import RenditionState, VideoState
from storage import inspection, orphans
from storage.inspection import ORIGINAL, Kept, Wrong
from tasks import pipeline, profiles, renditions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from storage.layout import Layout

log = logging.getLogger(__name__)

_LOST = (
    "The file of this version is missing from the disk, and there is no original to make it of. "
    "Put the file back from a backup, or upload the video again."
)


def note(layout: Layout, wrong: Wrong) -> bool:
    """Write a damage down and have the file made anew if there is something to make it of; False:
    it was known. Call it in a transaction.
    """
    known = Damage.get_or_none(Damage.video == wrong.video, Damage.name == wrong.name)
    is_new = known is None or known.problem != wrong.problem
    if is_new:
        _write_down(wrong)
    if wrong.name != ORIGINAL:
        _make_anew(layout, wrong)
    return is_new


def _write_down(wrong: Wrong) -> None:
    columns = {Damage.problem: wrong.problem, Damage.found_at: now()}
    Damage.insert({Damage.video: wrong.video, Damage.name: wrong.name, **columns}).on_conflict(
        conflict_target=[Damage.video, Damage.name], update=columns
    ).execute()
    log.error("%s of %s: %s", wrong.name, wrong.video.public_id, wrong.problem)
    about: dict[str, Any] = {"name": wrong.name, "problem": wrong.problem}
    videos.tell(wrong.video, "video.damaged", **about)
    events.audit(None, "storage.damaged", f"video:{wrong.video.public_id}", **about)


def _make_anew(layout: Layout, wrong: Wrong) -> None:
    video = Video.get_by_id(wrong.video.id)
    rendition = Rendition.get_or_none(Rendition.video == video, Rendition.profile == wrong.name)
    if rendition is None or rendition.state is not RenditionState.READY:
        return
    if video.state is VideoState.TRASHED:
        return  # after a restore the next look finds it again
    bad = layout.rendition(video.public_id, rendition.profile)
    is_here = bad.exists()
    try:
        with transaction():
            _require_source(layout, video, rendition)
            renditions.restart(rendition, video, Priority.NORMAL)
    except Conflict:
        # The only copy stays in use, marked, however little of it is wrong.
        if not is_here:
            pipeline.lose_rendition(Rendition.get_by_id(rendition.id), _LOST)
        return
    if is_here:  # nobody is to be given it meanwhile
        orphans.set_aside(layout, bad)
    Damage.update(mending=True).where(Damage.video == video, Damage.name == wrong.name).execute()


def _require_source(layout: Layout, video: Video, rendition: Rendition) -> None:
    """Raises Conflict when there is nothing to make it of."""
    bad = Damage.select().where(Damage.video == video, Damage.name == ORIGINAL).exists()
    if layout.original(video.public_id).exists() and not bad:
        return
    twin = renditions.find_twin(video, profiles.current(rendition.profile))
    if twin is not None:
        mine = layout.rendition(video.public_id, rendition.profile)
        theirs = layout.rendition(twin.video.public_id, twin.profile)
        # Twins are one file by two names, as a rule.
        if theirs.exists() and not (mine.exists() and mine.samefile(theirs)):
            return
    raise Conflict("There is no original to make it of.", code="original_missing")


# Right again


def find_mended(
    layout: Layout, looked_at: Collection[Video], check: Callable[[], None]
) -> list[Damage]:
    """The damages of these videos whose files are right again, or missed no more. Reads the files
    in full, so call it outside of a transaction; ``check`` is called between blocks.
    """
    rows = Damage.select().where(Damage.video.in_([video.id for video in looked_at]))
    found = []
    for row in list(rows):
        kept = _kept(row)
        if kept is None or inspection.is_as_kept(_path_of(layout, row, kept), kept, check):
            found.append(row)
    return found


def settle(layout: Layout, row: Damage) -> None:
    """Forget a damage that ``find_mended`` has found; a version that was lost is in use again.
    Call it in a transaction.
    """
    if Damage.get_or_none(Damage.id == row.id, Damage.found_at == row.found_at) is None:
        return
    kept = _kept(row)
    rendition = _rendition_of(row)
    if kept is not None:
        path = _path_of(layout, row, kept)
        if not path.exists() or path.stat().st_size != kept.size_bytes:
            return  # gone in between
    if rendition is not None and rendition.state is not RenditionState.READY:
        video = Video.get_by_id(row.video_id)
        if rendition.state is not RenditionState.FAILED or not videos.is_as_sent(video):
            return  # it is being made anew
        log.info("%s of %s is there again", row.name, video.public_id)
        pipeline.rendition_started(rendition)
        pipeline.rendition_ready(rendition, {})
    Damage.delete().where(Damage.id == row.id).execute()


def _kept(row: Damage) -> Kept | None:
    """What the file should be; None: nothing misses it any more."""
    video = Video.get_by_id(row.video_id)
    if row.name == ORIGINAL:
        return inspection.kept_original(video) if video.original_removed_at is None else None
    rendition = _rendition_of(row)
    return inspection.kept_version(rendition) if rendition is not None else None


def _path_of(layout: Layout, row: Damage, kept: Kept) -> Path:
    return inspection.folder_of(layout, Video.get_by_id(row.video_id)) / kept.file_name


def _rendition_of(row: Damage) -> Rendition | None:
    found: Rendition | None = Rendition.get_or_none(
        Rendition.video == row.video_id, Rendition.profile == row.name
    )
    return found
