"""Files for those who hold a link: platforms' fetchers, which can't sign in."""

from __future__ import annotations

import time
from typing import Any

from litestar import Request, Response, get, route
from litestar.datastructures import State
from litestar.enums import HttpMethod
from litestar.params import FromPath
from litestar.types import ASGIApp

from appliance.db import database
from appliance.errors import NotFound, TooManyAttempts
from storage.public_links import PublicLinks
from web.auth import PUBLIC, client_address
from web.sendfile import SendFile, content_disposition

# Platforms' fetchers ask here before they fetch; nothing else is for machines.
ROBOTS = "User-agent: *\nAllow: /public/\nDisallow: /\n"

_READ = [HttpMethod.GET, HttpMethod.HEAD]


class Guesses:
    """Who has tried links that lead nowhere, lately; in this process, for a minute.

    A token has 192 bits, so nobody finds one: this only keeps those who try from being a burden.
    """

    LIMIT = 100
    WINDOW_S = 60.0
    _KEPT = 10_000

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}

    def check(self, address: str) -> None:
        """Raises TooManyAttempts. An unknown address ("") is not held against all others."""
        started, count = self._seen.get(address, (0.0, 0))
        left_s = started + self.WINDOW_S - time.monotonic()
        if count >= self.LIMIT and left_s > 0:
            raise TooManyAttempts(
                "Too many links that lead nowhere were tried from here. Wait a minute.",
                retry_after_s=int(left_s) + 1,
            )

    def note(self, address: str) -> None:
        if not address:
            return
        now_s = time.monotonic()
        started, count = self._seen.get(address, (now_s, 0))
        if now_s - started > self.WINDOW_S:
            started, count = now_s, 0
        if address not in self._seen and len(self._seen) >= self._KEPT:
            self._seen.clear()
        self._seen[address] = (started, count + 1)


@route(
    "/public/{token:str}/{name:str}",
    http_method=_READ,
    opt=PUBLIC,
    sync_to_thread=True,
    include_in_schema=False,
)
def public_file(
    request: Request[Any, Any, State], token: FromPath[str], name: FromPath[str]
) -> ASGIApp:
    """Unknown, expired and revoked links look alike. ``name`` is for the eye alone."""
    state = request.app.state
    guesses: Guesses = state.setdefault("guesses", Guesses())
    address = client_address(request.scope)
    guesses.check(address)
    with database.connection_context():
        found = PublicLinks(state.settings, state.vault).resolve(token)
    if found is None:
        guesses.note(address)
        raise NotFound("This link leads nowhere. It may have expired or been withdrawn.")
    return SendFile(
        found.path,
        found.content_type,
        disposition=content_disposition("inline", name),
        cross_origin="cross-origin",
    )


@get("/robots.txt", opt=PUBLIC, sync_to_thread=False, include_in_schema=False)
def robots() -> Response[str]:
    return Response(ROBOTS, media_type="text/plain; charset=utf-8")
