"""Into the bin and out of it: the row first, then the files.

Work under way ends, so that a deleted film keeps no worker busy, and posts that wait for the video
fail with a sentence. A task that ends before it hears of it keeps what it made with the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import access, videos
from appliance.db import transaction
from appliance.errors import Conflict, Forbidden
from appliance.states import VideoState
from storage.media import move_from_trash, move_to_trash
from tasks import pipeline
from tasks.publish import dispatch

if TYPE_CHECKING:
    from appliance.models import User, Video
    from storage.layout import Layout


def throw_away(video: Video, actor: User, layout: Layout) -> None:
    """Raises Forbidden, InvalidTransition."""
    if not access.may_delete(actor, video):
        raise Forbidden("Only its owner and admins delete a video.")
    with transaction():
        videos.trash(video, actor=actor)
        dispatch.video_trashed(video)
        pipeline.stop_work(video)
    move_to_trash(layout, video.public_id)


def take_out(video: Video, actor: User, layout: Layout) -> None:
    """Raises Forbidden, Conflict, InvalidTransition."""
    if not access.may_delete(actor, video):
        raise Forbidden("Only its owner and admins restore a video.")
    if video.state_before_trash == VideoState.UPLOADING:
        raise Conflict("This video never arrived in full, so there is nothing to restore.")
    # Files first: nobody may look for them where they aren't. After a crash in between, the
    # sweep puts them back into the bin (storage.media.settle_trash).
    move_from_trash(layout, video.public_id)
    videos.restore(video, actor=actor)
