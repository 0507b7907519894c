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
    """The platform did what was asked (2xx). An answer without a body (204) has no ``data``."""

    data: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)  # their names in small letters


@dataclass(frozen=True)
class Refused:
    """A 4xx: nothing was done. ``code`` and ``subcode`` as in the Graph API's errors."""

    status: int
    message: str
    code: int | None = None
    subcode: int | None = None
    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # their names in small letters


@dataclass(frozen=True)
class Lost:
    """No usable answer: it may have been done, or not."""

    reason: str
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # of an error of the platform's own


def call(
    client: httpx.Client,
    method: str,
    path: str,
    *,
    now: datetime,
    by_table: bool = False,
    **request: Any,
) -> Answer | Refused | RetryAt | NeedsReconnect | Lost:
    """Send one request. Never raises for what a network or a platform may do.

    ``by_table``: 401 and 429 are Refused like other 4xx, for the caller's table of errors knows
    more about them.
    """
    try:
        response = client.request(method, path, **request)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        return RetryAt(None, "The platform can't be reached.", detail=repr(exc))
    except (httpx.TransportError, httpx.DecodingError) as exc:
        return Lost("The connection broke before the answer came.", detail=repr(exc))
    detail = f"HTTP {response.status_code}: {response.text[:MAX_DETAIL_CHARS]}"
    if response.status_code == 429 and not by_table:
        when = retry_after(response.headers, now)
        return RetryAt(when, "The platform asks for a pause.", detail=detail, counted=when is None)
    if response.status_code == 401 and not by_table:
        return NeedsReconnect("The platform no longer accepts the sign-in.", detail=detail)
    if response.status_code >= 500:
        headers = dict(response.headers)
        return Lost("The platform answered with an error of its own.", detail, headers)
    data = _json(response)
    if response.is_success:
        if data is None and _says_nothing(response):
            data = {}
        if data is None:
            return Lost("The answer can't be read.", detail=detail)
        return Answer(data, dict(response.headers))
    error = (data or {}).get("error")
    error = error if isinstance(error, dict) else {}
    return Refused(
        response.status_code,
        str(error.get("message") or f"The platform refused it (HTTP {response.status_code})."),
        code=error.get("code"),
        subcode=error.get("error_subcode"),
        detail=detail,
        data=data or {},
        headers=dict(response.headers),
    )


def _says_nothing(response: httpx.Response) -> bool:
    """On purpose: 204, or all that it says is where to go on (the start of an upload)."""
    return response.status_code == 204 or (not response.content and "location" in response.headers)


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
