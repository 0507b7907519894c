"""Read a file while it is still being uploaded, behind the writer.

A reader follows ``Upload.settled_offset``: those bytes are never taken back, whatever becomes of
the request that brought them. It has a handle and an offset of its own, so that cuts, resumes and
a restart of the web process pass unnoticed, and so does the rename by which the file becomes the
original. Row and file are looked at anew a few times a second while nothing comes; the writer may
be in another process and knows nothing of its readers.
"""

from __future__ import annotations

import errno
import os
import selectors
import time
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any

from appliance.db import database
from appliance.errors import ApplianceError
from appliance.models import Upload, Video
from appliance.states import UploadState, VideoState
from storage.uploads.rows import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from storage.layout import Layout

PAUSE_S = 0.2
BLOCK_BYTES = 1 << 20
_HERE = (UploadState.FINISHING, UploadState.COMPLETE)


class UploadAborted(ApplianceError):
    """The file will never be whole, or isn't the one any more whose beginning was read.

    ``reason``: a sentence. What was made of the bytes so far must not be used.
    """

    code = "upload_aborted"

    @property
    def reason(self) -> str:
        return self.message


class UploadStalled(UploadAborted):
    """Nothing came for longer than the reader wanted to wait; the upload itself may go on."""

    code = "upload_stalled"


class GrowingFile:
    """The bytes of one upload from the first to the last, as they come. For one thread.

    ``check`` is called several times a second while waiting, and ends that by raising (a job's
    ``context.check``). ``patience_s``: how long nothing may come; None: as long as the upload
    lives, which without bytes ends by its own expiry.
    """

    def __init__(
        self,
        layout: Layout,
        upload_id: str,
        *,
        check: Callable[[], None] | None = None,
        patience_s: float | None = None,
    ) -> None:
        """Raises UploadAborted when there is nothing to be read (any more)."""
        self.upload_id = upload_id
        self.offset = 0
        self.settled = 0
        self.length: int | None = None
        self.complete = False
        self._layout = layout
        self._check = check or (lambda: None)
        self._patience_s = patience_s
        self._heard_s = time.monotonic()
        self._rewound: int | None = None
        self._handle = self._open()

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block

    def read(self, most: int = BLOCK_BYTES) -> bytes:
        """The next bytes, at most ``most``; waits for them. b"": that was the whole file.

        Raises UploadAborted, UploadStalled, and what ``check`` raises.
        """
        while True:
            self.check()
            if self.offset < self.settled:
                return self._take(most)
            if self.complete:
                return b""
            self._look()
            if self.offset < self.settled or self.complete:
                continue
            waited_s = time.monotonic() - self._heard_s
            if self._patience_s is not None and waited_s > self._patience_s:
                raise UploadStalled(f"No bytes of the upload came for {waited_s:.0f} seconds.")
            time.sleep(PAUSE_S)

    def check(self) -> None:
        """Raises what the ``check`` of the constructor raises."""
        self._check()

    def _take(self, most: int) -> bytes:
        block = os.pread(self._handle, min(most, self.settled - self.offset), self.offset)
        # Whoever takes settled bytes back says so in the row before touching the file: so what
        # was read is right if the row says nothing even now.
        if not self.complete:
            self._look()
        if not block:
            raise UploadAborted(ENDED[UploadState.LOST])
        self.offset += len(block)
        self._heard_s = time.monotonic()
        return block

    def _look(self) -> None:
        """How much may be read by now. Raises UploadAborted."""
        row = self._row()
        if self._rewound is None:
            self._rewound = row.rewound
        if row.rewound != self._rewound:
            raise UploadAborted("The sender has begun again from the first byte.")
        if row.state not in (UploadState.RECEIVING, *_HERE):
            raise UploadAborted(row.error or ENDED[row.state])
        video = row.video
        receiving = row.state is UploadState.RECEIVING
        if receiving and video is not None and video.state is not VideoState.UPLOADING:
            raise UploadAborted("The video was deleted while it was uploaded.")
        self.length = row.length
        self.settled = row.settled_offset if receiving else row.length or 0
        self.complete = row.state is UploadState.COMPLETE
        if self.complete and os.fstat(self._handle).st_size != row.length:
            raise UploadAborted(ENDED[UploadState.LOST])

    def _row(self) -> Upload:
        with _connected():
            row: Upload | None = (
                Upload.select(Upload, Video)
                .left_outer_join(Video)
                .where(Upload.public_id == self.upload_id)
                .first()
            )
        if row is None:
            raise UploadAborted(ENDED[UploadState.TERMINATED])
        return row

    def _open(self) -> int:
        """The file, wherever it is: it moves once, from the uploads to its video."""
        for _ in range(2):
            row = self._row()
            places = [self._layout.upload(self.upload_id)]
            if row.video is not None:
                places.append(self._layout.original(row.video.public_id))
            for place in places:
                try:
                    handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                except FileNotFoundError:
                    continue
                # Below the video there may be the file of another, earlier upload.
                if place is places[0] or row.state in _HERE:
                    return self._opened(handle)
                os.close(handle)
        raise UploadAborted(row.error or ENDED[UploadState.LOST])

    def _opened(self, handle: int) -> int:
        self._handle = handle
        try:
            self._look()
        except BaseException:
            self.close()
            raise
        return handle


def feed(reader: GrowingFile, pipe: IO[bytes]) -> int:
    """Pump the whole upload into the standard input of a program; how many bytes it took.

    Closes ``pipe`` at the end of the upload, and only then: a program whose input merely ends
    would take what it has for the whole. So whoever gets UploadAborted (or what ``check`` raises)
    from here kills the program first. A program that closes its input early had enough or has
    failed; its exit code says which, and this returns.
    """
    fed = 0
    handle = pipe.fileno()
    os.set_blocking(handle, False)  # a program that doesn't read must not keep us from `check`
    try:
        for block in reader:
            fed += _push(reader, handle, block)
    except BrokenPipeError:
        pass
    _close(pipe)
    return fed


def _push(reader: GrowingFile, handle: int, block: bytes) -> int:
    view = memoryview(block)
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_WRITE)
        while view:
            reader.check()
            if selector.select(PAUSE_S):
                try:
                    view = view[os.write(handle, view) :]
                except BlockingIOError:
                    continue
    return len(block)


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            raise


def _connected() -> Any:
    return database.connection_context() if database.is_closed() else nullcontext()
