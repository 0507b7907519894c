"""Files for those who hold a link: platforms' fetchers, which can't sign in."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio.to_thread
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

if TYPE_CHECKING:
    from litestar.types import Receive, Send

    from appliance.settings import Settings
    from appliance.vault import Vault
    from storage.public_links import PublicFile
    from web.granted import Granted

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


@route("/public/{token:str}/{name:str}", http_method=_READ, opt=PUBLIC, include_in_schema=False)
async def public_file(
    request: Request[Any, Any, State], token: FromPath[str], name: FromPath[str]
) -> ASGIApp:
    """Unknown, expired and revoked links look alike. ``name`` is for the eye alone."""
    state = request.app.state
    guesses: Guesses = state.setdefault("guesses", Guesses())
    address = client_address(request.scope)
    guesses.check(address)
    granted: Granted = state.granted
    found = granted.get(token)
    if found is None:
        version = granted.version()
        found = await anyio.to_thread.run_sync(_resolve, state.settings, state.vault, token)
        if found is None:
            guesses.note(address)
            raise NotFound("This link leads nowhere. It may have expired or been withdrawn.")
        granted.keep(token, found, version)
    return _send(found, name)


def _resolve(settings: Settings, vault: Vault, token: str) -> PublicFile | None:
    with database.connection_context():
        return PublicLinks(settings, vault).resolve(token)


class GrantedFiles:
    """ASGI middleware: files of links that are known to be good, past routing and signing in.

    A film is asked for in hundreds of parts; all that a router does costs more than a part.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            first, _, rest = scope["path"].removeprefix("/").partition("/")
            token, _, name = rest.partition("/")
            if first == "public" and name and "/" not in name:
                found = scope["app"].state.granted.get(token)
                if found is not None:
                    with suppress(NotFound):  # raised before anything was sent
                        await _send(found, name)(scope, receive, send)
                        return
        await self.app(scope, receive, send)


def _send(found: PublicFile, name: str) -> SendFile:
    return SendFile(
        found.path,
        found.content_type,
        disposition=content_disposition("inline", name),
        cross_origin="cross-origin",
    )


@get("/robots.txt", opt=PUBLIC, sync_to_thread=False, include_in_schema=False)
def robots() -> Response[str]:
    return Response(ROBOTS, media_type="text/plain; charset=utf-8")
