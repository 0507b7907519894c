"""How Meta says no, and how the stand-in goes wrong when it is told to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from litestar import Response

from web.practice.cut_off import CutOff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from web.practice.ground import Fault

# Of a call: nothing was done, or it was done and the answer is lost.
BEFORE = ("throttle", "refuse", "break_before", "lose_before", "expire")
AFTER = ("break_after", "lose")


class Refusal(Exception):
    """``code`` and ``subcode`` as in the tables of errors."""

    def __init__(
        self,
        code: int,
        subcode: int | None = None,
        message: str = "",
        *,
        status: int = 400,
        error_data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.subcode, self.status = code, subcode, status
        self.message = message or "(told to refuse)"
        self.error_data = error_data


def refuse(refusal: Refusal) -> Response[Any]:
    """The shape of all errors of the Graph API: "OAuthException" whatever it is about."""
    error: dict[str, Any] = {
        "message": refusal.message,
        "type": "OAuthException",
        "code": refusal.code,
        "is_transient": refusal.code in (1, 2),
        "fbtrace_id": "Apractice",
    }
    if refusal.subcode is not None:
        error["error_subcode"] = refusal.subcode
    if refusal.error_data is not None:
        error["error_data"] = dict(refusal.error_data)
    return Response({"error": error}, status_code=refusal.status)


def misbehave(fault: Fault) -> Response[Any]:
    """The answer of a call that goes wrong; whether something was done is the caller's affair.

    ``refuse`` names the error as "code" or "code/subcode".
    """
    match fault.kind:
        case "throttle":
            return _throttle(as_number(fault.value, 60.0))
        case "refuse":
            code, _, subcode = (fault.value or "368").partition("/")
            number = int(code) if code.lstrip("-").isdecimal() else 368
            return refuse(Refusal(number, int(subcode) if subcode.isdecimal() else None))
        case "expire":
            message = "Error validating access token: Session has expired"
            return refuse(Refusal(190, 463, message, status=401))
        case "break_before" | "break_after" | "blind":
            message = "An unexpected error has occurred. Please retry your request later."
            return refuse(Refusal(2, None, message, status=500))
    return CutOff()


def _throttle(seconds: float) -> Response[Any]:
    """As for a Page that is called too often. Meta names whole minutes; shorter pauses are only
    in the header that all the web knows."""
    answer = refuse(Refusal(32, None, "(#32) Page request limit reached"))
    usage = {
        "type": "pages",
        "call_count": 100,
        "total_cputime": 20,
        "total_time": 20,
        "estimated_time_to_regain_access": math.ceil(seconds / 60) if seconds >= 60 else 0,
    }
    answer.headers["X-Business-Use-Case-Usage"] = json.dumps({"200000000000001": [usage]})
    if seconds < 60:
        answer.headers["Retry-After"] = str(max(0, round(seconds)))
    return answer


def as_number(text: str, default: float) -> float:
    try:
        number = float(text)
    except ValueError:
        return default
    return min(max(number, 0.0), 86_400.0) if math.isfinite(number) else default
