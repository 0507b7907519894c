"""How many tiles a storyboard has, of what size, and how they are come by. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tasks import pictures
from tasks.transcode.command import INPUT, read_options

if TYPE_CHECKING:
    from tasks.probe.facts import Probe, VideoTrack

OUTPUT, TILES = "storyboard.webp", "tiles.rgb"
MAX_TILES, COLUMNS = 100, 10
# The longer side of a tile, in pixels.
SIDE = 160
LEAST_S = 0.5
# With fewer tiles than this between two keyframes all pictures are looked at.
_FEWEST = 20
# A last tile for less than this part of a step isn't worth having.
_LEAST_SHARE = 0.2
# A pass through a file looks at each keyframe; beyond that many for each tile, jumping is quicker.
_SPARSE = 4
_LARGE_BYTES = 2_000_000_000
# Longer films without known keyframes are not decoded as a whole for this.
_DECODED_S = 1800.0


class Way(Enum):
    KEYFRAMES = "keyframes"  # one pass through the file, keyframes only
    SEEK = "seek"  # jump to each moment
    ALL = "all"  # one pass, all pictures


@dataclass(frozen=True)
class Board:
    """``width`` and ``height``: of one tile, in pixels. ``every_s``: from one tile to the next."""

    columns: int
    rows: int
    count: int
    width: int
    height: int
    every_s: float
    way: Way

    @property
    def facts(self) -> dict[str, float]:
        return {
            "columns": self.columns,
            "rows": self.rows,
            "count": self.count,
            "width": self.width,
            "height": self.height,
            "every_s": self.every_s,
        }


def plan_board(facts: Probe) -> Board:
    """The storyboard of a film. Never more than ``MAX_TILES`` tiles."""
    assert facts.video is not None
    duration_s = max(facts.duration_s, 0.001)
    every_s = max(LEAST_S, duration_s / MAX_TILES)
    way = _choose(facts, facts.video, every_s)
    if way is Way.KEYFRAMES:
        every_s = max(every_s, facts.video.longest_gop_s or 0.0)
    count = max(1, min(MAX_TILES, math.ceil(duration_s / every_s - _LEAST_SHARE)))
    width, height = pictures.shown_size(facts.video, (SIDE, SIDE))
    columns = min(COLUMNS, count)
    return Board(
        columns=columns,
        rows=math.ceil(count / columns),
        count=count,
        width=width,
        height=height,
        every_s=round(duration_s / count if count == MAX_TILES else every_s, 4),
        way=way,
    )


def _choose(facts: Probe, video: VideoTrack, every_s: float) -> Way:
    gop_s = video.longest_gop_s
    if gop_s is None:
        return Way.SEEK if facts.duration_s > _DECODED_S else Way.ALL
    if gop_s * _FEWEST > facts.duration_s:
        return Way.ALL
    many = every_s > _SPARSE * max(gop_s, 0.01) or facts.size_bytes > _LARGE_BYTES
    return Way.SEEK if many and gop_s <= every_s else Way.KEYFRAMES


def scan_command(board: Board, video: VideoTrack, *, ffmpeg: str, max_pixels: int) -> list[str]:
    """One pass through ``INPUT``: raw tiles, one after the other, to ``TILES``."""
    size = (board.width, board.height)
    # Of each step the last picture before it.
    chosen = ["setpts=PTS-STARTPTS", f"fps=fps=1/{board.every_s:.4f}:round=up"]
    return [
        *(ffmpeg, *pictures.QUIET, "-progress", "pipe:1"),
        *read_options(max_pixels=max_pixels),
        *(("-skip_frame", "nokey") if board.way is Way.KEYFRAMES else ()),
        *("-i", f"file:{INPUT}", "-map", f"0:{video.index}", "-an", "-sn", "-dn"),
        # Chosen first, so that the costly filters see only what is shown.
        *("-vf", ",".join([*chosen, *pictures.filters(video, size)])),
        *("-frames:v", str(board.count), "-f", "rawvideo", f"file:{TILES}"),
    ]


def moments(board: Board) -> list[float]:
    """Seconds of the tiles."""
    return [round(number * board.every_s, 3) for number in range(board.count)]
