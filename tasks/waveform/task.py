"""Measure the sound: the shape of it for the player, and how loud it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from appliance.errors import JobFailed
from tasks import pictures
from tasks.ffmpeg import find_ffmpeg
from tasks.making import Made, Making, make
from tasks.probe.facts import Probe
from tasks.waveform.sound import (
    OUTPUT,
    PEAKS,
    VERSION,
    read_sound,
    samples_for_peak,
    waveform_command,
)

if TYPE_CHECKING:
    from appliance.models import Job
    from tasks.context import Context, Outcome


def make_waveform(job: Job, context: Context) -> Outcome:
    return make(job, context, _make)


def _make(making: Making, context: Context) -> Made:
    facts = Probe.from_dict(making.video.facts)
    if facts.audio is None:
        raise no_sound()
    samples = samples_for_peak(facts.audio.rate_hz, facts.duration_s)
    words = waveform_command(
        facts.audio,
        samples,
        ffmpeg=str(find_ffmpeg(context.settings)),
        max_pixels=context.settings.max_pixels,
        max_duration_s=facts.duration_s + 5,
    )
    ended = pictures.run(
        words,
        making.original,
        context,
        cpu_s=600 + int(facts.duration_s),
        on_line=pictures.follower(context, "Measuring the sound", facts.duration_s),
    )
    levels = context.folder / PEAKS
    sound = read_sound(
        levels.read_text() if levels.exists() else "",
        ended.words,
        samples=samples,
        rate_hz=facts.audio.rate_hz,
    )
    if not sound.peaks:
        raise JobFailed(
            "The sound of this video could not be read, so there is no waveform of it.",
            permanent=True,
            code="no_waveform",
            detail=ended.words,
        )
    file = context.folder / OUTPUT
    content = {
        "version": VERSION,
        "duration_s": round(facts.duration_s, 3),
        **sound.facts,
        "peaks": list(sound.peaks),
    }
    file.write_text(json.dumps(content, separators=(",", ":")))
    return Made(file, facts=dict(sound.facts))


def no_sound() -> JobFailed:
    return JobFailed("This video has no sound.", permanent=True, code="no_sound")
