"""Requests to the upload addresses and the answers to them, below any one protocol."""

from __future__ import annotations

import logging
import re
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from litestar.datastructures import Headers

from appliance import metrics
from appliance.errors import (
    ApplianceError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    TooLarge,
)
from appliance.ids import PATTERN as ID
from appliance.states import UploadState
from storage.uploads import DigestMismatch, Held, UploadBusy, UploadGone, WrongOffset
from web.direct_body import EXTENSION
from web.errors import describe
from web.upload_body import Body, BodyStalled, BodyTakenOver

if TYPE_CHECKING:
    Pairs = list[tuple[str, str]]

log = logging.getLogger("appliance.web")

PREFIX = "/files"
TUS_VERSION = "1.0.0"
VIDEO_HEADER = "Appliance-Video-Id"
# Of an upload that has ended: whether somebody decided so, or it may simply be sent again.
STATE_HEADER = "Appliance-Upload-State"
# Marks the start of an answer (an ASGI message) that says itself which protocol it speaks.
OWN_ANSWER = "appliance.uploads"

ADDRESS = re.compile(rf"({ID.pattern})\.([A-Za-z0-9_-]{{32}})")
# int() alone takes "+5", "1_0" and other scripts' digits; beyond 2**53 no client can count.
_DIGITS = re.compile(r"[0-9]+")
_MAX_COUNT = 2**53


# What a refusal is called, where it has no name of its own.
_CODES = {
    400: "bad_header",
    403: Forbidden.code,
    404: NotFound.code,
    405: "method_not_allowed",
    409: Conflict.code,
    411: "length_required",
    412: "unsupported_version",
    413: TooLarge.code,
    415: "unsupported_media_type",
}


class Refused(ApplianceError):
    """A refusal of the protocol, with its status and headers."""

    def __init__(
        self, status: int, message: str, *headers: tuple[str, str], code: str | None = None
    ) -> None:
        super().__init__(message, code=code or _CODES.get(status))
        self.status = status
        self.headers = list(headers)


class NotAllTaken(Exception):
    """Receiving ended early by ``__cause__``; ``offset`` is what stands."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class Request:
    """One request to the upload addresses. ``name``: the part after ``/files/``, or ""."""

    def __init__(self, scope: Any, receive: Any) -> None:
        self.scope = scope
        self.headers = Headers.from_scope(scope)
        # For networks that let only GET and POST through. Said twice, it is no method at all.
        instead = self.headers.getall("x-http-method-override", [scope["method"]])
        self.method: str = ",".join(instead).upper()
        self.name: str = scope["path"].removeprefix(PREFIX).strip("/")
        self.body = Body(receive, direct=(scope.get("extensions") or {}).get(EXTENSION))

    def text(self, name: str) -> str | None:
        """A header that may be there once; None when it isn't there. Raises Refused."""
        values = self.headers.getall(name, [])
        if len(values) > 1:
            raise Refused(400, f"{name} is there {len(values)} times; which one is meant?")
        return values[0] if values else None

    def number(self, name: str) -> int | None:
        """A header that counts bytes; None when it isn't there. Raises Refused."""
        text = self.text(name)
        if text is None:
            return None
        if not _DIGITS.fullmatch(text):
            raise Refused(400, f"{name} must be a whole number of bytes.")
        digits = text.lstrip("0") or "0"
        if len(digits) > len(str(_MAX_COUNT)) or int(digits) > _MAX_COUNT:
            raise Refused(413, f"{name} is more than any file has.")
        return int(digits)

    def address(self) -> tuple[str, str]:
        """Upload id and token. Raises NotFound for what can't be a capability."""
        match = ADDRESS.fullmatch(self.name)
        if match is None:
            raise NotFound("There is no such upload.")
        return match[1], match[2]

    def has_unread_body(self) -> bool:
        if not self.body.begun and self.headers.get("expect", "").lower() == "100-continue":
            return False  # it waits for our word, and gets another one
        announced = self.headers.get("content-length", "0") != "0"
        return not self.body.ended and (announced or "transfer-encoding" in self.headers)


class Reply:
    """``text`` empty: no content. ``by_tus``: says so, as all answers to tus clients must."""

    def __init__(self, status: int, headers: Pairs, text: str = "") -> None:
        self.status = status
        self.headers = headers
        self.text = text
        self.media_type = "text/plain; charset=utf-8"
        self.by_tus = True


def upload_path(upload_id: str, token: str) -> str:
    """Relative on purpose: right behind any proxy. Source: uploads.md §5.3."""
    return f"{PREFIX}/{upload_id}.{token}"


def expiry(held: Held) -> Pairs:
    """Until when what is here is kept; nothing for what is here for good."""
    if held.row.state is not UploadState.RECEIVING:
        return []
    return [("Upload-Expires", format_datetime(held.row.expires_at, usegmt=True))]


def facts(held: Held) -> Pairs:
    """What every answer about an upload says."""
    headers = [("Upload-Offset", str(held.offset)), *expiry(held)]
    if held.video is not None:
        headers.append((VIDEO_HEADER, held.video.public_id))
    return headers


def refusal(error: BaseException) -> Reply:
    """One clear sentence, with the status and headers that clients act on."""
    headers: Pairs = []
    if isinstance(error, NotAllTaken):
        headers.append(("Upload-Offset", str(error.offset)))
        error = error.__cause__ or error
    if isinstance(error, WrongOffset) and error.offset is not None:
        headers.append(("Upload-Offset", str(error.offset)))
    if isinstance(error, ApplianceError):
        metrics.UPLOAD_REFUSED.labels(error.code).inc()
    match error:
        case Refused():
            return Reply(error.status, [*headers, *error.headers], error.message)
        # 409: clients of tus ask for the offset and go on; of other answers they despair.
        case BodyStalled():
            return Reply(
                409, headers, "No bytes came for too long, or too few. What arrived is kept; go on."
            )
        case BodyTakenOver():
            return Reply(409, headers, "A later request has taken over.")
        case DigestMismatch():
            return Reply(460, headers, error.message)
        case UploadBusy():
            return Reply(423, [*headers, ("Retry-After", "1")], error.message)
        case UploadGone():
            if error.state is not None:
                headers.append((STATE_HEADER, error.state.value))
            return Reply(410, headers, error.message)
        case InvalidInput():
            return Reply(400, headers, error.message)
        case Exception():
            answer = describe(error)
            if answer.status == 500:
                log.error("an upload request failed", exc_info=error)
            return Reply(answer.status, [*headers, *answer.headers.items()], answer.sentence)
        case _:
            raise error


async def send_reply(request: Request, reply: Reply, send: Any) -> None:
    """Answer; what the sender is still sending is waited for a moment, so that it reads this."""
    body = reply.text.encode()
    headers = [*reply.headers]
    if reply.by_tus:
        headers.append(("Tus-Resumable", TUS_VERSION))
    if body:
        headers.append(("Content-Type", reply.media_type))
    if reply.status != 204:
        headers.append(("Content-Length", str(len(body))))
    unread = request.has_unread_body()
    if unread:
        headers.append(("Connection", "close"))
    await send(
        {
            "type": "http.response.start",
            OWN_ANSWER: True,
            "status": reply.status,
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in headers
            ],
        }
    )
    if unread:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await request.body.linger()
        body = b""
    await send({"type": "http.response.body", "body": body, "more_body": False})
