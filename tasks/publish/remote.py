"""One call to a platform, and what its answer says about what happened there.

The distinction that everything rests on: did the platform get the request? `Lost` means that it
may have; everything else is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from tasks.publish.publisher import NeedsReconnect, RetryAt

if TYPE_CHECKING:
    from collections.abc import Mapping

# Raw answers are kept for the folded part of the screen; whole pages of them help nobody.
MAX_DETAIL_CHARS = 2000


@dataclass(frozen=True)
class Answer:
    """The platform did what was asked (2xx)."""

    data: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A 4xx: nothing was done. ``code`` and ``subcode`` as in the Graph API's errors."""

    status: int
    message: str
    code: int | None = None
    subcode: int | None = None
    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lost:
    """No usable answer: it may have been done, or not."""

    reason: str
    detail: str = ""


def call(
    client: httpx.Client, method: str, path: str, *, now: datetime, **request: Any
) -> Answer | Refused | RetryAt | NeedsReconnect | Lost:
    """Send one request. Never raises for what a network or a platform may do."""
    try:
        response = client.request(method, path, **request)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        return RetryAt(None, "The platform can't be reached.", detail=repr(exc))
    except (httpx.TransportError, httpx.DecodingError) as exc:
        return Lost("The connection broke before the answer came.", detail=repr(exc))
    detail = f"HTTP {response.status_code}: {response.text[:MAX_DETAIL_CHARS]}"
    if response.status_code == 429:
        when = retry_after(response.headers, now)
        return RetryAt(when, "The platform asks for a pause.", detail=detail, counted=when is None)
    if response.status_code == 401:
        return NeedsReconnect("The platform no longer accepts the sign-in.", detail=detail)
    if response.status_code >= 500:
        return Lost("The platform answered with an error of its own.", detail=detail)
    data = _json(response)
    if response.is_success:
        return Lost("The answer can't be read.", detail=detail) if data is None else Answer(data)
    error = (data or {}).get("error")
    error = error if isinstance(error, dict) else {}
    return Refused(
        response.status_code,
        str(error.get("message") or f"The platform refused it (HTTP {response.status_code})."),
        code=error.get("code"),
        subcode=error.get("error_subcode"),
        detail=detail,
        data=data or {},
    )


def _json(response: httpx.Response) -> dict[str, Any] | None:
    try:
        data = response.json()
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def retry_after(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """The time that ``Retry-After`` names, in either of its forms. Source: RFC 9110 §10.2.3."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return now + timedelta(seconds=min(int(text), 10**6))
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
