"""Whether a web process does its work: asked from outside, over the socket that it listens on."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import httpx

from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER_S = 10.0
_BETWEEN_S = 0.1
_HOPS = 3
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+)"')


class Unwell(ApplianceError):
    """The web process does not do its work."""

    code = "unwell"


def check_web(listen: str, deadline_s: float) -> None:
    """It lives, shows the sign-in page, and all that this page is made of. Raises Unwell."""
    with _client(listen) as client:
        _until(deadline_s, lambda: _get(client, "/health/live"))
        page = _page(client, "/sign-in")
        assets = sorted(set(_ASSET.findall(page)))
        if not assets:
            raise Unwell("The sign-in page comes without its style.")
        for path in assets:
            _get(client, path)


def is_ready(listen: str) -> bool:
    """``/health/ready``, asked once."""
    try:
        with _client(listen) as client:
            return client.get("/health/ready").status_code == 200
    except httpx.HTTPError:
        return False


def _client(listen: str) -> httpx.Client:
    if listen.startswith("unix:"):
        transport = httpx.HTTPTransport(uds=listen.removeprefix("unix:"))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=_ANSWER_S)
    return httpx.Client(base_url=f"http://{listen}", timeout=_ANSWER_S, trust_env=False)


def _until(deadline_s: float, ask: Callable[[], object]) -> None:
    ends = time.monotonic() + deadline_s
    while True:
        try:
            ask()
            return
        except Unwell:
            if time.monotonic() >= ends:
                raise
        time.sleep(_BETWEEN_S)


def _get(client: httpx.Client, path: str) -> httpx.Response:
    try:
        answer = client.get(path)
    except httpx.HTTPError as exc:
        raise Unwell(f"{path} is not answered: {exc}.") from exc
    if answer.status_code >= 400:
        raise Unwell(f"{path} is answered with {answer.status_code}.")
    return answer


def _page(client: httpx.Client, path: str) -> str:
    """The page at ``path``; where it leads to when the box has no account yet."""
    for _ in range(_HOPS):
        answer = _get(client, path)
        if not answer.is_redirect:
            return answer.text
        path = httpx.URL(answer.headers["Location"]).raw_path.decode()
    raise Unwell("The sign-in page leads from page to page.")
