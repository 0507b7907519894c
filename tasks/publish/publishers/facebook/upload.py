"""Bring the bytes of a file to Facebook; nothing becomes public by it.

Two ways: a Reel goes as one stream to the upload host, a Page video in pieces to the Graph API,
each as long as Facebook says. Both are taken up where they broke off, at the offset that Facebook
itself names. An upload that gets ahead between two cuts is never given up.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from tasks.publish.graph import Graph, Reply, error_of, row_of, step_of
from tasks.publish.graph_errors import Fate, Row, as_int
from tasks.publish.publisher import Failed, MustEdit, NotThere, RetryAt, Step
from tasks.publish.publishers.facebook.status import FIELDS, Seen, read
from tasks.publish.remote import Answer, Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Cuts in a row without a single byte more.
MAX_CUTS = 3

_PUBLISHING = "developers.facebook.com/documentation/video-api/guides/reels-publishing"

# The upload host's own words (``debug_info.type``), as rows.
UPLOAD_ERRORS: dict[str, Row] = {
    "OffsetInvalidError": Row(
        None, Fate.AGAIN, "Facebook expected another part of the file.", source=_PUBLISHING
    ),
    "PartialRequestError": Row(
        None, Fate.AGAIN, "Facebook got less of the file than announced.", source=_PUBLISHING
    ),
    "ProcessingFailedError": Row(
        None,
        Fate.ANEW,
        "Facebook could not use what was uploaded; the file is sent once more.",
        source=_PUBLISHING,
    ),
}


def send_reel(graph: Graph, video_id: str, file: Path, offset: int) -> Step | None:
    """All bytes from ``offset`` on; None when they have arrived. Raises OSError."""
    size = file.stat().st_size
    cuts = 0
    while True:
        reply = graph.send_file(graph.upload_path("video-upload", video_id), file, offset=offset)
        if isinstance(reply, Answer) and reply.data.get("success") is not False:
            return None
        if not _worth_a_look(reply):
            return _upload_step(reply)
        looked = graph.get(f"/{video_id}", fields=FIELDS)
        if not isinstance(looked, Answer):
            return looked_in_vain(looked)
        look = read(looked.data)
        if look.seen is Seen.BROKEN:
            return NotThere()
        if look.seen is not Seen.UPLOADING or look.offset >= size:
            return None
        cuts = 0 if look.offset > offset else cuts + 1
        offset = look.offset
        if cuts >= MAX_CUTS:
            return _upload_step(reply)


def send_pieces(
    graph: Graph,
    page: str,
    file: Path,
    at: dict[str, Any],
    save: Callable[[dict[str, Any]], None],
) -> Step | None:
    """The pieces of a Page video; None when all have arrived.

    ``at``: ``session``, ``start``, ``end`` as Facebook named them last; each new pair is saved.
    Raises OSError.
    """
    cuts = 0
    while at["start"] < at["end"]:
        piece = Slice(file, at["start"], at["end"] - at["start"])
        with piece:
            reply = graph.post(
                f"/{page}/videos",
                files={"video_file_chunk": (file.name, piece, "application/octet-stream")},
                upload_phase="transfer",
                upload_session_id=at["session"],
                start_offset=str(at["start"]),
            )
        pair = _pair(reply)
        if pair is not None and pair[0] > at["start"]:
            cuts = 0
            at = {**at, "start": pair[0], "end": pair[1]}
            save(at)
            continue
        if pair is None and not isinstance(reply, Lost):
            return step_of(reply, creating=False) if not isinstance(reply, Answer) else _odd(reply)
        # The same piece once more; Facebook says if it has it already.
        cuts += 1
        if pair is not None:
            at = {**at, "start": pair[0], "end": pair[1]}
        if cuts >= MAX_CUTS:
            return RetryAt(None, "The upload to Facebook broke off.", _detail(reply))
    return None


def looked_in_vain(reply: Reply) -> Step:
    """The step for a look that brought no answer. That the question is refused says nothing about
    the video, so it is asked again, unless Facebook speaks of the video itself."""
    step = step_of(reply, creating=False)
    if isinstance(step, Failed | MustEdit) and step.code != "media_rejected":
        return RetryAt(None, step.reason, step.detail)
    return step


def _pair(reply: Reply) -> tuple[int, int] | None:
    """The next piece that Facebook wants: from its answer, or from the refusal of a wrong one."""
    if isinstance(reply, Answer):
        return offsets(reply.data)
    row = row_of(reply)
    if isinstance(reply, Refused) and row is not None and row.word == "wrong_offset":
        data = error_of(reply).get("error_data")
        return offsets(data) if isinstance(data, dict) else None
    return None


def offsets(data: dict[str, Any]) -> tuple[int, int] | None:
    """``start_offset`` and ``end_offset``, which are strings."""
    start, end = as_int(data.get("start_offset")), as_int(data.get("end_offset"))
    return None if start is None or end is None else (start, end)


def _worth_a_look(reply: Reply) -> bool:
    """May some of it have arrived?"""
    if isinstance(reply, Lost | Answer):
        return True
    kind = _upload_error(reply)
    return kind in ("OffsetInvalidError", "PartialRequestError")


def _upload_error(reply: Reply) -> str:
    info = reply.data.get("debug_info") if isinstance(reply, Refused) else None
    return str(info.get("type", "")) if isinstance(info, dict) else ""


def _upload_step(reply: Reply) -> Step:
    row = UPLOAD_ERRORS.get(_upload_error(reply))
    if row is None and isinstance(reply, Answer):
        return _odd(reply)
    if row is None:
        return step_of(reply, creating=False)
    if row.fate is Fate.ANEW:
        return NotThere()
    return RetryAt(None, row.sentence, _detail(reply))


def _odd(reply: Answer) -> Step:
    return RetryAt(None, "Facebook answered something unexpected.", str(reply.data)[:2000])


def _detail(reply: Reply) -> str:
    return getattr(reply, "detail", "")


class Slice(io.RawIOBase):
    """``length`` bytes of a file from ``offset`` on, as a file of its own; for multipart bodies."""

    def __init__(self, file: Path, offset: int, length: int) -> None:
        self._source = file.open("rb")
        self._offset, self._length, self._at = offset, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._length - self._at))
        self._source.seek(self._offset + self._at)
        data = self._source.read(wanted)
        if wanted and not data:
            raise OSError("the file became shorter while it was sent")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()
