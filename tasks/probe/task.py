"""The first look at an original: what is it, and what has to be done?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Video
from appliance.states import VideoState
from tasks import pipeline
from tasks.probe.judge import Limits, judge
from tasks.probe.look import look

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome

HEAD_BYTES = 4096  # enough to name what a file is instead of a video
_BLOCK = 4 * 1024**2


def probe(job: Job, context: Context) -> Outcome:
    """Record the facts of the original and start what comes next."""
    with database.connection_context():
        video = Video.get_by_id(job.video_id)
    if video.state is VideoState.TRASHED:
        return None
    original = context.layout.original(video.public_id)
    context.report("Looking into the file", 0.0)
    try:
        with original.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise JobFailed(
            "The uploaded file is gone from the disk. Upload it again.",
            permanent=True,
            code="original_missing",
        ) from None
    facts = look(original, context)
    refusals = judge(facts, limits_of(context), head)
    if refusals:
        raise JobFailed(
            refusals[0].sentence,
            permanent=True,
            code=refusals[0].code,
            detail=facts.error.replace(f"file:{original}", "the file"),
        )
    digest = video.sha256 or _digest(original, context)
    return lambda: pipeline.after_probe(job, facts, digest, context.settings)


def limits_of(context: Context) -> Limits:
    settings = context.settings
    return Limits(settings.max_duration_s, settings.max_pixels, settings.max_tracks)


def _digest(file: Path, context: Context) -> str:
    """SHA-256 of the original: finds work that was done already, and damage later on."""
    digest = hashlib.sha256()
    size_bytes, done_bytes = file.stat().st_size, 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            done_bytes += len(block)
            context.report("Reading the file", 0.2 + 0.8 * done_bytes / size_bytes)
    return digest.hexdigest()
