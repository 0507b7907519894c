"""ffmpeg on a pipe, with the limits and the options of every encode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import sandbox
from tasks.ffmpeg import find_ffmpeg
from tasks.in_flight.command import from_pipe
from tasks.sandbox_types import MIB, Command, Feed, Limits
from tasks.transcode.command import OUTPUT, ffmpeg_command
from tasks.transcode.run import (
    MEMORY_BYTES,
    MEMORY_PER_THREAD_BYTES,
    failure,
    most_bytes,
    threads_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.context import Context
    from tasks.probe.facts import Probe
    from tasks.profiles import Targets
    from tasks.transcode.encoders import Encoder
    from tasks.transcode.plan import Plan

# The length of what has no header is guessed from its beginning.
_LONGER = 1.5


def make(
    probe: Probe,
    chosen: Plan,
    targets: Targets,
    context: Context,
    *,
    encoder: Encoder,
    feed: Feed,
    check: Callable[[], None],
    on_line: Callable[[str], None],
) -> Path:
    """What came of the bytes that ``feed`` brought; its path, in the job's folder.

    Raises JobFailed with ffmpeg's last words, and what ``feed`` and ``check`` raise.
    """
    made = context.folder / OUTPUT
    ffmpeg, threads = find_ffmpeg(context.settings), threads_of(context)
    limit_bytes = int(most_bytes(probe, chosen, targets) * _LONGER)
    command = Command(
        argv=tuple(
            from_pipe(
                ffmpeg_command(
                    chosen,
                    targets,
                    ffmpeg=str(ffmpeg),
                    threads=threads,
                    max_pixels=context.settings.max_pixels,
                    max_duration_s=probe.duration_s * _LONGER + 5,
                    max_bytes=limit_bytes,
                    encoder=encoder,
                )
            )
        ),
        folder=context.folder,
        reads=(ffmpeg,),
        devices=encoder.devices if chosen.picture is not None else (),
        limits=Limits(
            memory_bytes=MEMORY_BYTES
            + threads * MEMORY_PER_THREAD_BYTES
            + encoder.address_space_bytes,
            cpu_s=3600 + int(probe.duration_s * _LONGER * 60 * threads),
            file_bytes=limit_bytes + 64 * MIB,
        ),
    )
    ended = sandbox.run(command, context.settings, check=check, on_line=on_line, feed=feed)
    if ended.code != 0:
        raise failure(ended)
    return made
