"""Send one file, or a stream, through cuts and restarts, going on where an earlier try stopped."""

from __future__ import annotations

import hashlib
import os
import random
import select
import threading
import time
from typing import IO, TYPE_CHECKING, Protocol

from appliance.cli.remote import Answered, Unreachable
from appliance.cli.transfer import Gone, Passing, Said, Transfer
from appliance.errors import ApplianceError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.cli.remote import Box

# Below what services between us and the box allow in one request (100 MB at some).
PART_BYTES = 64 * 1024**2
PIECE_BYTES = 256 * 1024
# A stream can't be read twice: so much is kept until the box has it.
STREAM_PART_BYTES = 8 * 1024**2
STREAM_PART_S = 2.0
PATIENCE_S = 300.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0


class Stopped(Exception):
    """Somebody wants this command to end."""


class Changed(ApplianceError):
    code = "file_changed"


class Keeper(Protocol):
    """Remembers where an upload goes on, after this command, too."""

    @property
    def address(self) -> str | None: ...
    def keep(self, address: str) -> None: ...
    def forget(self) -> None: ...


class NoKeeper:
    address: str | None = None

    def keep(self, address: str) -> None:
        pass

    def forget(self) -> None:
        pass


class Patience:
    """Longer and longer pauses, from the start again whenever bytes have arrived."""

    def __init__(self, patience_s: float, stop: threading.Event) -> None:
        self._patience_s, self._stop = patience_s, stop
        self._best = -1
        self._since_s = time.monotonic()
        self._pause_s = _FIRST_PAUSE_S

    def heard(self, offset: int) -> None:
        if offset > self._best:
            self._best = offset
            self._since_s = time.monotonic()
            self._pause_s = _FIRST_PAUSE_S

    def pause(self, why: Passing, what: str) -> None:
        """Raises Unreachable when nothing went on for too long, Stopped."""
        waited_s = time.monotonic() - self._since_s
        if waited_s > self._patience_s:
            raise Unreachable(
                f"{what} got no further for {waited_s:.0f} s. {why} "
                "The same command goes on where it stopped."
            ) from why
        # Not all at the same moment: a box that comes back has others waiting, too.
        pause_s = max(self._pause_s * random.uniform(0.75, 1.25), why.after_s or 0.0)
        if self._stop.wait(min(pause_s, _LONGEST_PAUSE_S)):
            raise Stopped
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)


