"""The dialog (and, without script, the page) that changes a video's poster."""

from __future__ import annotations

from dataclasses import dataclass

from litestar import get
from litestar.params import FromPath
from litestar.plugins.htmx import HTMXRequest
from litestar.response import Template

from appliance import access
from appliance.db import database
from appliance.models import PosterChoice, Rendition, Role
from web import playing
from web.auth import needs, principal
from web.playing import Storyboard

# As many pictures to choose from as can be looked at at once.
MOST_TILES = 12


@dataclass(frozen=True)
class Tile:
    """A picture of the storyboard: its moment, and its corner in pixels."""

    at_s: float
    x: int
    y: int
    chosen: bool


@get(
    "/videos/{video_id:str}/poster",
    opt=needs(Role.EDITOR),
    sync_to_thread=True,
    include_in_schema=False,
)
def poster_page(request: HTMXRequest, video_id: FromPath[str]) -> Template:
    with database.connection_context():
        video = access.get_video(principal(request).user, video_id)
        renditions = list(Rendition.select().where(Rendition.video == video))
    shown = playing.of(video, renditions)
    at_s = video.poster_at_s if video.poster_choice is not PosterChoice.CUSTOM else None
    context = {
        "video_id": video.public_id,
        "title": video.title,
        "duration_s": shown.duration_s,
        "storyboard": shown.storyboard,
        "tiles": tiles_of(shown.storyboard, at_s) if shown.storyboard else [],
        "at_s": at_s,
        "is_auto": video.poster_choice is PosterChoice.AUTO,
    }
    name = "videos/_poster_dialog.html" if request.htmx else "videos/poster.html"
    return Template(name, context=context)


def tiles_of(board: Storyboard, at_s: float | None) -> list[Tile]:
    """Pictures spread evenly over the video; the one nearest to ``at_s`` is marked."""
    number = min(board.count, MOST_TILES)
    chosen = [board.count * n // number for n in range(number)]
    nearest = None
    if at_s is not None:
        nearest = min(chosen, key=lambda tile: abs(tile * board.every_s - at_s))
    return [
        Tile(round(tile * board.every_s, 3), *board.corner(tile), tile == nearest)
        for tile in chosen
    ]
