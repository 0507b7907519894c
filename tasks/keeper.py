"""Keeps one program that opens a file of a user: what each unit of the sandbox runs.

``python -I -m tasks.keeper [WORDS…]`` with a connection as its standard input, from
tasks/sandbox_unit.py: one message with the order and file descriptors comes in, one with the code
of the program goes out. The connection closed means: end it. Each of WORDS is the beginning of a
command that is allowed besides ffmpeg and our own scripts, split like a shell's.

The unit sees neither `data` nor the job's folder. The program works in the folder by its
descriptor; and the paths of its files are made here, as links to the descriptors that were sent,
in a file system of this unit alone. Only the standard library.
"""

from __future__ import annotations

import array
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LAUNCHER = HERE / "launch.py"
FFMPEG = ("/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_MOST_BYTES = 1 << 18
_MOST_FILES = 64


class Refused(Exception):
    """The message is for the admin."""


def main() -> int:
    with socket.socket(fileno=os.dup(0)) as line:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # or the connection would never seem closed
        order, given = receive(line)
        if not order.get("argv"):
            line.send(json.dumps({"ready": True}).encode())
            return 0
        try:
            process = start(order, given)
        except (Refused, OSError) as exc:
            line.send(json.dumps({"refused": str(exc)}).encode())
            return 1
        line.send(json.dumps({"started": True}).encode())
        code = follow(process, line)
        if code is not None:
            line.send(json.dumps({"code": code}).encode())
    return 0


def receive(line: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The order and its descriptors: folder, files to read, output, words, and perhaps input."""
    size = array.array("i").itemsize
    data, ancillary, _, _ = line.recvmsg(
        _MOST_BYTES, socket.CMSG_LEN(_MOST_FILES * size), socket.MSG_CMSG_CLOEXEC
    )
    given = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            given.frombytes(content[: len(content) - len(content) % size])
    return json.loads(data or b"{}"), list(given)


def start(order: dict[str, Any], given: list[int]) -> subprocess.Popen[bytes]:
    """Raises Refused and OSError."""
    argv = [str(word) for word in order["argv"]]
    if not is_known(argv, [shlex.split(words) for words in sys.argv[1:]]):
        raise Refused(f"{argv[0]} is none of the programs that this unit runs.")
    count = len(order["reads"])
    if len(given) != 3 + count + bool(order["stdin"]):
        raise Refused("The order came without its files.")
    folder, reads = given[0], given[1 : 1 + count]
    stdout, stderr, *stdin = given[1 + count :]
    os.fchdir(folder)
    # Before what is in it: that may be named by its path, too.
    show(order["folder"], "/proc/self/cwd")
    for path, handle in zip(order["reads"], reads, strict=True):
        show(path, f"/proc/self/fd/{handle}")
    orders = {"rlimits": order["rlimits"], "filter": order["filter"] or "threads", "umask": 0}
    process = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())),
            *(json.dumps(orders), *argv),
        ],
        env=ENVIRONMENT,
        stdin=stdin[0] if stdin else subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=reads,
        process_group=0,
    )
    for handle in given:
        os.close(handle)  # the pipes end when the program does
    return process


def is_known(argv: list[str], besides: list[list[str]]) -> bool:
    if any(argv[: len(words)] == words for words in besides):
        return True
    program = Path(argv[0])
    if ".." in program.parts:
        return False
    if argv[0] in FFMPEG:
        return True
    if program.is_relative_to(sys.prefix) and program.name.startswith("ffmpeg-"):
        return True  # imageio's
    # Releases lie side by side: the worker may know this Python by another name.
    ours = os.path.realpath(program.parent) == os.path.realpath(Path(sys.executable).parent)
    script = Path(argv[2]) if len(argv) > 2 else Path()
    return ours and argv[1] == "-I" and script.suffix == ".py" and HERE in script.resolve().parents


def show(path: str, target: str) -> None:
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    except OSError as exc:
        raise Refused(
            f"{path} can't be shown here ({exc.strerror}): the unit needs a "
            "TemporaryFileSystem= at the folder `data`, with mode=0777."
        ) from exc


def follow(process: subprocess.Popen[bytes], line: socket.socket) -> int | None:
    """The code of the program; None when it was ended because nobody wants it any more."""
    handle = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([handle, line.fileno()], [], [])
    finally:
        os.close(handle)
    if handle in ready:
        return process.wait()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return None


if __name__ == "__main__":
    sys.exit(main())
