"""The sandbox of an installed box: a systemd unit for each program, asked for over a socket.

The unit (systemd/appliance-sandbox@.service) runs as a user of its own in a file system without
our data. Files reach it as descriptors, never as paths: the folder of the job, the files that it
may read, the pipes. tasks/keeper.py is the other end, and says how they are used there.

That other user has to be allowed to: the folder and its files are opened to everybody while the
program runs, and files to be read for good. Nobody can get there: the folder `tmp` is ours alone.
Source: docs/decisions/0016-sandbox-unit-per-job.md; unix(7).
"""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import socket
import stat
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.sandbox_types import failed_to_start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.sandbox_types import Command

log = logging.getLogger(__name__)

# What the unit sees by itself.
_SEEN = tuple(Path(place) for place in ("/usr", sys.prefix, sys.base_prefix))
_PACKAGE = Path(__file__).resolve().parents[1]
_ANSWER_S = 10.0
# How long a program that was killed may take to be gone: a disk that hangs.
_PATIENCE_S = 5.0
_KILLED = -9


def start(command: Command, place: Path, stdin: int | None) -> UnitChild:
    """Have a unit run the program. Raises JobFailed when there is none to be had."""
    reads = [
        str(path)
        for path in command.reads
        if not _is_seen(path) and not path.is_relative_to(command.folder)
    ]
    order = {
        "argv": list(command.argv),
        "rlimits": command.limits.as_rlimits(),
        "filter": command.limits.filter,
        "folder": str(command.folder),
        "reads": reads,
        "stdin": stdin is not None,
    }
    opened: list[int] = []
    line = None
    try:
        line = _connect(place)
        out, err = os.pipe(), os.pipe()
        opened += [*out, *err]
        given = [os.open(command.folder, os.O_PATH | os.O_DIRECTORY)]
        opened += given
        for path in reads:
            given.append(os.open(path, os.O_RDONLY))
            opened.append(given[-1])
        given += [out[1], err[1], *([] if stdin is None else [stdin])]
        socket.send_fds(line, [json.dumps(order).encode()], given)
        child = UnitChild(line, out[0], err[0])
        opened = [handle for handle in opened if handle not in (out[0], err[0])]
    except OSError as exc:
        if line is not None:
            line.close()
        raise failed_to_start(f"{place}: {exc}") from exc
    finally:
        for handle in opened:
            os.close(handle)
    return child


def greet(place: Path) -> str:
    """Ask a unit whether it could work: "" or why not, for `appliance doctor`."""
    try:
        with _connect(place) as line:
            line.send(json.dumps({"argv": []}).encode())
            answer = json.loads(line.recv(4096) or b"{}")
    except (OSError, ValueError) as exc:
        return f"{place}: {exc}"
    return "" if answer == {"ready": True} else "The unit ended without an answer."


def _connect(place: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.settimeout(_ANSWER_S)
        line.connect(str(place))
    except OSError:
        line.close()
        raise
    return line


def _is_seen(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in (*_SEEN, _PACKAGE))


class UnitChild:
    """A program in a unit. It runs as long as the connection is open, and not longer."""

    def __init__(self, line: socket.socket, stdout: int, stderr: int) -> None:
        self._line, self.stdout, self.stderr = line, stdout, stderr
        self._line.setblocking(False)
        self._code: int | None = None
        self._started = False

    def poll(self) -> int | None:
        while self._code is None:
            try:
                said = self._line.recv(65536)
            except BlockingIOError:
                return None
            except OSError:
                said = b""
            self._hear(json.loads(said or b"{}"))
        return self._code

    def _hear(self, answer: dict[str, Any]) -> None:
        """Silence (an empty answer) is the end of the unit."""
        if "started" in answer:
            self._started = True
        elif "code" in answer:
            self._code = int(answer["code"])
        elif "refused" in answer or not self._started:
            raise failed_to_start(str(answer.get("refused", "The unit ended at once.")))
        else:
            self._code = _KILLED  # by its limit of memory, say

    def end(self) -> None:
        self._line.close()
        # The unit kills it now; its pipes tell when it is gone, and writes no more.
        give_up_s = time.monotonic() + _PATIENCE_S
        for pipe in (self.stdout, self.stderr):
            while (left_s := give_up_s - time.monotonic()) > 0:
                if select.select([pipe], [], [], left_s)[0] and not os.read(pipe, 65536):
                    break
            else:
                log.warning("a program in a unit was killed and still isn't gone")
            os.close(pipe)


@contextmanager
def lent(command: Command) -> Iterator[None]:
    """While the body runs, the unit's user may work in the folder; after it, all is ours again.

    Results are made beforehand, empty: so they are ours. What else the program made is copied.
    """
    folder = command.folder
    for path in command.reads:
        if not _is_seen(path) and path.is_file():
            _allow(path, stat.S_IROTH)
    for name in _results(command):
        os.close(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    for path in _files(folder):
        # A second name of an original stays as it is.
        alone = path.stat().st_nlink == 1
        _allow(path, stat.S_IROTH | (stat.S_IWOTH if alone else 0))
    # With the bit by which files get the group of the folder (systemd/appliance-tmpfiles.conf).
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(mode | 0o777)
    try:
        yield
    finally:
        folder.chmod(mode)
        for path in _files(folder):
            _take_over(path)
        for name in _results(command, made=True):
            if (folder / name).stat().st_size == 0:
                (folder / name).unlink()


def _results(command: Command, *, made: bool = False) -> list[str]:
    """The names that the program will write to, as its words say; or those that are there."""
    names = {word[5:] for word in command.argv if word.startswith("file:")}
    return [
        name
        for name in sorted(names)
        if name
        and "/" not in name
        and _is_file(command.folder / name) is made
        # What it reads is there already, perhaps as a link.
        and (made or not os.path.lexists(command.folder / name))
    ]


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _is_file(path)]


def _allow(path: Path, bits: int) -> None:
    about = path.stat()
    if about.st_uid == os.geteuid() and about.st_mode & bits != bits:
        path.chmod(stat.S_IMODE(about.st_mode) | bits)


def _take_over(path: Path) -> None:
    about = path.lstat()
    if about.st_uid == os.geteuid():
        if about.st_nlink == 1:
            path.chmod(0o600)
        return
    own = path.with_name(f".own-{path.name}")
    try:
        with path.open("rb") as reader, own.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        own.chmod(0o600)
        own.replace(path)
    except PermissionError:
        own.unlink(missing_ok=True)
        path.unlink()  # made unreadable: nothing of ours
