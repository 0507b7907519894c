"""Answers by the IETF draft: limits, state, and problem documents.

Source: draft-ietf-httpbis-resumable-upload, interop version 8: "Limits", "Problem Types".
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.errors import ApplianceError
from storage.uploads import DigestMismatch
from web.errors import PROBLEM
from web.upload_requests import VIDEO_HEADER, NotAllTaken, Refused, Reply, refusal

if TYPE_CHECKING:
    from appliance.models import Upload
    from appliance.settings import Settings
    from storage.uploads import Held
    from web.upload_requests import Pairs

_TYPES = "https://iana.org/assignments/http-problem-types#"
LIMIT = "Upload-Limit"


class Problem(Refused):
    """A refusal with a type of its own. ``members``: what its document says besides."""

    def __init__(
        self, status: int, kind: str, title: str, detail: str, *headers: tuple[str, str]
    ) -> None:
        super().__init__(status, detail, *headers)
        self.type = f"{_TYPES}{kind}"
        self.title = title
        self.code = kind.replace("-", "_")
        self.members: dict[str, Any] = {}


def mismatching_offset(expected: int, provided: int) -> Problem:
    problem = Problem(
        409,
        "mismatching-upload-offset",
        "offset from request does not match offset of resource",
        f"The upload goes on at byte {expected}, not at byte {provided}.",
        ("Upload-Offset", str(expected)),
    )
    problem.members = {"expected-offset": expected, "provided-offset": provided}
    return problem


def inconsistent_length(detail: str) -> Problem:
    return Problem(
        400, "inconsistent-upload-length", "inconsistent length values for upload", detail
    )


def limits(settings: Settings, row: Upload | None = None) -> tuple[str, str]:
    """The header; with the time that is left when it is about one upload. Source: "Limits"."""
    if row is None:
        left_s = settings.upload_idle_hours * 3600
    else:
        left_s = max(0.0, (row.expires_at - now()).total_seconds())
    return LIMIT, f"max-size={int(settings.max_upload_bytes)}, max-age={int(left_s)}"


def state_of(settings: Settings, held: Held) -> Pairs:
    """What every answer about an upload says."""
    headers = [
        ("Upload-Complete", "?1" if held.complete else "?0"),
        ("Upload-Offset", str(held.offset)),
        limits(settings, held.row),
    ]
    if held.video is not None:
        headers.append((VIDEO_HEADER, held.video.public_id))
    return headers


def problem_answer(error: Exception, settings: Settings) -> Reply:
    """Why a request was refused. It says ``?0``: the answer is about the sending, not the file."""
    reply = refusal(error)
    cause = error.__cause__ if isinstance(error, NotAllTaken) else error
    status = 400 if isinstance(cause, DigestMismatch) else reply.status
    headers = [*reply.headers, ("Upload-Complete", "?0")]
    if status == 413:
        headers.append(limits(settings))
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": reply.text,
        "code": cause.code if isinstance(cause, ApplianceError) else _code_of(cause),
    }
    if isinstance(cause, Problem):
        document |= {"type": cause.type, "title": cause.title, **cause.members}
    return json_answer(status, headers, document, media_type=PROBLEM)


def _code_of(error: BaseException | None) -> str:
    """ "BodyTakenOver" → "body_taken_over"."""
    name = type(error).__name__
    return "".join(f"_{ch.lower()}" if ch.isupper() else ch for ch in name).lstrip("_")


def json_answer(
    status: int, headers: Pairs, document: dict[str, Any], *, media_type: str = "application/json"
) -> Reply:
    reply = Reply(status, headers, json.dumps(document, ensure_ascii=False) + "\n")
    reply.media_type = media_type
    return reply
