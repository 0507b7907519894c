"""Into the bin and out of it: the row first, then the files.

Work under way isn't cancelled: each task looks whether its video is still there, and what it
made is kept with the rest, so that Undo brings back all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import access, videos
from appliance.errors import Conflict, Forbidden
from appliance.states import VideoState
from storage.media import move_from_trash, move_to_trash

if TYPE_CHECKING:
    from appliance.models import User, Video
    from storage.layout import Layout


def throw_away(video: Video, actor: User, layout: Layout) -> None:
    """Raises Forbidden, InvalidTransition."""
    if not access.may_delete(actor, video):
        raise Forbidden("Only its owner and admins delete a video.")
    videos.trash(video, actor=actor)
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
