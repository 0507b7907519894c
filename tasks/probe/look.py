"""Look into a file, in the sandbox. Used on originals, and again on what ffmpeg made of them."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import sandbox
from tasks.probe.decoders import DECODERS
from tasks.probe.facts import FORMATS, Probe, parse
from tasks.sandbox_types import MIB, Command, Limits, TookTooLong

if TYPE_CHECKING:
    from tasks.context import Context

CHILD = Path(__file__).with_name("child.py")
# Address space: Python and PyAV map 300 MiB before they read a byte.
MEMORY_BYTES = 1024 * MIB
# Of the processor's time. Beside encodes a look has to wait for its turn.
PATIENCE_S, PATIENCE_IN_A_CROWD = 10.0, 4
# Its own alarm ends the child when it looks too long for what is only good to know; what it said
# before holds. Behind bubblewrap a signal is a code.
ENDS = (0, -signal.SIGALRM, 128 + signal.SIGALRM)
# A recording without a duration is read to its end; a slow disk gives that much in a second.
READ_BYTES_PER_S = 20 * MIB


def look(file: Path, context: Context, *, size_bytes: int | None = None) -> Probe:
    """The facts of ``file``; a file that breaks the child is a Probe with ``error`` and no picture.

    ``size_bytes``: of the whole, when ``file`` is only its beginning.
    Raises what ``context.check`` raises, and JobFailed when the sandbox itself doesn't work.
    """
    here_bytes = file.stat().st_size
    size_bytes = here_bytes if size_bytes is None else size_bytes
    cpu_s = PATIENCE_S + here_bytes / READ_BYTES_PER_S
    timeout_s = cpu_s * PATIENCE_IN_A_CROWD
    command = Command(
        argv=(
            *(sys.executable, "-I", str(CHILD), str(file)),
            *(FORMATS, DECODERS, str(context.settings.max_pixels)),
        ),
        folder=context.folder,
        reads=(file, CHILD, *sandbox.python_reads()),
        limits=Limits(memory_bytes=MEMORY_BYTES, cpu_s=int(cpu_s), file_bytes=0),
    )

    def check() -> None:
        context.moved()  # its patience is that of the line above, by the size of the file
        context.check()

    try:
        ended = sandbox.run(command, context.settings, check=check, timeout_s=timeout_s)
    except TookTooLong:
        return Probe(size_bytes=size_bytes, error=f"not read within {timeout_s:.0f} s")
    lines = ended.output.splitlines()
    if lines and ended.code in ENDS:
        try:
            return parse(json.loads(lines[-1]), size_bytes)
        except (ValueError, KeyError, TypeError) as exc:
            return Probe(size_bytes=size_bytes, error=f"unreadable report ({exc!r})")
    return Probe(size_bytes=size_bytes, error=f"ended with {ended.code}: {ended.words[-500:]}")
