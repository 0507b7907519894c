"""Into the bin and out of it: the row first, then the files. And out of the bin for good.

Work under way ends, so that a deleted film keeps no worker busy, and posts that wait for the video
fail with a sentence. A task that ends before it hears of it keeps what it made with the rest.
All of it works on a disk without a byte left, too: deleting is what helps then.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import peewee

from appliance import access, events, jobs, videos
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import Conflict, Forbidden
from appliance.models import Role, Video
from appliance.states import VideoState
from storage import ballast
from storage.ballast import although_full, is_full_for
from storage.media import free_bytes, move_from_trash, move_to_trash, remove_video_files
from tasks import pipeline, restarts, tidy
from tasks.publish import settling
from tasks.turns import Turn, make_room

if TYPE_CHECKING:
    from datetime import datetime

    from peewee import ModelSelect

    from appliance.models import Job, User
    from appliance.settings import Settings
    from storage.layout import Layout
    from storage.orphans import Amount
    from tasks.context import Context, Outcome

log = logging.getLogger(__name__)

# With less on the disk not even a job can be written down.
_LEAST_BYTES = 1024**2


def throw_away(video: Video, actor: User, layout: Layout) -> None:
    """Raises Forbidden, InvalidTransition."""
    if not access.may_delete(actor, video):
        raise Forbidden("Only its owner and admins delete a video.")
    although_full(layout, partial(_into_bin, video, actor))
    move_to_trash(layout, video.public_id)


def _into_bin(video: Video, actor: User) -> None:
    with transaction():
        videos.trash(video, actor=actor)
        settling.video_trashed(video)
        pipeline.stop_work(video)


def take_out(video: Video, actor: User, layout: Layout, settings: Settings) -> None:
    """Raises Forbidden, Conflict, InvalidTransition."""
    if not access.may_delete(actor, video):
        raise Forbidden("Only its owner and admins restore a video.")
    if video.state_before_trash == VideoState.UPLOADING:
        raise Conflict("This video never arrived in full, so there is nothing to restore.")
    # Files first: nobody may look for them where they aren't. After a crash in between, the
    # sweep puts them back into the bin (storage.media.settle_trash).
    move_from_trash(layout, video.public_id)
    with transaction():
        videos.restore(video, actor=actor)
        restarts.go_on_after_return(video, settings)


def remove_for_good(video: Video, actor: User, layout: Layout) -> None:
    """Out of the bin, and gone: nothing brings it back. Raises Forbidden, Conflict."""
    if not access.may_delete(actor, video):
        raise Forbidden("Only its owner and admins delete a video.")
    if video.state is not VideoState.TRASHED:
        raise Conflict("Only what is in the bin is removed for good. Delete the video first.")
    if not _remove(video, actor, layout):
        raise Conflict("The video is not in the bin any more.")


def in_bin_of(actor: User) -> list[Video]:
    """What ``actor`` may remove for good: admins all, others what is theirs."""
    query = access.visible_videos(actor, trashed=True).order_by(Video.id)
    return [video for video in query if access.may_delete(actor, video)]


def empty(actor: User, layout: Layout) -> int:
    """Remove all of it for good; how many videos."""
    return sum(_remove(video, actor, layout) for video in in_bin_of(actor))


def remove_set_aside(actor: User, layout: Layout) -> Amount:
    """Remove the files of nobody that were set aside, for good. Raises Forbidden."""
    access.require(actor, Role.ADMIN)
    gone = although_full(layout, partial(tidy.forget_aside, layout))
    word = "storage.set_aside_removed"
    note = partial(events.audit, actor, word, files=gone.files, size_bytes=gone.size_bytes)
    although_full(layout, note)
    return gone


def start_emptying(settings: Settings, layout: Layout) -> None:
    """Have removed for good what has been in the bin for ``trash_days``, if there is any."""
    if not _long_enough(settings).exists():
        return
    if free_bytes(layout.data) < _LEAST_BYTES:
        ballast.drop(layout.ballast)  # the worker writes, too, before it removes anything
    although_full(layout, partial(jobs.create, "empty_bin", "empty_bin"))


def empty_old(job: Job, context: Context) -> Outcome:
    """The job: remove for good what has been in the bin for long enough."""
    turn = Turn()
    with database.connection_context():
        old = list(_long_enough(context.settings))
    for number, video in enumerate(old):
        if turn.is_over:
            return make_room()
        context.report("Removing what was in the bin", number / len(old))
        with database.connection_context():
            _remove(video, None, context.layout, before=_limit(context.settings))
    return None


def _long_enough(settings: Settings) -> ModelSelect[Video]:
    return Video.select().where(
        Video.state == VideoState.TRASHED, Video.deleted_at < _limit(settings)
    )


def _limit(settings: Settings) -> datetime:
    return now() - timedelta(days=settings.trash_days)


def _remove(
    video: Video, actor: User | None, layout: Layout, *, before: datetime | None = None
) -> bool:
    """False: it isn't in the bin any more, or (``before``) it was put there again since."""
    forget = partial(_forget, video, actor, before)
    try:
        # The row first: files without a row are swept, a row without files looks alive.
        removed = although_full(layout, forget)
    except (OSError, peewee.OperationalError) as exc:
        if not is_full_for(exc) or not _is_there(video, before):
            raise
        # Not a byte for the database to write into: its files go first, they are what takes room.
        # A crash in between leaves a video in the bin that can't be restored, as was asked for.
        remove_video_files(layout, video.public_id)
        removed = forget()
    if removed:
        remove_video_files(layout, video.public_id)
    return removed


def _is_there(video: Video, before: datetime | None) -> bool:
    """In the bin, and (``before``) not put there again since."""
    fresh = Video.get_or_none(Video.id == video.id, Video.state == VideoState.TRASHED)
    return fresh is not None and not (before and fresh.deleted_at and fresh.deleted_at >= before)


def _forget(video: Video, actor: User | None, before: datetime | None) -> bool:
    with transaction():
        if not _is_there(video, before):
            return False
        fresh = Video.get_by_id(video.id)
        videos.forget(fresh)
        events.audit(actor, "video.remove", f"video:{fresh.public_id}", size_bytes=fresh.size_bytes)
    log.info("%s was removed for good", video.public_id)
    return True
