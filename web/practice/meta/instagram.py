"""The Instagram part of the stand-in of Meta: what its calls do, without HTTP.

Source of shapes, limits and errors: platforms.md §3, which cites
developers.facebook.com/docs/instagram-platform. As there: a container is promised before anybody
has looked at the video; texts are fixed with it; one container becomes at most one Reel.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from web.practice.ground import new_number
from web.practice.meta.instagram_store import (
    COMMENT,
    FETCH,
    MOST_CONTAINERS,
    MOST_POSTS,
    Containers,
    graph_time,
)
from web.practice.meta.refusal import Refusal
from web.practice.mp4 import complaint, walk

if TYPE_CHECKING:
    from pathlib import Path

    from web.practice.ground import Ground
    from web.practice.meta.instagram_fetch import InstagramFetcher

# Names of calls (for faults and notes) → in words.
ENDPOINTS = {
    "ig.create": "Instagram: make a container",
    "ig.bytes": "Instagram: take the bytes",
    "ig.fetch": "Instagram: fetch and work on the video",
    "ig.container": "Instagram: look at a container",
    "ig.publish": "Instagram: publish a container",
    "ig.media": "Instagram: look at a Reel",
    "ig.list": "Instagram: list the Reels",
    "ig.limit": "Instagram: how many posts today",
    "ig.comments": "Instagram: list comments",
    "ig.comment": "Instagram: take a comment",
    "ig.insights": "Instagram: count views",
}
# HTTP is always 400; (code, subcode, Meta's words).
NOT_FOUND = (100, 33, "Unsupported get request. Object with ID does not exist.")
MEDIA_NOT_FOUND = (24, 2207006, "The media can't be found.")
NOT_READY = (9007, 2207027, "The media is not ready for publishing.")
TOO_MANY_TODAY = (9, 2207042, "The number of posts for today is reached.")
CAPTION_TOO_LONG = (36004, 2207010, "The caption is too long.")
TOO_MANY_TAGS = (100, 2207040, "Too many tags in the caption.")
UNFIT = 2207026
MAX_CAPTION, MAX_HASHTAGS, MAX_MENTIONS, MAX_COLLABORATORS = 2200, 30, 20, 3
# Source: …/ig-user/media, read 2026-11. Not 300 MiB.
MAX_BYTES = 300_000_000


class Instagram:
    """One for all accounts; ``account`` is whose token calls."""

    def __init__(self, ground: Ground, folder: Path, base: str) -> None:
        self.ground = ground
        self.containers = Containers(ground, folder)
        self.base = base
        self.fetcher: InstagramFetcher | None = None

    # Containers

    def create(self, account: str, form: dict[str, str]) -> dict[str, Any]:
        _check_form(form)
        if self.containers.use_of(account)[1] >= MOST_CONTAINERS:
            raise Refusal(*TOO_MANY_TODAY)
        slow = self.ground.take_fault(FETCH, "slow")
        container = self.containers.create(
            account, form, slow_s=float(slow.value or 5) if slow else 0.0
        )
        if form.get("video_url"):
            if self.fetcher is not None:
                self.fetcher.fetch_soon(container["id"])
            return {"id": container["id"]}
        return {"id": container["id"], "uri": f"{self.base}/ig-api-upload/v0/{container['id']}"}

    def publish(self, account: str, form: dict[str, str]) -> dict[str, Any]:
        found = self._container(account, form.get("creation_id", ""))
        if found["status_code"] in ("EXPIRED", "ERROR", "PUBLISHED"):
            # UNVERIFIED what Instagram says of one that is published already.
            raise Refusal(*MEDIA_NOT_FOUND)
        if self.containers.use_of(account)[0] >= MOST_POSTS:
            raise Refusal(*TOO_MANY_TODAY)
        published = self.containers.publish(found["id"])
        if published is None:
            raise Refusal(*NOT_READY)
        return {"id": published["media"]}

    def use(self, account: str) -> dict[str, Any]:
        used = self.containers.use_of(account)[0]
        config = {"quota_total": MOST_POSTS, "quota_duration": 86400}
        return {"data": [{"quota_usage": used, "config": config}]}

    def reels(self, account: str, fields: str, limit: str) -> dict[str, Any]:
        most = int(limit) if limit.isdecimal() else 25
        mine = [c for c in self.containers.published() if c["account"] == account]
        return {"data": [_only(self._shape(c), fields) for c in mine[:most]]}

    # Nodes

    def look_at_container(self, account: str, id: str, fields: str) -> dict[str, Any]:
        found = self._container(account, id)
        if found["media"] and self.ground.take_fault("ig.container", "blind") is not None:
            return {"id": id, "status_code": "UNKNOWN"}
        phase = "complete" if found["received"] >= found["length"] > 0 else "in_progress"
        shape = {
            "id": id,
            "status_code": found["status_code"],
            "status": found["status"],
            "video_status": {
                "uploading_phase": {"status": phase, "bytes_transferred": found["received"]}
            },
        }
        return _only(shape, fields)

    def look_at_media(self, account: str, id: str, fields: str) -> dict[str, Any]:
        return _only(self._shape(self._media(account, id)), fields)

    def is_container(self, id: str) -> bool:
        return self.containers.find(id) is not None

    def is_media(self, id: str) -> bool:
        return self.containers.find_media(id) is not None

    def insights(self, account: str, id: str) -> dict[str, Any]:
        self._media(account, id)
        views = sum(ord(digit) for digit in id)  # some number, the same each time
        return {"data": [{"name": "views", "period": "lifetime", "values": [{"value": views}]}]}

    def comments(self, account: str, id: str) -> dict[str, Any]:
        self._media(account, id)
        found = [c for c in self.ground.all(COMMENT) if c["media"] == id]
        return {"data": [{"id": c["id"], "text": c["text"]} for c in reversed(found)]}

    def take_comment(self, account: str, id: str, form: dict[str, str]) -> dict[str, Any]:
        self._media(account, id)
        if not (text := form.get("message", "").strip()):
            raise Refusal(100, None, "The parameter message is required.")
        comment = {"id": new_number(), "media": id, "text": text}
        self.ground.put(COMMENT, comment["id"], comment)
        return {"id": comment["id"]}

    # Bytes

    def arrived(self, id: str) -> None:
        """All bytes of a container are in its file: look into it, as after a fetch."""
        place = self.containers.file(id)
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        reject = self.ground.take_fault(FETCH, "reject") is not None
        if reject or complaint_of(place) is not None:
            self.containers.settle(id, "ERROR", "", error_subcode=UNFIT)
        else:
            size = place.stat().st_size
            self.containers.settle(id, "FINISHED", "Finished", sha256=digest, size_bytes=size)

    def _container(self, account: str, id: str) -> dict[str, Any]:
        found = self.containers.find(id)
        if found is None or found["account"] != account:
            raise Refusal(*NOT_FOUND)
        return found

    def _media(self, account: str, id: str) -> dict[str, Any]:
        found = self.containers.find_media(id)
        if found is None or found["account"] != account:
            raise Refusal(*NOT_FOUND)
        return found

    def _shape(self, container: dict[str, Any]) -> dict[str, Any]:
        comments = [c for c in self.ground.all(COMMENT) if c["media"] == container["media"]]
        return {
            "id": container["media"],
            "caption": container["caption"],
            "media_type": "VIDEO",
            "media_product_type": "REELS",
            "permalink": f"{self.base}/reel/{container['media']}/",
            "timestamp": graph_time(container["published_at"]),
            "is_shared_to_feed": container["share_to_feed"] == "true",
            "like_count": int(container["media"]) % 7,
            "comments_count": len(comments),
        }


def _check_form(form: dict[str, str]) -> None:
    """Raises Refusal for what Instagram would refuse at once."""
    if form.get("media_type") != "REELS":
        raise Refusal(100, 2207023, "The media type is unknown.")
    by_url, by_bytes = bool(form.get("video_url")), form.get("upload_type") == "resumable"
    if by_url == by_bytes:
        raise Refusal(100, None, "The parameter video_url is required.")
    caption = form.get("caption", "")
    if len(caption.encode("utf-16-le")) // 2 > MAX_CAPTION:
        raise Refusal(*CAPTION_TOO_LONG)
    words = caption.split()
    hashtags = sum(word.startswith("#") and len(word) > 1 for word in words)
    mentions = sum(word.startswith("@") and len(word) > 1 for word in words)
    if hashtags > MAX_HASHTAGS or mentions > MAX_MENTIONS:
        raise Refusal(*TOO_MANY_TAGS)
    if form.get("share_to_feed", "true") not in ("true", "false"):
        raise Refusal(100, None, "(#100) Param share_to_feed must be a boolean.")
    if (offset := form.get("thumb_offset", "0")) and not offset.isdecimal():
        raise Refusal(100, None, "(#100) Param thumb_offset must be an integer.")
    if said := form.get("collaborators"):
        try:
            names = json.loads(said)
        except ValueError:
            names = None
        if not isinstance(names, list) or len(names) > MAX_COLLABORATORS:
            raise Refusal(100, None, "(#100) Param collaborators must be an array of at most 3.")


def complaint_of(place: Path) -> str | None:
    """Why the file isn't taken, by its boxes; None when it is."""
    with place.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        try:
            return complaint(walk(read, place.stat().st_size))
        except ValueError as exc:
            return str(exc)


def _only(shape: dict[str, Any], fields: str) -> dict[str, Any]:
    wanted = {"id", *fields.split(",")} if fields else {"id"}
    return {name: value for name, value in shape.items() if name in wanted}
