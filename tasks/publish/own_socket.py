"""Talk to our own web process over the socket that it listens on, as from outside.

The practice platform never leaves the box: both legs (our publisher → it, its fetcher → our
public route) use the public addresses, but the connection goes straight to the own socket. Paths,
headers and ranges are those that a platform outside would send.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from appliance.models import Heartbeat
from tasks.publish.lease_guard import before_request

if TYPE_CHECKING:
    import ssl

    from appliance.settings import Settings

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
# Listening on all addresses means that loopback answers.
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}


@cache
def certificates() -> ssl.SSLContext:
    """Whom to trust, read once: reading it for each client takes 25 ms, a call itself 2."""
    return httpx.create_ssl_context()


def listening_address(settings: Settings) -> str:
    """Where the web process listens now, in the form of the setting ``listen``.

    The setting, unless that leaves the port open (0): then what the web process has written on
    its heartbeat. Needs an open connection.
    """
    if settings.listen.startswith("unix:") or not settings.listen.endswith(":0"):
        return settings.listen
    beat = Heartbeat.get_or_none(Heartbeat.process == "web")
    return str(beat.info.get("listen", settings.listen)) if beat else settings.listen


class _OwnSocket(httpx.BaseTransport):
    """Sends every request to one address; the Host header stays what the outside sees."""

    def __init__(self, address: str) -> None:
        self._path = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._inner = httpx.HTTPTransport(uds=self._path, verify=certificates())
        self._netloc = "localhost" if self._path else _reachable(address)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        direct = httpx.URL(f"http://{self._netloc}").join(request.url.raw_path.decode("ascii"))
        inner = httpx.Request(
            request.method,
            direct,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(inner)

    def close(self) -> None:
        self._inner.close()


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{_ANY.get(host, host)}:{port}"


def own_socket_client(settings: Settings, address: str, **options: Any) -> httpx.Client:
    """A client whose relative addresses are those of ``settings.base_url``.

    ``address``: `listening_address`. Follows no redirects, asks no proxy.
    """
    return httpx.Client(
        base_url=settings.base_url,
        transport=_OwnSocket(address),
        timeout=options.pop("timeout", TIMEOUT),
        trust_env=False,
        event_hooks={"request": [before_request]},
        **options,
    )
