"""Headers that every answer carries, errors and unknown addresses included.

What a route sets itself stands (media files bring a stricter policy of their own).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Send

# No inline script or style, nothing from elsewhere, in no frame.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
PERMISSIONS_POLICY = "display-capture=(self), microphone=(self), camera=()"
# Pages whose address is itself a secret; it must not travel in a Referer.
CAPABILITY_PAGES = ("/setup/", "/invite/", "/reset/", "/public/", "/files/", "/upload/", "/send/")
# The router takes several slashes for one.
_SLASHES = re.compile("/+")
_ONE_YEAR_S = 31_536_000


class SecurityHeaders:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.https = https

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = headers_for(scope["path"], https=self.https)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                present = {name.lower() for name, _ in headers}
                headers += [pair for pair in wanted if pair[0] not in present]
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_with_headers)


def headers_for(path: str, *, https: bool) -> list[tuple[bytes, bytes]]:
    """Names in lower case, as ASGI wants them."""
    secret = _SLASHES.sub("/", path).startswith(CAPABILITY_PAGES)
    values = {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer" if secret else "same-origin",
        "permissions-policy": PERMISSIONS_POLICY,
        "cross-origin-opener-policy": "same-origin",
    }
    if secret:
        # A link that somebody has put on a web page must not end up in a search.
        values["x-robots-tag"] = "noindex, nofollow"
    if https:
        values["strict-transport-security"] = f"max-age={_ONE_YEAR_S}; includeSubDomains"
    if not path.startswith(("/static/", "/media/", "/public/")):
        # Pages of one person must not stay in a shared cache, nor come back after signing out.
        values["cache-control"] = "no-store"
    return [(name.encode(), value.encode()) for name, value in values.items()]
