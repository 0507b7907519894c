"""Take the sound out of a video: AAC in an m4a, for captions and for who wants to listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.models import Method
from tasks import pictures
from tasks.audio.command import OUTPUT, audio_command, is_copied
from tasks.ffmpeg import find_ffmpeg
from tasks.making import Made, Making, make
from tasks.probe.facts import Probe
from tasks.probe.look import look
from tasks.sandbox_types import MIB
from tasks.transcode.run import failure
from tasks.waveform.task import no_sound

if TYPE_CHECKING:
    from appliance.models import Job
    from tasks.context import Context, Outcome
    from tasks.probe.facts import AudioTrack


def take_sound(job: Job, context: Context) -> Outcome:
    return make(job, context, _make)


def _make(making: Making, context: Context) -> Made:
    facts = Probe.from_dict(making.video.facts)
    if facts.audio is None:
        raise no_sound()
    copied = is_copied(facts.audio)
    made = _carry_out(making, facts, facts.audio, context, copied=copied)
    if made is None and copied:
        # AAC that mp4 doesn't take as it is (from a stream whose head is missing, say).
        copied = False
        made = _carry_out(making, facts, facts.audio, context, copied=False)
    if made is None:
        raise no_sound()
    return made


def _carry_out(
    making: Making, facts: Probe, audio: AudioTrack, context: Context, *, copied: bool
) -> Made | None:
    """What came of it; None: a file without sound. Raises JobFailed, unless it was a copy."""
    file = context.folder / OUTPUT
    file.unlink(missing_ok=True)
    most_bytes = int(facts.size_bytes * 1.1 + facts.duration_s * 20_000) + MIB
    words = audio_command(
        audio,
        copied=copied,
        ffmpeg=str(find_ffmpeg(context.settings)),
        max_pixels=context.settings.max_pixels,
        max_duration_s=facts.duration_s + 5,
        max_bytes=most_bytes,
    )
    stage = "Copying the sound" if copied else "Encoding the sound"
    ended = pictures.run(
        words,
        making.original,
        context,
        cpu_s=600 + int(facts.duration_s * 2),
        file_bytes=most_bytes + 64 * MIB,
        on_line=pictures.follower(context, stage, facts.duration_s),
    )
    if ended.code != 0 and copied:
        return None
    if ended.code != 0:
        raise failure(ended)
    result = look(file, context)
    if result.audio is None:
        return None
    return Made(
        file,
        Method.REMUX if copied else Method.AUDIO,
        {
            "codec": result.audio.codec,
            "rate_hz": result.audio.rate_hz,
            "channels": result.audio.channels,
            "bit_rate": result.audio.bit_rate,
            "duration_s": round(result.duration_s, 3),
        },
    )
