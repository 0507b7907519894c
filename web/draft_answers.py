"""Answers by the IETF draft: limits, state, and problem documents.

Source: draft-ietf-httpbis-resumable-upload, interop version 8: "Limits", "Problem Types".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import now
from web.upload_problems import Problem, problem
from web.upload_requests import VIDEO_HEADER

if TYPE_CHECKING:
    from appliance.models import Upload
    from appliance.settings import Settings
    from storage.uploads import Held
    from web.upload_requests import Pairs, Reply

_TYPES = "https://iana.org/assignments/http-problem-types#"
LIMIT = "Upload-Limit"


def mismatching_offset(expected: int, provided: int) -> Problem:
    found = Problem(
        409,
        f"{_TYPES}mismatching-upload-offset",
        "offset from request does not match offset of resource",
        f"The upload goes on at byte {expected}, not at byte {provided}.",
        ("Upload-Offset", str(expected)),
    )
    found.code = "wrong_offset"
    found.members = {"expected-offset": expected, "provided-offset": provided}
    return found


def elsewhere(settled: int, provided: int) -> Problem:
    """To bytes from ``provided`` on while another request brings others, and is left in peace.

    ``settled``: as many have arrived for good. More are on their way, but what isn't sure to be on
    disk is never told as an offset.
    """
    found = mismatching_offset(settled, provided)
    found.message = (
        f"Another request is sending this upload, from another byte; {settled} bytes are safe so "
        "far. Ask for the offset first."
    )
    return found


def inconsistent_length(detail: str) -> Problem:
    found = Problem(
        400, f"{_TYPES}inconsistent-upload-length", "inconsistent length values for upload", detail
    )
    found.code = "inconsistent_length"
    return found


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
    reply = problem(error)
    reply.headers.append(("Upload-Complete", "?0"))
    if reply.status == 413:
        reply.headers.append(limits(settings))
    return reply
