"""Run ffmpeg on an original, with progress, a watchdog and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import JobFailed
from appliance.models import Method
from storage.media import link_or_copy
from tasks import sandbox
from tasks.ffmpeg import find_ffmpeg, thread_count
from tasks.sandbox_types import MIB, Command, Ended, Limits
from tasks.transcode.command import INPUT, OUTPUT, TOO_BROKEN, ffmpeg_command
from tasks.transcode.encoders import SOFTWARE

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.context import Context
    from tasks.probe.facts import Probe
    from tasks.profiles import Targets
    from tasks.transcode.encoders import Encoder
    from tasks.transcode.plan import Plan

# Address space. 8K takes 2.5 GiB, and each thread some pictures of its own; a bomb hits the wall.
MEMORY_BYTES, MEMORY_PER_THREAD_BYTES = 4096 * MIB, 256 * MIB
# How much of two passes the first takes: it looks more coarsely.
_FIRST_PASS = 0.35
STAGES = {
    Method.LEAVE: "Linking",
    Method.REMUX: "Repacking",
    Method.AUDIO: "Encoding the sound",
    Method.TRANSCODE: "Encoding",
}


def make(
    original: Path,
    probe: Probe,
    plan: Plan,
    targets: Targets,
    context: Context,
    *,
    share: float,
    encoder: Encoder = SOFTWARE,
) -> Path:
    """Carry a plan out; the path of the result, in the job's folder.

    ``share``: the part of the whole job's progress that this is. Raises JobFailed with a sentence
    and ffmpeg's last words, and what ``context.check`` raises.
    """
    made = context.folder / OUTPUT
    made.unlink(missing_ok=True)
    if plan.method is Method.LEAVE:
        link_or_copy(original, made)
        return made
    name = context.folder / INPUT
    name.unlink(missing_ok=True)
    name.symlink_to(original)
    numbers = (None,) if plan.passes == 1 else (1, 2)
    parts = {None: (0.0, share), 1: (0.0, _FIRST_PASS * share), 2: (_FIRST_PASS * share, share)}
    for number in numbers:
        stage = STAGES[plan.method]
        if number is not None:
            stage = "Measuring for the size" if number == 1 else "Encoding to the size"
        follower = Follower(plan.seconds(probe), stage, parts[number], context)
        ended = sandbox.run(
            command_of(original, probe, plan, targets, context, encoder, number),
            context.settings,
            check=context.check,
            on_line=follower.on_line,
        )
        if ended.code != 0:
            raise failure(ended)
    return made


def command_of(
    original: Path,
    probe: Probe,
    plan: Plan,
    targets: Targets,
    context: Context,
    encoder: Encoder,
    pass_number: int | None,
) -> Command:
    ffmpeg = find_ffmpeg(context.settings)
    limit_bytes = most_bytes(probe, plan, targets)
    threads = threads_of(context)
    return Command(
        argv=tuple(
            ffmpeg_command(
                plan,
                targets,
                ffmpeg=str(ffmpeg),
                threads=threads,
                max_pixels=context.settings.max_pixels,
                # A second or so is lost or won by rounding; what goes on for ever is stopped.
                max_duration_s=probe.duration_s + 5,
                max_bytes=limit_bytes,
                encoder=encoder,
                pass_number=pass_number,
            )
        ),
        folder=context.folder,
        reads=(original, ffmpeg),
        devices=encoder.devices if plan.picture is not None else (),
        limits=Limits(
            memory_bytes=MEMORY_BYTES
            + thread_count() * MEMORY_PER_THREAD_BYTES
            + encoder.address_space_bytes,
            cpu_s=3600 + int(probe.duration_s * 60 * thread_count()),
            file_bytes=limit_bytes + 64 * MIB,  # ffmpeg's own limit comes first
        ),
    )


def threads_of(context: Context) -> int:
    """As many as the ledger has counted for the job, so that two don't take each other's cores."""
    cores = round(context.job.cores)
    return min(cores, thread_count()) if cores >= 1 else thread_count()


def most_bytes(probe: Probe, plan: Plan, targets: Targets) -> int:
    """More than the result may ever have."""
    if plan.picture is None:
        return int(probe.size_bytes * 1.1 + probe.duration_s * targets.audio_bps / 8) + 16 * MIB
    seconds = plan.seconds(probe) + 5
    return int(seconds * (targets.max_bps * 1.6 + 2 * targets.audio_bps) / 8) + 16 * MIB


def failure(ended: Ended) -> JobFailed:
    """Why ffmpeg ended badly, and whether another try makes sense."""
    words = ended.words.strip()
    if "No space left on device" in words:
        return JobFailed(
            "The disk is full. Free some space, then press Retry.",
            permanent=False,
            code="storage_full",
            detail=words,
        )
    if ended.code == TOO_BROKEN:
        return JobFailed(
            "Much of the file can't be decoded: it is damaged in the middle. Copy it again from "
            "the camera or the program that made it, then upload that.",
            permanent=True,
            code="result_refused",
            detail=words,
        )
    if ended.was_killed:
        return JobFailed(
            "The encoder crashed or hit a limit on this file. It is tried again; if that fails "
            "too, export the video as MP4 and upload that.",
            permanent=False,
            code="encoder_crashed",
            detail=words or f"signal {-ended.code}",
        )
    return JobFailed(
        "ffmpeg could not convert this file. The original can still be played and downloaded; "
        "export it as MP4 (H.264) and upload that, or look at the details.",
        permanent=True,
        code="encode_failed",
        detail=words,
    )


class Follower:
    """Turns ``-progress`` into reports; the watch sees whether it moves (tasks/watch.py)."""

    def __init__(
        self, duration_s: float, stage: str, part: tuple[float, float], context: Context
    ) -> None:
        """``part``: from where to where in the whole job's progress."""
        self.duration_s, self.stage, self.part = duration_s, stage, part
        self.context = context

    def on_line(self, line: str) -> None:
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.lstrip("-").isdecimal():
            self.context.saw(name, value)
            done = max(0.0, min(1.0, int(value) / 1e6 / self.duration_s))
            begin, end = self.part
            self.context.report(self.stage, begin + (end - begin) * done)
