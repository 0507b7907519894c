"""What the stand-in of Instagram keeps: containers, what became of them, and comments.

A container that was published *is* the Reel: both live in one thing, so that one change makes it
public, whoever dies when.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from web.practice.ground import new_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from web.practice.ground import Ground

CONTAINER, MEDIA, COMMENT = "ig_container", "ig_media", "ig_comment"
# Source: …/instagram-graph-api/reference/ig-user/media, read 2026-11.
CONTAINER_LIFETIME = timedelta(hours=24)
MOST_CONTAINERS, MOST_POSTS = 400, 50
WINDOW = timedelta(hours=24)
FETCH = "ig.fetch"


@dataclass(frozen=True)
class Fetchable:
    """A container as the fetcher wants it."""

    id: str
    video_url: str
    status_code: str
    cover_url: str


class Containers:
    """Any thread, any process. Also the fetcher's keeper (web/practice/fetcher.py)."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground = ground
        self.folder = folder

    def create(self, account: str, form: Mapping[str, str], *, slow_s: float) -> dict[str, Any]:
        began = now()
        container: dict[str, Any] = {
            "id": new_number(),
            "account": account,
            "video_url": form.get("video_url", ""),
            "cover_url": form.get("cover_url", ""),
            "thumb_offset": form.get("thumb_offset", ""),
            "caption": form.get("caption", ""),
            "share_to_feed": form.get("share_to_feed", "true"),
            "collaborators": form.get("collaborators", ""),
            "status_code": "IN_PROGRESS",
            "status": "In progress",
            "created_at": _text(began),
            "ready_after": _text(began + timedelta(seconds=slow_s)),
            "received": 0,
            "length": 0,
            "turn": 0,  # of the requests that bring bytes, the latest
            "sha256": "",
            "media": "",
            "published_at": "",
        }
        self.ground.put(CONTAINER, container["id"], container)
        return container

    def find(self, id: str) -> dict[str, Any] | None:
        """A container as it is by now."""
        found = self.ground.get(CONTAINER, id)
        return None if found is None else as_of(found, now())

    def all(self) -> list[dict[str, Any]]:
        at = now()
        return [as_of(container, at) for container in self.ground.all(CONTAINER)]

    def published(self) -> list[dict[str, Any]]:
        """The latest first."""
        at = now()
        found = [reel for kept in self.ground.all(CONTAINER) for reel in _reels(kept, at)]
        return sorted(found, key=lambda reel: reel["published_at"], reverse=True)

    def publish(self, id: str) -> dict[str, Any] | None:
        """Make a finished container public; None when it isn't finished (any more). Of two calls
        for one container, one publishes."""

        def go(container: dict[str, Any]) -> dict[str, Any] | None:
            if as_of(container, now())["status_code"] != "FINISHED":
                return None
            return {
                **container,
                "status_code": "PUBLISHED",
                "status": "Published",
                "media": media,
                "published_at": _text(now()),
            }

        # The way from the Reel to its container; leads nowhere when it isn't published after all.
        media = new_number()
        self.ground.put(MEDIA, media, {"id": media, "container": id})
        published = self.ground.change(CONTAINER, id, go)
        if published is None:
            self.ground.remove(MEDIA, media)
        return published

    def publish_late(self, id: str, seconds: float) -> None:
        """It will be public after a while, whatever somebody does until then."""
        media = new_number()
        self.ground.put(MEDIA, media, {"id": media, "container": id})
        late = {"late_media": media, "late_at": _text(now() + timedelta(seconds=seconds))}
        self.ground.change(CONTAINER, id, lambda container: {**container, **late})

    def publish_again(self, id: str) -> dict[str, Any] | None:
        """A second Reel of a container that was published."""
        found = self.find(id)
        if found is None or found["status_code"] != "PUBLISHED":
            return None
        again = {**found, "id": new_number(), "media": new_number(), "published_at": _text(now())}
        self.ground.put(CONTAINER, again["id"], again)
        self.ground.put(MEDIA, again["media"], {"id": again["media"], "container": again["id"]})
        return again

    def use_of(self, account: str) -> tuple[int, int]:
        """Posts and containers of the account within the last 24 hours."""
        since = _text(now() - WINDOW)
        mine = [c for c in self.ground.all(CONTAINER) if c["account"] == account]
        posts = sum(c["published_at"] > since for c in mine)
        return posts, sum(c["created_at"] > since for c in mine)

    def remove(self, id: str) -> bool:
        """For the pages of the stand-in; Instagram itself has no such call."""
        found = self.ground.get(CONTAINER, id)
        self.file(id).unlink(missing_ok=True)
        if found is not None and found["media"]:
            self.ground.remove(MEDIA, found["media"])
        return self.ground.remove(CONTAINER, id)

    def tidy(self) -> None:
        """Remove the files of containers that won't become a Reel any more."""
        for container in self.all():
            over = container["status_code"] in ("EXPIRED", "ERROR")
            if over and not container["media"] and not container.get("late_media"):
                place = self.file(container["id"])
                place.unlink(missing_ok=True)
                place.with_suffix(".part").unlink(missing_ok=True)

    # As the fetcher wants it

    def file(self, media_id: str) -> Path:
        if not media_id.isdecimal():
            raise ValueError("no id of Instagram")
        return self.folder / f"{media_id}.mp4"

    def get(self, media_id: str) -> Fetchable | None:
        found = self.find(media_id)
        if found is None or not found["video_url"]:
            return None
        # Slow ones are fetched at once, and ready later.
        kept = self.ground.get(CONTAINER, media_id) or found
        return Fetchable(found["id"], found["video_url"], kept["status_code"], found["cover_url"])

    def unfetched(self) -> list[Fetchable]:
        found = [self.get(c["id"]) for c in self.all() if c["status_code"] == "IN_PROGRESS"]
        return [one for one in found if one is not None and one.status_code == "IN_PROGRESS"]

    def settle(self, media_id: str, status_code: str, status: str, **columns: Any) -> bool:
        subcode = columns.pop("error_subcode", None)
        if subcode is not None:
            # All that Instagram tells of it; the pages of the stand-in say more.
            columns["why"] = status
            status = f"Error: Media upload has failed with error code {subcode}"

        def end(container: dict[str, Any]) -> dict[str, Any] | None:
            if container["status_code"] != "IN_PROGRESS":
                return None
            return {**container, **columns, "status_code": status_code, "status": status}

        return self.ground.change(CONTAINER, media_id, end) is not None

    def take_fault(self, name: str) -> float | None:
        kind = {"fail_fetch": "break_before", "reject_file": "reject"}[name]
        return None if self.ground.take_fault(FETCH, kind) is None else 1.0


