"""Take the poster: one good picture of a video, small, early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Video
from appliance.states import VideoState
from storage.media import place
from tasks import pipeline, sandbox
from tasks.ffmpeg import find_ffmpeg
from tasks.poster.command import OUTPUT, moments, poster_command
from tasks.probe.facts import Probe
from tasks.sandbox import MIB, Command, Limits
from tasks.transcode.command import INPUT

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome

PATIENCE_S = 60.0
# A picture of 1280 × 720 with anything on it has more; a black one has 500 bytes.
_EMPTY_BYTES = 1500


def take_poster(job: Job, context: Context) -> Outcome:
    with database.connection_context():
        video = Video.get_by_id(job.video_id)
    if video.state is VideoState.TRASHED:
        return None
    facts = Probe.from_dict(video.facts)
    context.report("Choosing a picture", 0.1)
    poster = _best(context.layout.original(video.public_id), facts, context)
    if poster is None:
        raise JobFailed(
            "No picture could be taken from the video for its poster.",
            permanent=True,
            code="no_poster",
        )
    final = context.layout.poster(video.public_id)

    def record() -> None:
        place(poster, final)
        pipeline.poster_taken(video)

    return record


def _best(original: Path, facts: Probe, context: Context) -> Path | None:
    """The first moment whose picture isn't empty, else the one with most on it."""
    (context.folder / INPUT).symlink_to(original)
    found: list[tuple[int, Path]] = []
    for number, at_s in enumerate(moments(facts.duration_s)):
        picture = _take(original, facts, at_s, context)
        if picture is None:
            continue
        kept = picture.rename(context.folder / f"poster-{number}.webp")
        size_bytes = kept.stat().st_size
        if size_bytes >= _EMPTY_BYTES:
            return kept
        found.append((size_bytes, kept))
    return max(found)[1] if found else None


def _take(original: Path, facts: Probe, at_s: float, context: Context) -> Path | None:
    assert facts.video is not None
    ffmpeg = find_ffmpeg(context.settings)
    argv = poster_command(
        facts.video, at_s, ffmpeg=str(ffmpeg), max_pixels=context.settings.max_pixels
    )
    command = Command(
        argv=tuple(argv),
        folder=context.folder,
        reads=(original, ffmpeg),
        limits=Limits(memory_bytes=3072 * MIB, cpu_s=120, file_bytes=16 * MIB),
    )
    try:
        sandbox.run(command, context.settings, check=context.check, timeout_s=PATIENCE_S)
    except sandbox.TookTooLong:
        return None
    made = context.folder / OUTPUT
    return made if made.exists() and made.stat().st_size > 0 else None
