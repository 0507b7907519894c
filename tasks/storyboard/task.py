"""Make the storyboard: small pictures of the whole film in one file, to look through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from appliance.errors import JobFailed
from tasks import pictures
from tasks.ffmpeg import find_ffmpeg
from tasks.making import Made, Making, make
from tasks.probe.facts import Probe
from tasks.storyboard.board import OUTPUT, TILES, Board, Way, moments, plan_board, scan_command

if TYPE_CHECKING:
    from appliance.models import Job
    from tasks.context import Context, Outcome

# Decoders that are open at a time.
_AT_ONCE = 10
_QUALITY = 70

Tiles = Sequence[Image.Image | None]


def make_storyboard(job: Job, context: Context) -> Outcome:
    return make(job, context, _make)


def _make(making: Making, context: Context) -> Made:
    facts = Probe.from_dict(making.video.facts)
    board = plan_board(facts)
    context.report("Taking pictures", 0.01)
    take = _jump if board.way is Way.SEEK else _scan
    tiles = take(making, facts, board, context)
    if not any(tiles):
        raise JobFailed(
            "No pictures could be taken from the video for its storyboard.",
            permanent=True,
            code="no_storyboard",
        )
    file = context.folder / OUTPUT
    _paste(tiles, board).save(file, "WEBP", quality=_QUALITY, method=2)
    return Made(file, facts={**board.facts, "way": board.way.value})


def _scan(making: Making, facts: Probe, board: Board, context: Context) -> Tiles:
    assert facts.video is not None
    words = scan_command(
        board,
        facts.video,
        ffmpeg=str(find_ffmpeg(context.settings)),
        max_pixels=context.settings.max_pixels,
    )
    pictures.run(
        words,
        making.original,
        context,
        cpu_s=600 + int(facts.duration_s * 8),
        on_line=pictures.follower(context, "Taking pictures", facts.duration_s),
    )
    return pictures.read_all(context.folder / TILES, (board.width, board.height))


def _jump(making: Making, facts: Probe, board: Board, context: Context) -> Tiles:
    at_s, size = moments(board), (board.width, board.height)
    tiles: list[Image.Image | None] = []
    for first in range(0, len(at_s), _AT_ONCE):
        context.saw("tile", first)
        context.report("Taking pictures", 0.9 * first / len(at_s))
        tiles += pictures.take(
            making.original, facts, at_s[first : first + _AT_ONCE], size, context, exact=False
        )
    return tiles


def _paste(tiles: Tiles, board: Board) -> Image.Image:
    """All tiles in rows. A moment without a picture gets the one before it (or the first)."""
    whole = Image.new("RGB", (board.columns * board.width, board.rows * board.height))
    shown = next(tile for tile in tiles if tile is not None)
    for number in range(board.count):
        shown = (tiles[number] if number < len(tiles) else None) or shown
        row, column = divmod(number, board.columns)
        whole.paste(shown, (column * board.width, row * board.height))
    return whole
