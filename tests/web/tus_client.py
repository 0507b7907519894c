"""Requests of tus 1.0.0 as tests write them, and what they look at afterwards."""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from appliance.models import Video

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from storage.layout import Layout

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
BODY = os.urandom(300_000)


def encoded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def post(client: httpx.Client, body: Any = b"", **headers: str) -> httpx.Response:
    """A creation; underscores in the names of headers stand for hyphens."""
    return client.post("/files", headers=TUS | named(headers), content=body)


def create(client: httpx.Client, length: int, **headers: str) -> httpx.Response:
    return post(client, Upload_Length=str(length), **headers)


def made(client: httpx.Client, length: int = len(BODY), **headers: str) -> str:
    """The address of a new upload."""
    return location_of(create(client, length, **headers))


def location_of(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def patch(
    client: httpx.Client, location: str, offset: int, body: Any, **headers: str
) -> httpx.Response:
    fixed = TUS | BYTES | {"Upload-Offset": str(offset)}
    return client.patch(location, headers=fixed | named(headers), content=body)


def head(client: httpx.Client, location: str) -> httpx.Response:
    return client.head(location, headers=TUS)


def delete(client: httpx.Client, location: str) -> httpx.Response:
    return client.delete(location, headers=TUS)


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def offset_of(client: httpx.Client, location: str) -> int:
    answer = head(client, location)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def original(layout: Layout) -> bytes:
    """The bytes of the only video."""
    (video,) = Video.select()
    return layout.original(video.public_id).read_bytes()


def upload_file(layout: Layout) -> Path:
    """The file of the only open upload."""
    (file,) = layout.uploads.iterdir()
    return file


def raw_patch(
    url: str, location: str, offset: int, length: int, body: bytes, *more: str
) -> socket.socket:
    """Start a PATCH of ``length`` bytes, send only ``body``, and keep the connection."""
    line = f"Upload-Offset: {offset}"
    return raw_request(url, f"PATCH {location}", length, body, line, *more)


def raw_request(url: str, what: str, length: int, body: bytes, *more: str) -> socket.socket:
    """As ``raw_patch``, for any method and path; ``more``: lines of the head."""
    parts = urlsplit(url)
    connection = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
    lines = [
        f"{what} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Tus-Resumable: 1.0.0",
        "Content-Type: application/offset+octet-stream",
        f"Content-Length: {length}",
        *more,
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection
