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
from storage import orphans
from storage.inspection import CONTENT, MISSING, ORIGINAL, Wrong
from tasks import pipeline, profiles, renditions

if TYPE_CHECKING:
    from collections.abc import Collection

    from storage.layout import Layout

log = logging.getLogger(__name__)

GONE = {
    MISSING: "The file of this version is missing from the disk",
    CONTENT: "The file of this version has changed on the disk",
}
_GONE = "The file of this version is damaged"


def note(layout: Layout, wrong: Wrong) -> bool:
    """Write a damage down and have the file made anew if its original is there; False: it was
    known. Call it in a transaction.
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
    if bad.exists():  # nobody is to be given it meanwhile
        orphans.set_aside(layout, bad)
    try:
        with transaction():
            _require_source(layout, video, rendition)
            renditions.restart(rendition, video, Priority.NORMAL)
    except Conflict:
        sentence = GONE.get(wrong.problem, _GONE)
        pipeline.lose_rendition(
            Rendition.get_by_id(rendition.id),
            f"{sentence}, and there is no original to make it of. Upload the video again.",
        )
        return
    Damage.update(mending=True).where(Damage.video == video, Damage.name == wrong.name).execute()


def _require_source(layout: Layout, video: Video, rendition: Rendition) -> None:
    """Raises Conflict when there is nothing to make it of."""
    bad = Damage.select().where(Damage.video == video, Damage.name == ORIGINAL).exists()
    if layout.original(video.public_id).exists() and not bad:
        return
    if renditions.find_twin(video, profiles.current(rendition.profile)) is None:
        raise Conflict("There is no original to make it of.", code="original_missing")


def settle(looked_at: Collection[Video], wrong: Collection[Wrong]) -> None:
    """Forget the damages of videos that were looked at whose files are right again.

    What a look at sizes doesn't see (changed content) stays until the file is made anew, or read.
    """
    still = {(item.video.id, item.name) for item in wrong}
    rows = Damage.select().where(
        Damage.video.in_([video.id for video in looked_at]), Damage.problem != CONTENT
    )
    mended = [row.id for row in rows if (row.video_id, row.name) not in still and not _is_lost(row)]
    Damage.delete().where(Damage.id.in_(mended)).execute()


def _is_lost(row: Damage) -> bool:
    """A version that can't be made again: its row is FAILED, so no file is missed any more."""
    rendition = Rendition.get_or_none(
        Rendition.video == row.video_id, Rendition.profile == row.name
    )
    return rendition is not None and rendition.state is not RenditionState.READY
