"""Make the cover of a post: as the poster, but larger, and as JPEG, which all platforms take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.db import database
from appliance.models import Video
from appliance.states import VideoState
from storage.media import place
from tasks.poster import choosing, covers
from tasks.poster.task import picture_at, read_brought, source_of

if TYPE_CHECKING:
    from appliance.models import Job
    from tasks.context import Context, Outcome

OUTPUT = "cover.jpg"
# Instagram recommends 1080 × 1920, YouTube 1280 × 720 or more: both fit.
BOX = (1920, 1920)
_QUALITY = 88
_STAYS = "No cover was chosen."


def make_cover(job: Job, context: Context) -> Outcome:
    with database.connection_context():
        video = Video.get_by_id(job.video_id)
    if video.state is VideoState.TRASHED:
        return None
    context.report("Making the cover", 0.1)
    if brought := job.payload.get("custom"):
        file = choosing.picture_path(context.layout, video, str(brought))
        picture = read_brought(file, context, box=BOX, stays=_STAYS)
    else:
        source, facts = source_of(video, context)
        picture = picture_at(
            source, facts, float(job.payload["at_s"]), context, box=BOX, stays=_STAYS
        )
    made = context.folder / OUTPUT
    picture.save(made, "JPEG", quality=_QUALITY, optimize=True)

    def record() -> None:
        choosing.forget_picture(job, video, context.layout)
        place(made, context.layout.cover(video.public_id, str(job.payload["cover"])))
        covers.forget_unnamed(video, context.layout)

    return record
