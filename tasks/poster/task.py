"""Take the poster: one good picture of a video, small, early; or the one that a person chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Video
from appliance.states import VideoState
from storage.media import place
from tasks import pictures, pipeline
from tasks.ffmpeg import find_ffmpeg
from tasks.poster import choosing
from tasks.poster.brought import BROUGHT, HEAD_BYTES, brought_command, demuxer_of
from tasks.poster.brought import OUTPUT as BROUGHT_OUTPUT
from tasks.poster.score import POOR, look_at
from tasks.probe.facts import Probe
from tasks.renditions import ORIGINAL_REMOVED
from tasks.sandbox_types import TookTooLong

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome

OUTPUT = "poster.webp"
BOX = (1280, 720)
_QUALITY = 80
# Where to look for a good one, as shares of the length: past the title, before the end.
SHARES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
# The end of a film may lie between its last picture and the end of its sound.
_BEFORE_S = (0.0, 0.25, 1.0)
_STAYS = "The poster stays as it was."


def take_poster(job: Job, context: Context) -> Outcome:
    with database.connection_context():
        video = Video.get_by_id(job.video_id)
    if video.state is VideoState.TRASHED:
        return None
    picture, at_s = _picture(job, video, context)
    file = context.folder / OUTPUT
    # Pixels alone: whatever else a picture told of its maker stays behind.
    picture.save(file, "WEBP", quality=_QUALITY, method=4)

    def record() -> None:
        fresh = Video.get_by_id(video.id)
        choosing.forget_picture(job, video, context.layout)
        if choosing.is_overtaken(job, fresh):
            return
        place(file, context.layout.poster(video.public_id))
        pipeline.poster_taken(fresh, choosing.choice_of(job.payload), at_s)

    return record


def _picture(job: Job, video: Video, context: Context) -> tuple[Image.Image, float | None]:
    if brought := job.payload.get("custom"):
        context.report("Reading the picture", 0.1)
        file = choosing.picture_path(context.layout, video, str(brought))
        try:
            return read_brought(file, context), None
        except JobFailed:
            file.unlink(missing_ok=True)
            raise
    source, facts = source_of(video, context)
    if "at_s" in job.payload:
        context.report("Taking the picture", 0.1)
        at_s = float(job.payload["at_s"])
        return picture_at(source, facts, at_s, context), at_s
    context.report("Choosing a picture", 0.1)
    return _best(source, facts, context)


def source_of(video: Video, context: Context) -> tuple[Path, Probe]:
    """The original, or what is left of it."""
    original = context.layout.original(video.public_id)
    if original.exists():
        return original, Probe.from_dict(video.facts)
    with database.connection_context():
        film = choosing.film_of(video)
    if film is None or "probe" not in (film.facts or {}):
        raise JobFailed(ORIGINAL_REMOVED, permanent=True, code="original_removed")
    return context.layout.rendition(video.public_id, film.profile), Probe.from_dict(
        film.facts["probe"]
    )


def _best(source: Path, facts: Probe, context: Context) -> tuple[Image.Image, float]:
    """The best of some keyframes; if none is good, the best of those very moments."""
    moments = [round(facts.duration_s * share, 3) for share in SHARES]
    found: list[tuple[float, int, Image.Image]] = []
    for exact in (False, True):
        for number, picture in enumerate(_take(source, facts, moments, context, exact=exact)):
            if picture is not None:
                found.append((look_at(picture).score, -number, picture))
        if found and max(found, key=_order)[0] >= POOR:
            break
    if not found and (first := _take(source, facts, [0.0], context, exact=True)[0]) is not None:
        return first, 0.0
    if not found:
        raise JobFailed(
            "No picture could be taken from the video for its poster.",
            permanent=True,
            code="no_poster",
        )
    _, number, picture = max(found, key=_order)
    return picture, moments[-number]


def _order(found: tuple[float, int, Image.Image]) -> tuple[float, int]:
    """The better; of those that are about as good, the earlier."""
    return round(found[0], 1), found[1]


def picture_at(
    source: Path,
    facts: Probe,
    at_s: float,
    context: Context,
    *,
    box: pictures.Size = BOX,
    stays: str = _STAYS,
) -> Image.Image:
    """The picture at a moment, fitting into ``box``. ``stays``: what a failure leaves as it was.

    Raises JobFailed.
    """
    for before_s in _BEFORE_S:
        moment_s = max(0.0, at_s - before_s)
        (picture,) = _take(source, facts, [moment_s], context, exact=True, box=box)
        if picture is not None:
            return picture
    raise JobFailed(
        f"There is no picture at {at_s:.1f} s that could be read. {stays} Choose another moment.",
        permanent=True,
        code="no_poster",
    )


def _take(
    source: Path,
    facts: Probe,
    moments: list[float],
    context: Context,
    *,
    exact: bool,
    box: pictures.Size = BOX,
) -> list[Image.Image | None]:
    assert facts.video is not None
    size = pictures.shown_size(facts.video, box)
    return pictures.take(source, facts, moments, size, context, exact=exact)


def read_brought(
    file: Path, context: Context, *, box: pictures.Size = BOX, stays: str = _STAYS
) -> Image.Image:
    """A picture that somebody brought, upright, fitting into ``box``. Raises JobFailed."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except FileNotFoundError as exc:
        raise JobFailed(
            f"The picture is gone. {stays} Choose it again.", permanent=True, code="no_poster"
        ) from exc
    if demuxer_of(head) is None:
        raise _refused("it is no PNG, JPEG or WebP", stays)
    words = brought_command(head, box, ffmpeg=str(find_ffmpeg(context.settings)))
    try:
        ended = pictures.run(words, file, context, name=BROUGHT, cpu_s=30, timeout_s=60)
    except TookTooLong as exc:
        raise _refused("reading it took too long", stays) from exc
    made = context.folder / BROUGHT_OUTPUT
    if not made.exists() or made.stat().st_size == 0:
        too_large = "Picture size" in ended.words  # is invalid, or exceeds what we allow
        reason = "it has more pixels than can be read" if too_large else "it is damaged"
        raise _refused(reason, stays, ended.words)
    with Image.open(made, formats=["PPM"]) as picture:
        return picture.convert("RGB")


def _refused(reason: str, stays: str, detail: str = "") -> JobFailed:
    return JobFailed(
        f"The picture could not be used: {reason}. {stays} Choose another picture.",
        permanent=True,
        code="bad_picture",
        detail=detail,
    )