class SentDigest:
    """SHA-256 of a file, byte for byte as it was sent; what was sent before is read once more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash, self._at = file, hashlib.sha256(), 0

    def follow(self, offset: int, piece: bytes) -> None:
        self.read_to(offset)
        if offset + len(piece) > self._at:  # else it is sent once more
            self._hash.update(memoryview(piece)[self._at - offset :])
            self._at = offset + len(piece)

    def read_to(self, offset: int) -> None:
        while self._at < offset:
            piece = os.pread(self._file.fileno(), min(PIECE_BYTES, offset - self._at), self._at)
            if not piece:
                return
            self._hash.update(piece)
            self._at += len(piece)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class FileSending:
    def __init__(
        self,
        box: Box,
        path: Path,
        file: IO[bytes],
        *,
        said: Said,
        keeper: Keeper,
        on_offset: Callable[[int], None],
        patience_s: float,
        stop: threading.Event,
    ) -> None:
        self._box, self._path, self._file, self._said = box, path, file, said
        self._keeper, self._on_offset, self._stop = keeper, on_offset, stop
        self._facts = self._look()
        self._size = self._facts[0]
        self._transfer = Transfer(box, keeper.address)
        self._resumed = keeper.address is not None
        self._patience = Patience(patience_s, stop)
        self._digest = SentDigest(file)

    def run(self) -> str:
        """The id of the video. Raises Answered, Unreachable, Changed, Stopped, OSError."""
        offset: int | None = None
        while True:
            try:
                offset = self._step(offset)
                if offset == self._size:
                    self._digest.read_to(self._size)
                    self._transfer.complete(self._digest.hexdigest())
                    self._keeper.forget()
                    return self._transfer.video_id
            except Gone as exc:
                self._keeper.forget()
                if not self._resumed:
                    raise self._explain(exc) from exc
                # It was begun by an earlier command, and the box knows it no more.
                self._transfer, self._resumed, offset = Transfer(self._box), False, None
            except Passing as exc:
                offset = None
                if exc.offset is not None:
                    self._heard(exc.offset)
                self._patience.pause(exc, self._path.name)
            except Changed:
                self._remove()
                raise

    def _step(self, offset: int | None) -> int:
        """Begin, ask, or send a part; where the upload is then."""
        self._check_unchanged()
        if self._transfer.address is None:
            self._transfer.begin(self._said, self._size)
            assert self._transfer.address is not None
            self._keeper.keep(self._transfer.address)
            offset = 0
        elif offset is None:
            offset = self._transfer.ask_offset()
        else:
            size = min(PART_BYTES, self._size - offset)
            offset = self._transfer.append(offset, self._pieces(offset, size), size)
            self._resumed = False
        self._heard(offset)
        return offset

    def _pieces(self, offset: int, size: int) -> Iterator[bytes]:
        end = offset + size
        while offset < end:
            if self._stop.is_set():
                raise Stopped
            piece = os.pread(self._file.fileno(), min(end - offset, PIECE_BYTES), offset)
            self._check_unchanged()  # before its last bytes make it a video
            if not piece:
                raise self._changed()
            yield piece
            self._digest.follow(offset, piece)
            offset += len(piece)
            self._on_offset(offset)

    def _heard(self, offset: int) -> None:
        self._patience.heard(offset)
        self._on_offset(offset)

    def _look(self) -> tuple[int, int]:
        facts = os.fstat(self._file.fileno())
        return facts.st_size, facts.st_mtime_ns

    def _check_unchanged(self) -> None:
        if self._look() != self._facts:
            raise self._changed()

    def _changed(self) -> Changed:
        return Changed(
            f"{self._path.name} changed while it was sent; what had arrived was removed. Send it "
            "again when nothing writes to it any more."
        )

    def _remove(self) -> None:
        self._keeper.forget()
        if self._transfer.address is not None:
            try:
                self._transfer.remove()
            except (Passing, Answered):
                return  # the box sweeps it by itself

    def _explain(self, exc: Gone) -> Answered:
        """The box ended it. A HEAD has no room for words; the video has."""
        sentence = str(exc)
        if self._transfer.video_id:
            try:
                video = self._box.get(f"/api/v1/videos/{self._transfer.video_id}")
                sentence = video["error"] or sentence
            except ApplianceError:
                sentence = "The upload was ended on the box. Ask before you send the file again."
        return Answered(sentence, code=exc.code, status=exc.status)


def send_file(
    box: Box,
    path: Path,
    *,
    title: str | None = None,
    said: Said | None = None,
    on_offset: Callable[[int], None] = lambda offset: None,
    keeper: Keeper | None = None,
    patience_s: float = PATIENCE_S,
    stop: threading.Event | None = None,
) -> str:
    """Bring a file in; the id of its video.

    Raises Answered, Unreachable, InvalidInput, Changed, Stopped, OSError.
    """
    if not path.is_file():
        raise InvalidInput(f"{path} is no file.")
    with path.open("rb", buffering=0) as file:
        return FileSending(
            box,
            path,
            file,
            said=said or Said(path.name, title=title),
            keeper=keeper or NoKeeper(),
            on_offset=on_offset,
            patience_s=patience_s,
            stop=stop or threading.Event(),
        ).run()


def send_stream(
    box: Box,
    stream: IO[bytes],
    said: Said,
    *,
    on_offset: Callable[[int], None] = lambda offset: None,
    patience_s: float = PATIENCE_S,
    stop: threading.Event | None = None,
) -> str:
    """Bring in what comes from a pipe, whose length only its end tells; the id of the video.

    What can't be brought to its end is removed: nothing could go on with it.
    Raises Answered, Unreachable, InvalidInput, Stopped, OSError.
    """
    stop = stop or threading.Event()
    return StreamSending(
        box, stream, said, on_offset=on_offset, patience=Patience(patience_s, stop), stop=stop
    ).run()


class StreamSending:
    """One stream on its way. What was read of it is kept until the box has it."""

    def __init__(
        self,
        box: Box,
        stream: IO[bytes],
        said: Said,
        *,
        on_offset: Callable[[int], None],
        patience: Patience,
        stop: threading.Event,
    ) -> None:
        self._stream, self._said = stream, said
        self._on_offset, self._patience, self._stop = on_offset, patience, stop
        self._transfer = Transfer(box)
        self._digest = hashlib.sha256()
        self._part = b""
        self._sent = 0  # before this part
        self._tried = False

    def run(self) -> str:
        self._part = _gather(self._stream)
        if not self._part:
            raise InvalidInput("Nothing came through the pipe. Look at the command before it.")
        try:
            self._until(self._begin)
            while self._part:
                self._send_part()
                self._digest.update(self._part)
                self._sent += len(self._part)
                self._part = _gather(self._stream)
            self._send_part()  # without bytes: it says how many there were
            self._until(self._complete)
            return self._transfer.video_id
        except BaseException:
            _remove_quietly(self._transfer)
            raise

    def _until(self, work: Callable[[], int]) -> None:
        """Try ``work`` until it comes through; it says where the upload is then."""
        while True:
            try:
                offset = work()
            except Passing as exc:
                self._patience.pause(exc, self._said.name)
            else:
                self._patience.heard(offset)
                self._on_offset(offset)
                return

    def _begin(self) -> int:
        self._transfer.begin(self._said, None)
        return 0

    def _send_part(self) -> None:
        if self._stop.is_set():
            raise Stopped
        self._tried = False
        self._until(self._send_rest)

    def _send_rest(self) -> int:
        """The part from where the box is, which is within it."""
        at = self._transfer.ask_offset() if self._tried else self._sent
        self._tried = True
        if not self._sent <= at <= self._sent + len(self._part):
            raise Answered(
                "The box lost bytes that it had, and they can't be read from the pipe again.",
                code="bytes_lost",
                status=410,
            )
        rest = self._part[at - self._sent :]
        if not rest and self._part:
            return at
        length = None if self._part else self._sent
        return self._transfer.append(at, rest, len(rest), length=length)

    def _complete(self) -> int:
        self._transfer.complete(self._digest.hexdigest())
        return self._sent


def _remove_quietly(transfer: Transfer) -> None:
    if transfer.address is not None:
        try:
            transfer.remove()
        except (Passing, Answered):
            return  # the box sweeps it by itself


def _gather(stream: IO[bytes]) -> bytes:
    """Up to a part's bytes, fewer when they come slowly; b"" at the end."""
    handle = stream.fileno()
    found = bytearray()
    until_s = time.monotonic() + STREAM_PART_S
    while len(found) < STREAM_PART_BYTES:
        if found and not select.select([handle], [], [], max(0.0, until_s - time.monotonic()))[0]:
            break
        piece = os.read(handle, min(PIECE_BYTES, STREAM_PART_BYTES - len(found)))
        if not piece:
            break
        found += piece
    return bytes(found)
