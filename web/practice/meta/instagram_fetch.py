"""Instagram's fetcher: the strict one, and for the cover as well."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx

from tasks.publish.own_socket import own_socket_client
from web.practice.fetcher import AGENT, UNFETCHABLE, Fetcher, Refusal
from web.practice.meta.instagram_store import CONTAINER, Containers

if TYPE_CHECKING:
    from appliance.settings import Settings
    from web.practice.fetcher import Tally, Wanted

# Source: …/instagram-graph-api/reference/ig-user/media, read 2026-11: "cover photo: JPEG, 8 MB".
COVER_BYTES = 8_000_000


class InstagramFetcher(Fetcher):
    def __init__(self, settings: Settings, containers: Containers, address: str) -> None:
        super().__init__(settings, containers, address)
        self._containers = containers

    def _fetch(self, media: Wanted, tally: Tally) -> int:
        size = super()._fetch(media, tally)
        found = self._containers.get(media.id)
        if found is not None and found.cover_url:
            self.fetch_cover(media.id, found.cover_url)
        return size

    def fetch_cover(self, container_id: str, url: str) -> None:
        """Raises Refusal."""
        base = self._settings.links_url
        if not url.isascii() or not url.startswith(f"{base}/"):
            raise Refusal("The stand-in only fetches from this box.", UNFETCHABLE)
        with own_socket_client(
            self._settings, self._address, headers={"User-Agent": AGENT}
        ) as client:
            try:
                with client.stream("GET", url.removeprefix(base)) as answer:
                    said = cover_digest(answer)
            except httpx.TransportError as exc:
                raise Refusal("The cover can't be reached.", UNFETCHABLE) from exc
        self._containers.ground.change(
            CONTAINER, container_id, lambda container: {**container, "cover_sha256": said}
        )


def cover_digest(answer: httpx.Response) -> str:
    """SHA-256, of no more than a cover may have. Raises Refusal."""
    if answer.status_code != 200 or answer.headers.get("content-type", "") != "image/jpeg":
        raise Refusal("The cover's link leads to no JPEG.", UNFETCHABLE)
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and int(length) > COVER_BYTES:
        raise Refusal("The cover is too large.", UNFETCHABLE)
    digest, came = hashlib.sha256(), 0
    for piece in answer.iter_bytes():
        came += len(piece)
        if came > COVER_BYTES:
            raise Refusal("The cover is too large.", UNFETCHABLE)
        digest.update(piece)
    return digest.hexdigest()
