"""Make a film of a film: `remux` in the quick queue encodes nothing, the others are for media."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Method
from tasks import pipeline
from tasks.making import Made, Making, make
from tasks.probe.facts import Probe
from tasks.probe.look import look
from tasks.transcode import run
from tasks.transcode.encoders import SOFTWARE, choose
from tasks.transcode.plan import Impossible, Plan, encode_anyway, plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.models import Job
    from tasks.context import Context, Outcome, Write
    from tasks.profiles import Profile
    from tasks.transcode.encoders import Encoder

log = logging.getLogger(__name__)

CHEAP = (Method.LEAVE, Method.REMUX)
# How far the length of a result may be off: the last picture, the last piece of sound, and what
# containers without an index only estimate.
_SLACK_S = 0.5
_SLACK = {True: 0.02, False: 0.1}
# However long the film is.
_MOST_SLACK_S = {True: 2.0, False: 20.0}
_MAKING_SHARE = 0.95
# Ends of ffmpeg after which another way may still lead to the file.
_NEXT_PATH = ("encode_failed", "encoder_crashed")


def repack(job: Job, context: Context) -> Outcome:
    return make(job, context, _repack)


def encode(job: Job, context: Context) -> Outcome:
    return make(job, context, _encode)


def _repack(making: Making, context: Context) -> Made | Write:
    facts, chosen = _choose(making)
    if chosen.method not in CHEAP:
        return lambda: pipeline.hand_to_encoder(making.job, making.rendition)
    made, fault = _carry_out(making, facts, chosen, context)
    if fault or made is None:
        return lambda: pipeline.hand_to_encoder(making.job, making.rendition, fault)
    return made


def _encode(making: Making, context: Context) -> Made:
    facts, chosen = _choose(making)
    made, fault = _carry_out(making, facts, chosen, context)
    if fault and chosen.method is not Method.TRANSCODE:
        again = _possible(lambda: encode_anyway(facts, making.profile, fault))
        made, fault = _carry_out(making, facts, again, context)
    if fault or made is None:
        raise JobFailed(
            f"The converted file {fault}. The original can still be played and downloaded; "
            "export it as MP4 (H.264) and upload that.",
            permanent=True,
            code="result_refused",
        )
    return made


def _choose(making: Making) -> tuple[Probe, Plan]:
    facts, profile = Probe.from_dict(making.video.facts), making.profile
    if "anyway" in making.job.payload:
        fault = str(making.job.payload["anyway"])
        return facts, _possible(lambda: encode_anyway(facts, profile, fault))
    return facts, _possible(lambda: plan(facts, profile))


def _possible(decide: Callable[[], Plan]) -> Plan:
    try:
        return decide()
    except Impossible as exc:
        raise JobFailed(exc.message, permanent=True, code=exc.code) from exc


def _carry_out(
    making: Making, facts: Probe, chosen: Plan, context: Context
) -> tuple[Made | None, str]:
    """What came of the plan, and what is wrong with it: "" or the end of "The file …"."""
    encoder, refused = _choose_encoder(chosen, context), ""
    try:
        file = _run(making, facts, chosen, context, encoder)
    except JobFailed as exc:
        if chosen.method is Method.TRANSCODE or exc.code not in _NEXT_PATH:
            raise
        log.warning("%s of %s: %s", chosen.method, making.video.public_id, exc.detail)
        return None, "could not be made by copying the tracks"
    except _OtherEncoder:
        encoder, refused = SOFTWARE, encoder.label
        file = _run(making, facts, chosen, context, encoder)
    result, fault = verify(file, facts, chosen, making.profile, context)
    if fault:
        log.warning("%s of %s gave a file that %s", chosen.method, making.video.public_id, fault)
    about: dict[str, Any] = {"probe": result.to_dict(), "reasons": list(chosen.reasons)}
    if chosen.picture is not None:
        about |= {"encoder": encoder.label, "passes": chosen.passes}
    if refused:
        about["fell_back_from"] = refused
    digest = making.video.sha256 if chosen.method is Method.LEAVE else None
    return Made(file, chosen.method, about, digest), fault


class _OtherEncoder(Exception):
    """The hardware didn't do it; the processor can."""


def _choose_encoder(chosen: Plan, context: Context) -> Encoder:
    """Two passes are x264's; copies need none."""
    if chosen.picture is None or chosen.rate_bps is not None:
        return SOFTWARE
    with database.connection_context():
        return choose(context.settings)


def _run(making: Making, facts: Probe, chosen: Plan, context: Context, encoder: Encoder) -> Path:
    targets = making.profile.targets
    assert targets is not None
    context.begin_anew()  # after a copy that was refused, or hardware that failed
    try:
        return run.make(
            *(making.original, facts, chosen, targets, context),
            share=_MAKING_SHARE,
            encoder=encoder,
        )
    except JobFailed as exc:
        if encoder is SOFTWARE or exc.code not in _NEXT_PATH:
            raise
        log.warning("%s failed, x264 takes over: %s", encoder.label, exc.detail)
        raise _OtherEncoder from exc


def length_fault(result: Probe, facts: Probe, seconds: float) -> str:
    """What is missing of ``seconds`` of the source; "" or the end of "The file …". Pure.

    The container's length is that of its longest track: where pictures end that can't be decoded,
    the sound goes on. So each track is held to that of the source, as far as its header tells.
    """
    exact = facts.format.startswith(("mov,", "matroska,"))
    slack_s = _SLACK_S + min(_SLACK[exact] * seconds, _MOST_SLACK_S[exact])
    if abs(result.duration_s - seconds) > slack_s:
        return f"lasts {result.duration_s:.1f} s instead of {seconds:.1f} s"
    tracks = (("picture", result.video, facts.video), ("sound", result.audio, facts.audio))
    for name, made, source in tracks:
        if made is None or source is None:
            continue
        if made.duration_s is None or source.duration_s is None:
            continue
        wanted_s = min(source.duration_s, seconds)
        if made.duration_s < wanted_s - slack_s:
            return f"has {made.duration_s:.1f} s of {name} instead of {wanted_s:.1f} s"
    return ""


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
    if fault := length_fault(result, facts, chosen.seconds(facts)):
        return result, f"{fault}: the original is damaged in the middle"
    try:
        left = plan(result, profile)
    except Impossible as exc:
        return result, f"is too long. {exc.message}"
    if left.method is not Method.LEAVE:
        return result, "isn't taken everywhere: " + ", ".join(left.reasons)
    return result, ""