def as_of(container: dict[str, Any], at: datetime) -> dict[str, Any]:
    """What time makes of a container: slow ones still work, old ones have expired. Pure."""
    if not container["media"] and (late := _late(container, at)):
        return late
    code = container["status_code"]
    if code in ("PUBLISHED", "ERROR"):
        return container
    if container["created_at"] < _text(at - CONTAINER_LIFETIME):
        return {**container, "status_code": "EXPIRED", "status": "Expired: was not published"}
    if code == "FINISHED" and container["ready_after"] > _text(at):
        return {**container, "status_code": "IN_PROGRESS", "status": "In progress"}
    return container


def _late(container: dict[str, Any], at: datetime) -> dict[str, Any] | None:
    """The Reel that came of a call whose work took a while; None: none, or not yet."""
    if not container.get("late_media") or container["late_at"] > _text(at):
        return None
    return {
        **container,
        "status_code": "PUBLISHED",
        "status": "Published",
        "media": container["late_media"],
        "published_at": container["late_at"],
    }


def _reels(container: dict[str, Any], at: datetime) -> list[dict[str, Any]]:
    """What became of a container; two only when it was published again too early."""
    late = _late(container, at)
    return [reel for reel in (container if container["media"] else None, late) if reel is not None]


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def graph_time(text: str) -> str:
    """As the Graph API writes times: 2026-11-21T18:00:00+0000."""
    return f"{text[:19]}+0000"


def as_of_now(container: dict[str, Any]) -> dict[str, Any]:
    return as_of(container, now())
