"""Requests of the IETF draft as tests write them, and what they look at afterwards."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from appliance.models import Job, Video
from tests.web.tus_client import named

if TYPE_CHECKING:
    import httpx

    from storage.layout import Layout

DRAFT = {"Upload-Draft-Interop-Version": "8"}
PARTIAL = {"Content-Type": "application/partial-upload"}
BODY = os.urandom(300_000)
TYPES = "https://iana.org/assignments/http-problem-types#"


def post(client: httpx.Client, body: Any = b"", **headers: str) -> httpx.Response:
    """A creation; underscores in the names of headers stand for hyphens."""
    return client.post("/files", headers=DRAFT | named(headers), content=body)


def made(client: httpx.Client, body: bytes = b"", **headers: str) -> str:
    """The address of a new upload that isn't complete."""
    answer = post(client, body, **{"Upload_Complete": "?0", **headers})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def patch(
    client: httpx.Client,
    location: str,
    offset: int | str,
    body: Any,
    complete: str = "?0",
    **headers: str,
) -> httpx.Response:
    fixed = DRAFT | PARTIAL | {"Upload-Offset": str(offset), "Upload-Complete": complete}
    return client.patch(location, headers=fixed | named(headers), content=body)


def head(client: httpx.Client, location: str) -> httpx.Response:
    return client.head(location, headers=DRAFT)


def state(client: httpx.Client, location: str) -> tuple[str, int]:
    """Completeness and offset."""
    answer = head(client, location)
    assert answer.status_code == 204, answer.status_code
    return answer.headers["Upload-Complete"], int(answer.headers["Upload-Offset"])


def original(box: Layout) -> bytes:
    """The bytes of the only video."""
    (video,) = Video.select()
    return box.original(video.public_id).read_bytes()


def digest(body: bytes, algorithm: str = "sha-256") -> str:
    """As a digest field says it."""
    found = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{base64.b64encode(found).decode()}:"


def raw(url: str, method: str, target: str, lines: list[str], body: bytes = b"") -> socket.socket:
    """Send a request by hand, and keep the connection."""
    parts = urlsplit(url)
    connection = socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20)
    head = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", *lines, "", ""]
    connection.sendall("\r\n".join(head).encode("latin-1") + body)
    return connection


def partial(offset: int, size: int, complete: str = "?0") -> list[str]:
    """The header lines of an append, for ``raw``."""
    return [
        "Upload-Draft-Interop-Version: 8",
        "Content-Type: application/partial-upload",
        f"Upload-Offset: {offset}",
        f"Upload-Complete: {complete}",
        f"Content-Length: {size}",
    ]


def probes() -> int:
    """Jobs that whole files get; others may look into growing ones."""
    return int(Job.select().where(Job.kind == "probe").count())
