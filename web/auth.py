"""Who is asking, and whether they may: one table of requirements, one guard that enforces it.

Every route says what it asks for, next to its path::

    @get("/videos", opt=needs(Role.VIEWER, Scope.READ))  # session, or token with that scope
    @get("/settings", opt=needs(Role.VIEWER))            # session only
    @get("/health/live", opt=PUBLIC)                     # anybody

A route that says nothing is refused to everybody. ``tests/web/test_routes_roles.py`` holds the
whole table to the running app.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import anyio.to_thread
from litestar import Request
from litestar.datastructures import Headers

from appliance import access, sessions, tokens
from appliance.access import Scope
from appliance.db import database
from appliance.errors import Forbidden, Unauthenticated
from web import form_token
from web.errors import answer_error

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers.base import BaseRouteHandler
    from litestar.types import ASGIApp, Receive, Send

    from appliance.models import ApiToken, Role, Session, User
    from appliance.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METRICS_PATH = "/metrics"
# Paths that are the same for everybody: no look into the database for them.
_NOBODY = (
    "/static/",
    "/public/",
    "/send/",
    "/practice/api/",
    # Stand-ins of platforms, which have tokens of their own; people see their consent pages.
    "/practice/google/youtube/",
    "/practice/google/upload/",
    "/practice/google/token",
    "/practice/google/revoke",
    "/practice/meta/video-upload/",
    "/practice/meta/ig-api-upload/",
    "/health/live",
)
# The Graph API; but people see its consent page ("dialog") with their session.
_GRAPH = re.compile(r"/practice/meta/v[0-9.]+/(?!dialog/)")


@dataclass(frozen=True)
class Access:
    """What a route asks for. ``scope`` None: API tokens can't use it."""

    role: Role
    scope: Scope | None


PUBLIC: dict[str, Any] = {"access": "public"}


def needs(role: Role, scope: Scope | None = None) -> dict[str, Any]:
    """The ``opt`` of a route for users of at least ``role`` (and tokens with ``scope``)."""
    return {"access": Access(role, scope)}


@dataclass(frozen=True)
class Principal:
    """Who is asking. ``scopes`` None: a session, which may do all that the role allows."""

    user: User
    scopes: frozenset[Scope] | None
    session: Session | None = None
    token: ApiToken | None = None

    def need(self, scope: Scope | None, role: Role) -> None:
        """Raises Forbidden when the token lacks the scope, or the user the role."""
        if self.scopes is not None:
            if scope is None:
                raise Forbidden("API tokens can't be used for this. Sign in with a browser.")
            if scope not in self.scopes:
                raise Forbidden(f"This API token lacks the scope “{scope}”.")
        access.require(self.user, role)


def principal(connection: Any) -> Principal:
    """Raises Unauthenticated when nobody is signed in."""
    found = principal_or_none(connection)
    if found is None:
        raise Unauthenticated("Sign in first.")
    return found


def principal_or_none(connection: Any) -> Principal | None:
    scope = connection if isinstance(connection, dict) else connection.scope
    found: Principal | None = scope.get("principal")
    return found


def client_address(scope: Any) -> str:
    """Where the request came from; "" on a UNIX socket without a proxy's word."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def cookie_name(settings: Settings, name: Literal["session", "csrf"]) -> str:
    """``__Host-``: the browser takes it only over https, from this very host, for all paths."""
    return f"__Host-{name}" if settings.https else name


class Authentication:
    """ASGI middleware around the whole app: finds the principal once for each request."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.cookie = cookie_name(settings, "session")

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        scope["principal"] = None
        # Noted before anything is read, so that a page's stream of events misses nothing.
        live = scope["app"].state.get("live")
        scope["live_from"] = live.last_id if live else 0
        if scope["type"] == "http" and not _asks_nobody(scope["path"]):
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            cookies = request.cookies
            bearer = _bearer(request.headers)
            found: Principal | None = None
            try:
                if bearer is not None and self._is_metrics_token(scope["path"], bearer):
                    scope["knows_metrics_token"] = True
                elif bearer is not None:
                    found = await anyio.to_thread.run_sync(_by_token, bearer)
                elif token := cookies.get(self.cookie):
                    found = await anyio.to_thread.run_sync(_by_session, token, self.settings)
            except Exception as exc:
                await answer_error(request, exc)
                return
            scope["principal"] = found
        await self.app(scope, receive, send)

    def _is_metrics_token(self, path: str, bearer: str) -> bool:
        """The one secret that is nobody's: it opens the metrics and nothing else."""
        secret = self.settings.metrics_token
        if secret is None or path != METRICS_PATH:
            return False
        return hmac.compare_digest(secret.get_secret_value().encode(), bearer.encode())


def _asks_nobody(path: str) -> bool:
    """Upload addresses are capabilities: they work on after a session or token has ended."""
    is_upload = path.startswith(("/files/", "/upload/")) and path not in ("/files/", "/upload/")
    return is_upload or path.startswith(_NOBODY) or _GRAPH.match(path) is not None


def _bearer(headers: Headers) -> str | None:
    """The API token of the Authorization header; never taken from a cookie or the address."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" and value.strip() else None


def _by_token(text: str) -> Principal:
    with database.connection_context():
        row = tokens.find(text)
        if row is None:
            raise Unauthenticated("This API token is unknown, expired or revoked.")
        return _of_token(row)


def _by_session(token: str, settings: Settings) -> Principal | None:
    with database.connection_context():
        row = sessions.find(token, settings)
        return None if row is None else _of_session(row)


def _of_token(row: ApiToken) -> Principal:
    return Principal(row.user, frozenset(Scope(s) for s in row.scopes), token=row)


def _of_session(row: Session) -> Principal:
    return Principal(row.user, None, session=row)


def again(found: Principal, settings: Settings) -> Principal | None:
    """Who that is by now, with the role of now; None: signed out, revoked or deactivated."""
    if found.session is not None:
        session = sessions.again(found.session, settings)
        return None if session is None else _of_session(session)
    token = None if found.token is None else tokens.again(found.token)
    return None if token is None else _of_token(token)


async def guard(
    connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler
) -> None:
    """The one place where a request is let through. Raises Unauthenticated or Forbidden."""
    found = principal_or_none(connection)
    wanted = route_handler.opt.get("access")
    if wanted != "public":
        if found is None:
            raise Unauthenticated("Sign in first.")
        if not isinstance(wanted, Access):
            raise Forbidden("Nobody may use this address.")
        found.need(wanted.scope, wanted.role)
    unsafe = str(connection.scope.get("method", "GET")) not in SAFE_METHODS
    if unsafe and (found is None or found.session is not None):
        same = _check_same_origin(connection.headers, connection.app.state.settings.base_url)
        exempt = bool(route_handler.opt.get("exclude_from_csrf"))
        if not exempt and not (same and connection.scope["path"].startswith("/api/")):
            await form_token.check(connection)


def _check_same_origin(headers: Headers, base_url: str) -> bool:
    """Whether our own page sent it; False: can't tell (programs send neither header).

    Raises Forbidden for what another site made a browser send.
    Source: Fetch Metadata (W3C), Sec-Fetch-Site; RFC 6454 §7 for Origin.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    elif origin is not None:
        ours = origin == base_url or _host_of(origin) == headers.get("host")
    else:
        return False
    if not ours:
        raise Forbidden("This was sent from another site, so nothing was changed.")
    return True


def _host_of(origin: str) -> str | None:
    """With its port; None for what is no address ("http://[")."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
