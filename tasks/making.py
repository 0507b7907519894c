"""The frame around every job that makes a rendition: begin, reuse, make, put in its place.

What is made is one file in the job's folder; who makes it (an encode, a storyboard, a waveform)
only says how. A repeated job finds what was finished and skips it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Method, Rendition, Video
from appliance.states import RenditionState, VideoState
from storage.budget import require_room
from storage.media import link_or_copy, place
from tasks import pipeline, profiles, renditions
from tasks.context import PutBack
from tasks.probe.facts import Probe
from tasks.standing_in import shows_no_less

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome, Write
    from tasks.profiles import Profile

log = logging.getLogger(__name__)

# A post with the old file is going out: it must not change under the platform's fetcher.
LOOK_AGAIN_AFTER = timedelta(minutes=1)
LONGEST_SIT_OUT_S = 300.0
_GOING_OUT = "Waiting until a post with the old file is out"


@dataclass(frozen=True)
class Making:
    """What a maker is given. ``original``: the file to make it of."""

    job: Job
    video: Video
    rendition: Rendition
    profile: Profile
    original: Path


@dataclass(frozen=True)
class Made:
    """What a maker gives back: ``file`` is in the job's folder; ``facts`` are kept with the row
    (``probe``: of the file; ``reasons``: why it wasn't less work; all that pages show).

    ``sha256``: of the file, when it is known; ``seconds``: what it took, when that is another time
    than that of the maker.
    """

    file: Path
    method: Method | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str | None = None
    seconds: float | None = None


Maker = Callable[[Making, "Context"], "Made | Write"]


def make(job: Job, context: Context, maker: Maker) -> Outcome:
    """Run ``maker`` for the job's rendition, unless it is there already; what to record.

    A maker may give back a function instead: that is recorded, and nothing was made.
    """
    with database.connection_context():
        rendition = Rendition.get_by_id(job.rendition_id)
        video = Video.get_by_id(job.video_id)
        profile = profiles.current(rendition.profile)
        twin = renditions.find_twin(video, profile)
        going_out = renditions.is_going_out(rendition)
    rows = video, rendition, profile
    # ``remake`` is only said of ready ones; when it is current again, that was done before a crash.
    current = rendition.state is RenditionState.READY and rendition.recipe == profile.recipe
    if renditions.FORCE in job.payload:  # a person wants another than there is
        current, twin = False, None
    if video.state is VideoState.TRASHED or current:
        return None
    if going_out:
        return PutBack(now() + LOOK_AGAIN_AFTER, stage=_GOING_OUT)
    context.record(lambda: pipeline.rendition_started(rendition))
    outcome = _reuse(video, twin, context) or _make(job, context, maker, rows)
    if callable(outcome):
        return outcome
    made = outcome
    context.report("Putting it in its place", 0.98)
    columns = _columns(made, video, profile, context)
    final = context.layout.rendition(video.public_id, rendition.profile)
    if not _sit_out(rendition, context):
        return PutBack(now() + LOOK_AGAIN_AFTER, stage=_GOING_OUT)

    def record() -> None:
        if renditions.is_going_out(rendition):  # since a moment ago
            raise JobFailed(
                "A post began to go out with the old file just now. It is tried again.",
                permanent=False,
                code="going_out",
            )
        place(made.file, final)
        pipeline.rendition_ready(rendition, columns)

    return record


def _make(
    job: Job, context: Context, maker: Maker, rows: tuple[Video, Rendition, Profile]
) -> Made | Write:
    """By the maker, of the original. How long that took is known then."""
    video, rendition, profile = rows
    original = context.layout.original(video.public_id)
    if not original.exists():
        raise _missing(video)
    require_room(context.settings, job.room_bytes, job=job)
    began_s = time.monotonic()
    made = maker(Making(job, video, rendition, profile, original), context)
    if callable(made):
        context.tells_duration = False
        return made
    return made if made.seconds is not None else replace(made, seconds=time.monotonic() - began_s)


def _columns(made: Made, video: Video, profile: Profile, context: Context) -> dict[str, Any]:
    """Of the rendition's row."""
    seconds = made.seconds or 0.0
    about = {**made.facts, "seconds": round(seconds, 2)}
    if video.duration_s and seconds > 0:
        about["speed"] = round(video.duration_s / seconds, 2)
    return {
        "method": made.method,
        "facts": about,
        "recipe": profile.recipe,
        "size_bytes": made.file.stat().st_size,
        "sha256": made.sha256 or digest_of(made.file, context),
        "stands_in": _stands_in(video, made),
    }


def _sit_out(rendition: Rendition, context: Context) -> bool:
    """Wait until no platform fetches the file that is to be replaced; False: it takes too long.

    A fetcher that got half of the old file and half of the new one would have neither.
    """
    deadline_s = time.monotonic() + LONGEST_SIT_OUT_S
    while True:
        with database.connection_context():
            if not renditions.is_going_out(rendition):
                return True
        if time.monotonic() > deadline_s:
            return False
        context.moved()  # others are at work
        context.report(_GOING_OUT, 0.98)
        context.wait(0.5)


def _stands_in(video: Video, made: Made) -> bool:
    """Whether it could be the only copy: of films, where it is smaller and shows no less."""
    if "probe" not in made.facts or video.facts is None:
        return False
    if made.file.stat().st_size >= video.size_bytes:
        return False
    return shows_no_less(Probe.from_dict(video.facts), Probe.from_dict(made.facts["probe"]))


def _missing(video: Video) -> JobFailed:
    if video.original_removed_at is not None:
        return JobFailed(renditions.ORIGINAL_REMOVED, permanent=True, code="original_removed")
    return JobFailed(
        "The uploaded file is gone from the disk. Upload it again.",
        permanent=True,
        code="original_missing",
    )


def _reuse(video: Video, twin: Rendition | None, context: Context) -> Made | None:
    """Take what was made of the same bytes for another video; None when its file has gone, or
    isn't what was made: it may be the very file that is to be mended, by another name.
    """
    if twin is None:
        return None
    began_s = time.monotonic()
    with database.connection_context():
        other = Video.get_by_id(twin.video_id)
    made = context.folder / "twin"
    try:
        link_or_copy(context.layout.rendition(other.public_id, twin.profile), made)
    except OSError:
        return None
    if twin.sha256 is not None and digest_of(made, context) != twin.sha256:
        log.error("%s of %s has changed on the disk: not used again", twin.profile, other.public_id)
        made.unlink()
        return None
    context.tells_duration = False
    facts = {**twin.facts, "reused": True}
    return Made(made, twin.method, facts, twin.sha256, seconds=time.monotonic() - began_s)


def digest_of(file: Path, context: Context) -> str:
    """SHA-256 of what was made; it is on disk afterwards."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(4 * 1024**2):
            digest.update(block)
            context.moved()
            context.check()
        # Here, so that the short transaction that places it has nothing left to force to disk.
        os.fsync(stream.fileno())
        context.moved()  # it may have taken long, on a disk that has much to write
    return digest.hexdigest()
