"""Calls to the YouTube Data API for one account: what each costs is counted beside it."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from appliance.clock import now
from tasks.publish.publisher import Bucket, NeedsReconnect, RetryAt
from tasks.publish.remote import Answer, Lost, Refused, call
from tasks.publish.remotes import Service, address_of, client_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from tasks.publish.publisher import Target

Reply = Answer | Refused | RetryAt | NeedsReconnect | Lost
PACIFIC = "America/Los_Angeles"
DAY_S = 86_400.0
# Of the Google project, so all channels share them. Source:
# developers.google.com/youtube/v3/determine_quota_cost, 2026-11. A post: thumbnail, the flip of
# its status, and some looks.
BUCKETS = (
    Bucket("uploads", "Uploads", 100, DAY_S, post=1, resets=PACIFIC, shared=True),
    Bucket("units", "Calls", 10_000, DAY_S, post=110, resets=PACIFIC, shared=True),
)
# Endpoint → bucket and units. Same source. Refused calls cost, too.
COSTS = {
    "videos.insert": ("uploads", 1),
    "videos.list": ("units", 1),
    "videos.update": ("units", 50),
    "videos.delete": ("units", 50),
    "channels.list": ("units", 1),
    "playlistItems.list": ("units", 1),
    "playlistItems.insert": ("units", 50),
    "commentThreads.list": ("units", 1),
    "commentThreads.insert": ("units", 50),
    "thumbnails.set": ("units", 50),
    "captions.insert": ("units", 400),
}
V3 = "/youtube/v3"
UPLOAD_V3 = "/upload/youtube/v3"
# YouTube answers when it has stored the last byte, which takes its time with large files.
UPLOAD_TIMEOUT = httpx.Timeout(300.0, connect=10.0)
PIECE_BYTES = 1 << 20


class Api:
    """The token goes in a header, never into an address: those end up in logs."""

    def __init__(self, settings: Settings, target: Target) -> None:
        self._settings = settings
        self._target = target
        self._token = str(target.credentials.get("access_token", ""))

    def get(self, endpoint: str, **params: str) -> Reply:
        return self._call(endpoint, "GET", _path(endpoint), params=params)

    def write(self, endpoint: str, method: str, part: str, body: dict[str, Any]) -> Reply:
        """``part`` names each part of the body, and no other."""
        return self._call(endpoint, method, _path(endpoint), params={"part": part}, json=body)

    def delete_video(self, id: str) -> Reply:
        return self._call("videos.delete", "DELETE", f"{V3}/videos", params={"id": id})

    # Uploads

    def open_session(self, body: dict[str, Any], *, notify: bool) -> Reply:
        """Begin an upload; ``session_of`` the answer. It makes nothing that anybody sees."""
        media = self._target.media
        video = media.content_type.startswith("video/")
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "X-Upload-Content-Length": str(media.size_bytes),
            "X-Upload-Content-Type": media.content_type if video else "application/octet-stream",
        }
        params = {
            "uploadType": "resumable",
            "part": ",".join(body),
            "notifySubscribers": "true" if notify else "false",
        }
        content = json.dumps(body).encode()
        return self._call(
            "videos.insert", "POST", f"{UPLOAD_V3}/videos", params=params, headers=headers,
            content=content,
        )  # fmt: skip

    def session_of(self, answer: Answer) -> str | None:
        """The address that the bytes go to; None for one that our token must not be sent to."""
        address = str(answer.headers.get("location", ""))
        base = address_of(self._settings, Service.YOUTUBE_API, practice=self._target.practice)
        there, ours = urlsplit(address), urlsplit(base)
        if (there.scheme, there.netloc) == (ours.scheme, ours.netloc):
            return address
        host = there.hostname or ""
        return address if there.scheme == "https" and host.endswith(".googleapis.com") else None

    def ask_session(self, session: str) -> Reply:
        """How much of it is there? 308 with Range, the video, or 404."""
        total = self._target.media.size_bytes
        headers = {"Content-Range": f"bytes */{total}", "Content-Length": "0"}
        return self._call("", "PUT", session, headers=headers)

    def send_bytes(self, session: str, file: Path, offset: int) -> Reply:
        """All that is left, in one request, streamed from disk. Raises OSError."""
        total = self._target.media.size_bytes
        headers = {
            "Content-Type": self._target.media.content_type,
            # Without it httpx would send in chunks, whose end nobody can tell from a cut.
            "Content-Length": str(total - offset),
        }
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{total - 1}/{total}"
        return self._call(
            "", "PUT", session, headers=headers, content=_pieces(file, offset, total),
            timeout=UPLOAD_TIMEOUT,
        )  # fmt: skip

    def set_thumbnail(self, id: str, picture: Path) -> Reply:
        image = picture.read_bytes()
        kind = "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"
        return self._call(
            "thumbnails.set", "POST", f"{UPLOAD_V3}/thumbnails/set",
            params={"videoId": id, "uploadType": "media"}, headers={"Content-Type": kind},
            content=image,
        )  # fmt: skip

    def insert_captions(self, id: str, text: str, language: str) -> Reply:
        snippet = {"videoId": id, "language": language, "name": "", "isDraft": False}
        boundary = f"part-{secrets.token_hex(16)}"
        return self._call(
            "captions.insert", "POST", f"{UPLOAD_V3}/captions",
            params={"part": "snippet", "uploadType": "multipart"},
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            content=_related(boundary, {"snippet": snippet}, text),
        )  # fmt: skip

    def _call(
        self,
        endpoint: str,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        **request: Any,
    ) -> Reply:
        if not self._token:
            return NeedsReconnect("There is no sign-in for this channel.")
        if endpoint in COSTS:
            self._target.spend(*COSTS[endpoint])
        headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        options = {"timeout": timeout} if timeout else {}
        with client_for(
            self._settings, Service.YOUTUBE_API, practice=self._target.practice, **options
        ) as client:
            return call(client, method, path, now=now(), by_table=True, headers=headers, **request)


def items_of(answer: Answer) -> list[dict[str, Any]]:
    items = answer.data.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def arrived_bytes(refused: Refused) -> int | None:
    """How much a session holds, of a 308: without ``Range`` nothing. None: another refusal."""
    if refused.status != 308:
        return None
    said = str(refused.headers.get("range", ""))
    _, _, last = said.rpartition("-")
    return int(last) + 1 if last.isdecimal() else 0


def _path(endpoint: str) -> str:
    return f"{V3}/{endpoint.partition('.')[0]}"


def _pieces(file: Path, offset: int, end: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(offset)
        while offset < end and (piece := source.read(min(PIECE_BYTES, end - offset))):
            offset += len(piece)
            yield piece


def _related(boundary: str, meta: dict[str, Any], text: str) -> bytes:
    """Source: RFC 2387; developers.google.com/youtube/v3/guides/uploading_a_video."""
    lines = [
        f"--{boundary}",
        "Content-Type: application/json; charset=UTF-8",
        "",
        json.dumps(meta),
        f"--{boundary}",
        "Content-Type: text/vtt",
        "",
        text,
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode()
