"""A client of the IETF draft for resumable uploads, as its “Client Behavior” sections ask.

Careful creation (this box can't send interim answers), then appends; after a cut, and after 5xx,
it asks for the offset and goes on; a 409 with an offset is gone on with as well, since its words
recommend that; other 4xx and answers with ``Upload-Complete: ?1`` are the last word.
Source: draft-ietf-httpbis-resumable-upload, interop version 8.
"""

from __future__ import annotations

import http.client
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INTEROP_VERSION = "8"


class GaveUp(Exception):
    """The server said no, or never answered."""


class DraftClient:
    """Sends one file to ``target``. ``part_bytes`` None: all the rest in each request.

    ``url``: of the upload resource, once there is one. ``answer``: the last one, status and body.
    """

    def __init__(
        self,
        target: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        part_bytes: int | None = None,
        patience_s: float = 30.0,
    ) -> None:
        self.target = target
        self.data = data
        self.headers = dict(headers or {})
        self.part_bytes = part_bytes
        self.patience_s = patience_s
        self.url: str | None = None
        self.offset = 0
        self.acknowledged = 0
        self.cuts = 0
        self.answer: tuple[int, bytes] = (0, b"")

    def create(self) -> None:
        """Careful upload creation: no content, only the address and the limits."""
        status, headers, _ = self._again_while_cut(
            lambda: self._request(
                "POST",
                self.target,
                {"Upload-Complete": "?0", "Upload-Length": str(len(self.data)), **self.headers},
            )
        )
        if status != 201 or "location" not in headers:
            raise GaveUp(f"creation was answered {status}")
        self._respect_limits(headers)
        self.url = urljoin(self.target, headers["location"])

    def send(self) -> tuple[int, bytes]:
        """Create if need be, and append until the end; the final answer's status and body."""
        if self.url is None:
            self.create()
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            try:
                if self._append():
                    return self.answer
            except (OSError, http.client.HTTPException):
                self.cuts += 1
                self._retrieve()
        raise GaveUp("it took too long")

    def _append(self) -> bool:
        """One part. True: that was the end."""
        rest = len(self.data) - self.offset
        size = rest if self.part_bytes is None else min(rest, self.part_bytes)
        part = self.data[self.offset : self.offset + size]
        status, headers, body = self._request(
            "PATCH",
            self.url or "",
            {
                "Content-Type": "application/partial-upload",
                "Upload-Offset": str(self.offset),
                "Upload-Complete": "?1" if size == rest else "?0",
            },
            part,
        )
        self.answer = status, body
        if headers.get("upload-complete") == "?1":
            return True
        if 200 <= status < 300:
            self.offset += size
            self.acknowledged = self.offset
        elif status == 409 and "upload-offset" in headers:
            self._go_to(int(headers["upload-offset"]))
        elif status in (408, 423, 429) or status >= 500:
            self._retrieve()
        else:
            raise GaveUp(f"append was answered {status}: {body.decode(errors='replace')}")
        return False

    def _retrieve(self) -> None:
        """Ask where to go on; also whether it is over, whose answer an empty append brings."""
        status, headers, _ = self._again_while_cut(
            lambda: self._request("HEAD", self.url or "", {})
        )
        if not 200 <= status < 300:
            raise GaveUp(f"retrieval was answered {status}")
        self._go_to(int(headers["upload-offset"]))

    def _go_to(self, offset: int) -> None:
        """“The offset MUST NOT decrease”: what was acknowledged stays acknowledged."""
        if not self.acknowledged <= offset <= len(self.data):
            raise GaveUp(f"offset {offset} after {self.acknowledged} had been acknowledged")
        self.offset = self.acknowledged = offset

    def _respect_limits(self, headers: Mapping[str, str]) -> None:
        found = re.search(r"(?:^|, *)max-size=([0-9]+)", headers.get("upload-limit", ""))
        if found and len(self.data) > int(found[1]):
            raise GaveUp(f"at most {found[1]} bytes are taken")

    def _again_while_cut(
        self, ask: Callable[[], tuple[int, dict[str, str], bytes]]
    ) -> tuple[int, dict[str, str], bytes]:
        """“MAY retry” after no answer at all, and after 5xx."""
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                answer = ask()
                if answer[0] < 500 and answer[0] != 423:
                    return answer
            except (OSError, http.client.HTTPException):
                self.cuts += 1
            if time.monotonic() > deadline:
                raise GaveUp("no answer")
            time.sleep(0.02)  # a client's manners: it doesn't hammer a server that is away

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            connection.request(
                method,
                parts.path,
                body,
                {"Upload-Draft-Interop-Version": INTEROP_VERSION, **headers},
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()
