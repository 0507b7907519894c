"""One plain PUT of a file to its upload address, for scripts: ``curl -T clip.mp4 ADDRESS``.

Without Content-Range the body is the whole file, and what an earlier try brought is replaced; it
may come in chunks, since the address knows how long the file is. With ``Content-Range: bytes
FROM-TO/LENGTH`` it goes on where the last one ended; ``bytes */LENGTH`` without a body asks where
that is. Source: RFC 9110 §14.4 and §14.5 (partial PUT).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import Conflict, TooLarge
from storage.background import in_thread
from storage.uploads import WrongOffset, lengths
from storage.uploads.rows import PARTIAL
from web.digest_fields import content_digest
from web.structured_fields import parse_boolean
from web.upload_body import BodyCut
from web.upload_problems import json_answer, problem
from web.upload_requests import Refused, facts

if TYPE_CHECKING:
    from appliance.models import Upload
    from storage.uploads import Held
    from web.upload_desk import UploadDesk
    from web.upload_requests import Reply, Request

_RANGE = re.compile(r"bytes (?:([0-9]{1,16})-([0-9]{1,16})|\*)/([0-9]{1,16})")

_SAY_LENGTH = "Say in Content-Length how many bytes come."


@dataclass(frozen=True)
class Piece:
    """What a request brings. ``first`` None: the whole file; ``size`` None: until it ends.

    ``asks_only``: nothing, it wants to know the offset. ``length``: of the file, as it says.
    """

    first: int | None
    size: int | None
    length: int | None
    asks_only: bool = False


async def put(desk: UploadDesk, request: Request) -> Reply:
    """201 when the file is complete; 202 with Upload-Offset when more is to come.

    Refusals are problem documents. Raises BodyCut when nobody is there to be answered.
    """
    request.body.protocol = "put"
    try:
        return await _put(desk, request)
    except BodyCut:
        raise
    except Exception as exc:
        return problem(exc)


async def _put(desk: UploadDesk, request: Request) -> Reply:
    address = request.address()
    piece = read_piece(request)
    digest = content_digest(request)

    def check(row: Upload) -> None:
        if row.concat == PARTIAL:
            raise Conflict("This is a part of a file that tus puts together; send it by tus.")
        _check_length(row.length, piece)

    # A whole file replaces what an earlier try brought, so it belongs wherever that one is.
    async with desk.take_up(*address, offset=piece.first, check=check) as (held, slot):
        if held.is_whole:  # a crash came between its last byte and its end
            await in_thread(lambda: desk.store.finish(held))
        elif held.offset > held.row.durable_offset:
            await in_thread(lambda: desk.store.acknowledge(held))  # what is told is on disk
        check(held.row)
        if piece.first not in (None, held.offset) and not held.complete:
            raise WrongOffset(held.offset)
        if held.complete or piece.asks_only:
            return _answer(held)
        if held.row.length is None and piece.length is not None:
            length = piece.length
            await in_thread(lambda: lengths.declare(desk.store, held, length))
        if piece.first is None and held.offset:
            await in_thread(lambda: desk.store.restart(held))
        await desk.append(held, slot, request, digest)
        if piece.first is None and not held.complete:
            raise Refused(
                400,
                f"The body ended after {held.offset} bytes; the file has {held.row.length}.",
                ("Upload-Offset", str(held.offset)),
                code="body_too_short",
            )
        return _answer(held)


def read_piece(request: Request) -> Piece:
    """Raises Refused for what can't be meant."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(
            415,
            "The file must come as it is, without a Content-Encoding.",
            ("Accept-Encoding", "identity"),
        )
    if parse_boolean(request.headers.getall("upload-complete", [])) is False:
        raise Refused(400, "A part of the file comes by PATCH, or by PUT with Content-Range.")
    size = request.number("Content-Length")
    in_chunks = "transfer-encoding" in request.headers
    wanted = request.headers.get("content-range")
    if wanted is None:
        if size is None and not in_chunks:
            raise Refused(411, _SAY_LENGTH)
        return Piece(None, size, size)
    match = _RANGE.fullmatch(wanted)
    if match is None:
        raise Refused(400, "Content-Range must be “bytes FROM-TO/LENGTH” or “bytes */LENGTH”.")
    length = int(match[3])
    if match[1] is None:
        if size or in_chunks:
            raise Refused(400, "Content-Range: “bytes */LENGTH” only asks, so nothing may come.")
        return Piece(None, 0, length, asks_only=True)
    if size is None:
        raise Refused(411, _SAY_LENGTH)
    first, last = int(match[1]), int(match[2])
    if not first <= last < length:
        raise Refused(400, f"Content-Range: there is no such piece of {length} bytes.")
    if last - first + 1 != size:
        raise Refused(400, f"Content-Range and Content-Length ({size}) don't fit together.")
    return Piece(first, size, length)


def _check_length(length: int | None, piece: Piece) -> None:
    """``length``: what the address is for; None: not known yet. Raises Refused, TooLarge."""
    if length is None and piece.length is None:
        raise Refused(411, _SAY_LENGTH)
    if length is not None and piece.length not in (None, length):
        sentence = f"The file would have {piece.length} bytes; this address is for one of {length}."
        if piece.first is None and not piece.asks_only and (piece.length or 0) > length:
            raise TooLarge(sentence)
        raise Refused(400, sentence, code="inconsistent_length")


def _answer(held: Held) -> Reply:
    video_id = held.video.public_id if held.video is not None else None
    return json_answer(
        201 if held.complete else 202,
        facts(held),
        {"video_id": video_id, "offset": held.offset, "length": held.row.length},
    )
