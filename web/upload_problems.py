"""Refusals at the upload addresses as problem documents, for senders that aren't tus clients.

Source: RFC 9457.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.errors import ApplianceError
from storage.uploads import DigestMismatch
from web.errors import PROBLEM, problem_document
from web.upload_body import BodyStalled
from web.upload_requests import NotAllTaken, Refused, Reply, refusal

if TYPE_CHECKING:
    from web.upload_requests import Pairs

# Where tus has a status of its own (460), or its clients go on after this one alone (409).
_STATUS: dict[type[Exception], int] = {DigestMismatch: 400, BodyStalled: 408}


class Problem(Refused):
    """A refusal whose document has a type of its own. ``members``: what it says besides."""

    def __init__(
        self, status: int, type: str, title: str, detail: str, *headers: tuple[str, str]
    ) -> None:
        super().__init__(status, detail, *headers)
        self.type = type
        self.title = title
        self.members: dict[str, Any] = {}


def problem(error: Exception) -> Reply:
    """With the offset as a member where the headers have it, too."""
    reply = refusal(error)
    cause = error.__cause__ if isinstance(error, NotAllTaken) else error
    status = next((n for kind, n in _STATUS.items() if isinstance(cause, kind)), reply.status)
    code = cause.code if isinstance(cause, ApplianceError) else _code_of(cause)
    document = problem_document(status, code, reply.text)
    if isinstance(cause, Problem):
        document |= {"type": cause.type, "title": cause.title, **cause.members}
    offset = dict(reply.headers).get("Upload-Offset")
    if offset is not None:
        document["offset"] = int(offset)
    return json_answer(status, reply.headers, document, media_type=PROBLEM)


def _code_of(error: BaseException | None) -> str:
    """ "BodyTakenOver" → "body_taken_over"."""
    name = type(error).__name__
    return "".join(f"_{ch.lower()}" if ch.isupper() else ch for ch in name).lstrip("_")


def json_answer(
    status: int, headers: Pairs, document: dict[str, Any], *, media_type: str = "application/json"
) -> Reply:
    """One line of JSON; not by tus."""
    reply = Reply(status, headers, json.dumps(document, ensure_ascii=False) + "\n")
    reply.media_type = media_type
    reply.by_tus = False
    return reply
