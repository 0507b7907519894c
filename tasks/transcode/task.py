"""Make a rendition: `remux` in the quick queue encodes nothing, `encode` is for media."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Method, Rendition, Video
from appliance.states import RenditionState, VideoState
from storage.media import place
from tasks import pipeline, renditions
from tasks.probe.facts import Probe
from tasks.probe.look import look
from tasks.profiles import PROFILES, Profile
from tasks.transcode import run
from tasks.transcode.plan import Plan, encode_anyway, plan

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome

log = logging.getLogger(__name__)

CHEAP = (Method.LEAVE, Method.REMUX)
# How far the length of a result may be off: the last picture, the last piece of sound, and what
# containers without an index only estimate.
_SLACK_S = 0.5
_SLACK = {True: 0.02, False: 0.1}
_MAKING_SHARE = 0.95


def repack(job: Job, context: Context) -> Outcome:
    return _make(job, context, may_encode=False)


def encode(job: Job, context: Context) -> Outcome:
    return _make(job, context, may_encode=True)


def _make(job: Job, context: Context, *, may_encode: bool) -> Outcome:
    with database.connection_context():
        rendition = Rendition.get_by_id(job.rendition_id)
        video = Video.get_by_id(job.video_id)
        profile = PROFILES[rendition.profile]
        twin = renditions.find_twin(video, profile)
    current = rendition.profile_version == profile.version
    if video.state is VideoState.TRASHED or (rendition.state is RenditionState.READY and current):
        return None  # in the bin, or done before a crash: nothing is left to do
    context.record(lambda: pipeline.rendition_started(rendition, profile))

    began_s = time.monotonic()
    if twin is not None and (outcome := _reuse(rendition, video, twin, context)) is not None:
        return outcome
    original = context.layout.original(video.public_id)
    facts = Probe.from_dict(video.facts)
    chosen = _choose(facts, profile, job)
    if chosen.method not in CHEAP and not may_encode:
        return lambda: pipeline.hand_to_encoder(job, rendition)
    made = run.make(original, facts, chosen, profile.targets, context, share=_MAKING_SHARE)
    result, fault = _verify(made, facts, chosen, profile, context)
    if fault and chosen.method is not Method.TRANSCODE:
        log.warning("%s of %s gave a file that %s", chosen.method, video.public_id, fault)
        if not may_encode:
            return lambda: pipeline.hand_to_encoder(job, rendition, fault)
        chosen = encode_anyway(facts, profile, fault)
        made = run.make(original, facts, chosen, profile.targets, context, share=_MAKING_SHARE)
        result, fault = _verify(made, facts, chosen, profile, context)
    if fault:
        raise JobFailed(
            f"The converted file {fault}. The original can still be played and downloaded; "
            "export it as MP4 (H.264) and upload that.",
            permanent=True,
            code="result_refused",
        )
    seconds = time.monotonic() - began_s
    about = {
        "probe": result.to_dict(),
        "seconds": round(seconds, 2),
        "speed": round(facts.duration_s / seconds, 2),
        "reasons": list(chosen.reasons),
    }
    digest = video.sha256 if chosen.method is Method.LEAVE else None
    return _finish(rendition, video, made, chosen.method, about, context, digest)


def _choose(facts: Probe, profile: Profile, job: Job) -> Plan:
    if "anyway" in job.payload:
        return encode_anyway(facts, profile, str(job.payload["anyway"]))
    return plan(facts, profile)


def _verify(
    made: Path, facts: Probe, chosen: Plan, profile: Profile, context: Context
) -> tuple[Probe, str]:
    """The facts of the result, and what is wrong with it: "" or the end of "The file …"."""
    if chosen.method is Method.LEAVE:
        return facts, ""
    context.report("Checking the result", _MAKING_SHARE)
    result = look(made, context)
    if result.video is None or not result.video.decodes:
        return result, "can't be read"
    exact = facts.format.startswith(("mov,", "matroska,"))
    if abs(result.duration_s - facts.duration_s) > _SLACK_S + _SLACK[exact] * facts.duration_s:
        return result, (
            f"lasts {result.duration_s:.1f} s instead of {facts.duration_s:.1f} s: "
            "the original is damaged in the middle"
        )
    left = plan(result, profile)
    if left.method is not Method.LEAVE:
        return result, "isn't taken everywhere: " + ", ".join(left.reasons)
    return result, ""


def _reuse(rendition: Rendition, video: Video, twin: Rendition, context: Context) -> Outcome:
    """Take what was made of the same bytes for another video; None when its file has gone."""
    with database.connection_context():
        other = Video.get_by_id(twin.video_id)
    made = context.folder / "twin.mp4"
    try:
        run.link_or_copy(context.layout.rendition(other.public_id, twin.profile), made)
    except OSError:
        return None
    about = {**twin.facts, "reused": True, "seconds": 0.0}
    method = twin.method or Method.LEAVE
    return _finish(rendition, video, made, method, about, context, twin.sha256)


def _finish(
    rendition: Rendition,
    video: Video,
    made: Path,
    method: Method,
    about: dict[str, Any],
    context: Context,
    digest: str | None,
) -> Outcome:
    """What is recorded when the file is made: it in its place, and the row."""
    context.report("Putting it in its place", 0.98)
    columns = {
        "method": method,
        "facts": about,
        "size_bytes": made.stat().st_size,
        "sha256": digest or _digest(made, context),
    }
    final = context.layout.rendition(video.public_id, rendition.profile)

    def record() -> None:
        place(made, final)
        pipeline.rendition_ready(rendition, columns)

    return record


def _digest(file: Path, context: Context) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(4 * 1024**2):
            digest.update(block)
            context.check()
        # Here, so that the short transaction that places it has nothing left to force to disk.
        os.fsync(stream.fileno())
    return digest.hexdigest()
