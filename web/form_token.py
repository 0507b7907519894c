"""The token in our forms that another site can't know (CSRF).

A random value with its HMAC lies in a cookie, and each form (or ``X-CSRF-Token`` header) repeats
it. Litestar's own middleware isn't used, because it parses whole multipart bodies of strangers
before anything else has looked at them, and because a cookie that was signed with another key
(two boxes on one localhost) would lock a browser out of all forms until it is deleted.
"""

from __future__ import annotations

import hmac
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from litestar import Request
from litestar.datastructures import Cookie

from appliance.errors import Forbidden

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.types import ASGIApp, Message, Receive, Send

FIELD = "_csrf_token"
HEADER = "x-csrf-token"
_URL_ENCODED = "application/x-www-form-urlencoded"


# Each request is a task of its own, so nobody sees another's.
_of_this_request: ContextVar[str] = ContextVar("csrf_token", default="")


def of_this_request() -> str:
    """The token for the forms of the page that is being made; "" outside of a request."""
    return _of_this_request.get()


def make(key: bytes) -> str:
    value = secrets.token_urlsafe(24)
    return f"{value}.{_sign(value, key)}"


def is_ours(token: str, key: bytes) -> bool:
    value, _, signature = token.partition(".")
    return hmac.compare_digest(_sign(value, key).encode(), signature.encode())


def _sign(value: str, key: bytes) -> str:
    return hmac.new(key, value.encode(), "sha256").hexdigest()


class FormToken:
    """ASGI middleware: gives each browser its token, with the first page that it gets."""

    def __init__(self, app: ASGIApp, *, key: bytes, cookie: str, secure: bool) -> None:
        self.app = app
        self.key = key
        self.cookie = cookie
        self.secure = secure

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request: Request[Any, Any, Any] = Request(scope)
        sent = request.cookies.get(self.cookie, "")
        known = is_ours(sent, self.key)
        token = sent if known else make(self.key)
        _of_this_request.set(token)
        scope["csrf_cookie"] = sent if known else None

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and not known and _is_page(message):
                message["headers"] = [*message.get("headers", []), self._cookie_header(token)]
            await send(message)

        await self.app(scope, receive, send_with_cookie)

    def _cookie_header(self, token: str) -> tuple[bytes, bytes]:
        cookie = Cookie(
            key=self.cookie,
            value=token,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )
        return b"set-cookie", cookie.to_header(header="").encode()


def _is_page(message: Any) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/html")
        for name, value in message.get("headers", [])
    )


async def check(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Raises Forbidden unless header or form repeat the token of the cookie.

    Only url-encoded forms are read: a multipart body isn't opened before its sender is known.
    """
    ours: Any = connection.scope.get("csrf_cookie")
    given = connection.headers.get(HEADER)
    if given is None and isinstance(connection, Request):
        kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _URL_ENCODED:
            given = (await connection.form()).get(FIELD)
    if (
        not ours
        or not isinstance(given, str)
        or not hmac.compare_digest(ours.encode(), given.encode())
    ):
        raise Forbidden(
            "This page was open for too long, or cookies are off, so nothing was changed. "
            "Reload the page and send it again.",
            code="csrf",
        )
