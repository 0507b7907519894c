"""How Meta says no, and how the stand-in goes wrong when it is told to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from litestar import Response
from litestar.response import Stream

if TYPE_CHECKING:
    from web.practice.ground import Fault

# Of a call: nothing was done, or it was done and the answer is lost.
BEFORE = ("throttle", "refuse", "break_before", "lose_before", "expire")
AFTER = ("break_after", "lose")


class Refusal(Exception):
    """``code`` and ``subcode`` as in the tables of errors."""

    def __init__(
        self, code: int, subcode: int | None = None, message: str = "", *, status: int = 400
    ) -> None:
        super().__init__(message)
        self.code, self.subcode, self.status = code, subcode, status
        self.message = message or "(told to refuse)"


def refuse(refusal: Refusal) -> Response[Any]:
    """The shape of all errors of the Graph API; the ``type`` says nothing."""
    error: dict[str, Any] = {
        "message": refusal.message,
        "type": "OAuthException",
        "code": refusal.code,
        "fbtrace_id": "practice",
    }
    if refusal.subcode is not None:
        error["error_subcode"] = refusal.subcode
    return Response({"error": error}, status_code=refusal.status)


def misbehave(fault: Fault) -> Response[Any]:
    """The answer of a call that goes wrong; whether something was done is the caller's affair.

    ``refuse`` names the error as "code" or "code/subcode".
    """
    match fault.kind:
        case "throttle":
            # As Meta does: 400, and the pause in minutes in a header of its own.
            answer = refuse(Refusal(80002, None, "There have been too many calls."))
            minutes = max(1, round(float(fault.value or 60) / 60))
            entry = {"type": "instagram", "estimated_time_to_regain_access": minutes}
            answer.headers["X-Business-Use-Case-Usage"] = json.dumps({"0": [entry]})
            return answer
        case "refuse":
            code, _, subcode = fault.value.partition("/")
            return refuse(Refusal(int(code or 100), int(subcode) if subcode else None))
        case "expire":
            return refuse(Refusal(190, 463, "The session has expired.", status=401))
        case "break_before" | "break_after":
            return refuse(Refusal(2, None, "An unexpected error has occurred.", status=500))
    return cut_off()


def cut_off() -> Response[Any]:
    """An answer that ends in the middle: the server closes the connection for it."""
    return Stream(
        iter([b'{"id": "']),
        status_code=200,
        headers={"content-length": "64"},
        media_type="application/json",
    )
