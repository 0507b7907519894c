"""One question to a platform's sign-in, and an answer that no secret is left in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from appliance.clock import now
from tasks.connect.errors import SignInUnreachable
from tasks.publish.remote import MAX_DETAIL_CHARS, retry_after
from tasks.publish.remotes import Service, client_for

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.oauth_clients import Client
    from appliance.settings import Settings

# A secret that is shorter would turn harmless words of an answer into holes.
_SHORTEST = 8


@dataclass(frozen=True)
class Desk:
    """Who asks: the box, as its client at the platform. ``redirect``: where people come back."""

    settings: Settings
    client: Client
    practice: bool
    redirect: str = ""


@dataclass(frozen=True)
class Reply:
    """``data`` is {} when the answer is no JSON object; ``detail`` is fit to be shown."""

    status: int
    data: dict[str, Any] = field(repr=False)
    detail: str
    location: str = field(default="", repr=False)

    @property
    def is_fine(self) -> bool:
        return 200 <= self.status < 300


def ask(
    desk: Desk,
    service: Service,
    method: str,
    path: str,
    *,
    secrets: Collection[str] = (),
    **request: Any,
) -> Reply:
    """Wants no open connection. ``secrets``: beside the client's own, what the answer might repeat.

    Raises SignInUnreachable when there is no answer, or none that means anything (429, 5xx).
    """
    try:
        with client_for(desk.settings, service, practice=desk.practice) as client:
            response = client.request(method, path, **request)
    except (httpx.TransportError, httpx.DecodingError) as exc:
        raise SignInUnreachable(
            "The platform can't be reached. Look whether the box has internet.",
            detail=type(exc).__name__,
        ) from None  # the chain would name the address, and some of them carry secrets
    known = {desk.client.secret, *secrets}
    detail = f"HTTP {response.status_code}: {scrub(response.text, known)[:MAX_DETAIL_CHARS]}"
    if response.status_code == 429 or response.status_code >= 500:
        raise SignInUnreachable(
            "The platform asks for a pause."
            if response.status_code == 429
            else "The platform answered with an error of its own.",
            when=retry_after(response.headers, now()),
            detail=detail,
        )
    try:
        data = response.json()
    except ValueError:
        data = None
    return Reply(
        response.status_code,
        data if isinstance(data, dict) else {},
        detail,
        response.headers.get("location", ""),
    )


def scrub(text: str, secrets: Collection[str]) -> str:
    """``text`` without any of ``secrets``, as they are or as JSON writes them."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "…").replace(json.dumps(secret)[1:-1], "…")
    return text
