"""One plain PUT of a file to its upload address, for scripts: ``curl -T clip.mp4 ADDRESS``.

Without Content-Range the body is the whole file, and what an earlier try brought is replaced.
With ``Content-Range: bytes FROM-TO/LENGTH`` it goes on where the last one ended;
``bytes */LENGTH`` without a body asks where that is.
Source: RFC 9110 §14.4 and §14.5 (partial PUT).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from storage.background import in_thread
from storage.uploads import WrongOffset
from web.upload_requests import Refused, Reply, Request, facts

if TYPE_CHECKING:
    from storage.uploads import Held
    from web.upload_desk import UploadDesk

_RANGE = re.compile(r"bytes (?:([0-9]{1,16})-([0-9]{1,16})|\*)/([0-9]{1,16})")


async def put(desk: UploadDesk, request: Request) -> Reply:
    """201 when the file is complete; 202 with Upload-Offset when more is to come."""
    request.body.protocol = "put"
    address = request.address()
    size = request.number("Content-Length")
    if size is None:
        raise Refused(411, "Say in Content-Length how many bytes come.")
    wanted = request.headers.get("content-range")
    async with desk.take_up(*address) as (held, slot):
        if wanted is not None:
            asks_only = _check_range(held, wanted, size)
            if asks_only:
                return _answer(held)
        elif size != held.row.length:
            raise Refused(
                413 if size > (held.row.length or 0) else 400,
                f"The body has {size} bytes; this address is for a file of {held.row.length}.",
            )
        elif held.offset and not held.complete and held.handle is not None:
            await in_thread(lambda: desk.store.restart(held))
        if not held.complete:
            await desk.append(held, slot, request)
        return _answer(held)


def _check_range(held: Held, text: str, size: int) -> bool:
    """True: only the offset is asked for. Raises Refused, WrongOffset."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise Refused(400, "Content-Range must be “bytes FROM-TO/LENGTH” or “bytes */LENGTH”.")
    if int(match[3]) != held.row.length:
        raise Refused(400, f"Content-Range: the file has {held.row.length} bytes.")
    if match[1] is None:
        return True
    first, last = int(match[1]), int(match[2])
    if last - first + 1 != size:
        raise Refused(400, f"Content-Range and Content-Length ({size}) don't fit together.")
    if first != held.offset:
        raise WrongOffset(held.offset)
    return False


def _answer(held: Held) -> Reply:
    video_id = held.video.public_id if held.video is not None else None
    reply = Reply(
        201 if held.complete else 202,
        facts(held),
        json.dumps({"video_id": video_id, "offset": held.offset, "length": held.row.length}) + "\n",
    )
    reply.media_type = "application/json"
    return reply
