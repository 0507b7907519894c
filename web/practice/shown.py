"""What the stand-ins of real platforms received, in one shape for the pages.

Each platform keeps its own kind of thing; here is what people look at: title, state, file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from web.practice.google.resources import as_of_now, shape
from web.practice.meta import people
from web.practice.meta.video_state import as_of, is_public
from web.practice.meta.videos import remove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from litestar.datastructures import State


@dataclass(frozen=True)
class Shown:
    """``id``: as the appliance knows it, once it is posted; "" before that. ``account``: whose
    channel or page, in words. ``note``: what the stand-in has to say about it."""

    id: str
    account: str
    title: str
    text: str
    tone: str
    icon: str
    word: str
    note: str
    at: datetime
    size_bytes: int
    sha256: str
    file: Path | None
    remove: Callable[[], object]
    other_id: str = ""
    """By which the appliance may know it, too: Instagram doesn't always say what became of it."""

    def is_called(self, id: str) -> bool:
        return bool(id) and id in (self.id, self.other_id)


def received(platform: str, state: State) -> list[Shown]:
    """What is on the stand-in of ``platform``, the newest first. ``state``: of the app."""
    return _READERS[platform](state) if platform in _READERS else []


def _youtube(state: State) -> list[Shown]:
    google = state.google
    channels = {row["id"]: row["title"] for row in google.ground.all("channel")}

    def one(kept: dict[str, Any]) -> Shown:
        video = as_of_now(kept)
        told = shape(kept, ["status"])["status"]
        tone, icon, word = _youtube_state(told, locked=bool(video.get("locked")))

        def take_away() -> None:
            google.ground.remove("video", video["id"])
            google.file(video["id"]).unlink(missing_ok=True)

        return Shown(
            id=video["id"],
            account=channels.get(video["channel"], video["channel"]),
            title=video["snippet"].get("title", ""),
            text=video["snippet"].get("description", ""),
            tone=tone,
            icon=icon,
            word=word,
            note=told.get("failureReason") or told.get("rejectionReason") or "",
            at=datetime.fromisoformat(video["uploaded_at"]),
            size_bytes=video["size_bytes"],
            sha256=video["sha256"],
            file=google.file(video["id"]),
            remove=take_away,
        )

    return [one(video) for video in reversed(google.ground.all("video"))]


def _youtube_state(status: dict[str, Any], *, locked: bool) -> tuple[str, str, str]:
    if status["uploadStatus"] in ("failed", "rejected"):
        return "bad", "alert", "Rejected"
    if status["uploadStatus"] == "uploaded":
        return "info", "spinner", "Processing"
    if status["privacyStatus"] == "public":
        return "ok", "check", "Public"
    if locked:
        return "warn", "lock", "Locked as private"
    if status.get("publishAt"):
        return "live", "calendar", "Held until its time"
    return "neutral", "lock", status["privacyStatus"].capitalize()


def _facebook(state: State) -> list[Shown]:
    meta = state.meta
    pages = {row["id"]: row["name"] for row in meta.ground.all("page")}

    def one(kept: dict[str, Any]) -> Shown:
        video = as_of(kept, now())
        tone, icon, word = _facebook_state(video)
        return Shown(
            id=video["id"],
            account=pages.get(video["page"], video["page"]),
            title=video["title"] or video["description"].partition("\n")[0],
            text=video["description"] if video["title"] else "",
            tone=tone,
            icon=icon,
            word=word,
            note=video["error"] or "",
            at=datetime.fromisoformat(video["created_at"]),
            size_bytes=video["offset"],
            sha256=video["sha256"],
            file=meta.file(video["id"]),
            remove=lambda: remove(meta, video["id"]),
        )

    return [one(video) for video in reversed(meta.ground.all("video"))]


def _facebook_state(video: dict[str, Any]) -> tuple[str, str, str]:
    reel = video["kind"] == "reel"
    if video["finished_at"] and video["error"]:
        return "bad", "alert", "Rejected"
    if is_public(video):
        return "ok", "check", "Public Reel" if reel else "Public video"
    if not video["finished_at"]:
        return "neutral", "upload", "Not finished"
    if video["how"] == "scheduled":
        return "live", "calendar", "Held until its time"
    if video["how"] == "published":
        return "info", "spinner", "Processing"
    return "neutral", "lock", "Not published"


_CONTAINERS = {
    "IN_PROGRESS": ("info", "spinner", "Processing"),
    "FINISHED": ("neutral", "check", "Taken, not posted"),
    "PUBLISHED": ("ok", "check", "Posted"),
    "ERROR": ("bad", "alert", "Rejected"),
    "EXPIRED": ("neutral", "clock", "Expired"),
}


def _instagram(state: State) -> list[Shown]:
    kept = state.meta.instagram.containers
    names = {one["id"]: f"@{one['username']}" for one in people.INSTAGRAM}

    def one(container: dict[str, Any]) -> Shown:
        tone, icon, word = _CONTAINERS[container["status_code"]]
        first, _, rest = container["caption"].partition("\n")
        return Shown(
            id=container["media"],
            account=names.get(container["account"], container["account"]),
            title=first,
            text=rest.strip(),
            tone=tone,
            icon=icon,
            word=word,
            note=container.get("why", "") if container["status_code"] == "ERROR" else "",
            at=datetime.fromisoformat(container["published_at"] or container["created_at"]),
            size_bytes=int(container.get("size_bytes") or container["received"]),
            sha256=container["sha256"],
            file=kept.file(container["id"]),
            remove=lambda: kept.remove(container["id"]),
            other_id=f"container:{container['id']}",
        )

    return [one(container) for container in reversed(kept.all())]


_READERS: dict[str, Callable[[State], list[Shown]]] = {
    "youtube": _youtube,
    "facebook": _facebook,
    "instagram": _instagram,
}
