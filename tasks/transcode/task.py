"""Make a film of a film: `remux` in the quick queue encodes nothing, the others are for media."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from appliance.errors import JobFailed
from appliance.models import Method
from tasks import pipeline
from tasks.making import Made, Making, make
from tasks.probe.facts import Probe
from tasks.probe.look import look
from tasks.transcode import run
from tasks.transcode.plan import Plan, encode_anyway, plan

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome, Write
    from tasks.profiles import Profile

log = logging.getLogger(__name__)

CHEAP = (Method.LEAVE, Method.REMUX)
# How far the length of a result may be off: the last picture, the last piece of sound, and what
# containers without an index only estimate.
_SLACK_S = 0.5
_SLACK = {True: 0.02, False: 0.1}
_MAKING_SHARE = 0.95


def repack(job: Job, context: Context) -> Outcome:
    return make(job, context, _repack)


def encode(job: Job, context: Context) -> Outcome:
    return make(job, context, _encode)


def _repack(making: Making, context: Context) -> Made | Write:
    facts, chosen = _choose(making)
    if chosen.method not in CHEAP:
        return lambda: pipeline.hand_to_encoder(making.job, making.rendition)
    made, fault = _carry_out(making, facts, chosen, context)
    if fault:
        return lambda: pipeline.hand_to_encoder(making.job, making.rendition, fault)
    return made


def _encode(making: Making, context: Context) -> Made:
    facts, chosen = _choose(making)
    made, fault = _carry_out(making, facts, chosen, context)
    if fault and chosen.method is not Method.TRANSCODE:
        made, fault = _carry_out(
            making, facts, encode_anyway(facts, making.profile, fault), context
        )
    if fault:
        raise JobFailed(
            f"The converted file {fault}. The original can still be played and downloaded; "
            "export it as MP4 (H.264) and upload that.",
            permanent=True,
            code="result_refused",
        )
    return made


def _choose(making: Making) -> tuple[Probe, Plan]:
    facts = Probe.from_dict(making.video.facts)
    if "anyway" in making.job.payload:
        return facts, encode_anyway(facts, making.profile, str(making.job.payload["anyway"]))
    return facts, plan(facts, making.profile)


def _carry_out(making: Making, facts: Probe, chosen: Plan, context: Context) -> tuple[Made, str]:
    """What came of the plan, and what is wrong with it: "" or the end of "The file …"."""
    assert making.profile.targets is not None
    file = run.make(
        making.original, facts, chosen, making.profile.targets, context, share=_MAKING_SHARE
    )
    result, fault = verify(file, facts, chosen, making.profile, context)
    if fault:
        log.warning("%s of %s gave a file that %s", chosen.method, making.video.public_id, fault)
    about = {"probe": result.to_dict(), "reasons": list(chosen.reasons)}
    digest = making.video.sha256 if chosen.method is Method.LEAVE else None
    return Made(file, chosen.method, about, digest), fault


def verify(
    made: Path, facts: Probe, chosen: Plan, profile: Profile, context: Context
) -> tuple[Probe, str]:
    """The facts of what was made, and what is wrong with it: "" or the end of "The file …"."""
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
