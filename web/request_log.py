"""One line for each request, with an id that error pages quote; no secrets, nothing forged."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from appliance.ids import new_id
from appliance.logs import about
from appliance.metrics import count_request

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Send

log = logging.getLogger("appliance.web")

# The part after these is a capability: whoever reads it in a log could use it.
# The router takes several slashes for one.
_CAPABILITY = re.compile(r"^/+(files|public|setup|invite|reset|upload|send)/+[^/]+")
_HARMLESS = re.compile(r"[^A-Za-z0-9/_.~!$&'()*+,:;@-]")


def loggable_path(path: str) -> str:
    """``path`` without its secret part, percent-escaped so that it stays one word of one line."""
    return _HARMLESS.sub(_escape, _CAPABILITY.sub(r"/\1/…", path))[:300]


def _escape(match: re.Match[str]) -> str:
    """Our own mark of something left out stays; all else becomes %XX."""
    if match[0] == "…":
        return match[0]
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))


# What is answered before routes are looked for.
_EARLY = {"files": "/files", "public": "/public/{token}/{name}"}


def _route(scope: Any, path: str) -> str | None:
    """The template that the path follows; None: nobody knows such an address."""
    return scope.get("path_template") or _EARLY.get(path.lstrip("/").partition("/")[0])


class RequestLog:
    """ASGI middleware, the outermost: names the request and says how it went.

    The query is never logged: searches are private, and addresses may carry a way back.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = new_id()
        scope["request_id"] = request_id
        path = scope["path"]  # now: a mount cuts its own prefix off in place, and the mark with it
        started = time.monotonic()
        status = 0
        sent_bytes = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                ]
            elif message["type"] == "http.response.body":
                sent_bytes += len(message.get("body", b""))
            await send(message)

        with about(request_id=request_id):
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                took_s = time.monotonic() - started
                count_request(scope["method"], _route(scope, path), status, took_s)
                found = scope.get("principal")
                log.info(
                    "request id=%s method=%s path=%s status=%s ms=%d bytes=%d user=%s",
                    request_id,
                    scope["method"],
                    loggable_path(path),
                    status or "none",
                    took_s * 1000,
                    sent_bytes,
                    found.user.public_id if found else "-",
                )
