"""The same encode, from standard input. Pure."""

from __future__ import annotations

from tasks.transcode.command import INPUT


def from_pipe(argv: list[str]) -> list[str]:
    """``argv`` of an encode of ``INPUT``, reading its standard input instead, and no file.

    Raises ValueError when it doesn't read ``INPUT`` in the way that the encodes do.
    """
    made = list(argv)
    at = made.index(f"file:{INPUT}")
    made[at] = "pipe:0"
    protocols = made.index("-protocol_whitelist", 0, at) + 1
    if made[protocols] != "file" or made[at - 1] != "-i":
        raise ValueError("not the command of an encode")
    made[protocols] = "pipe"
    return made
