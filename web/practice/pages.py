"""What people see of the practice platform: what it received, each video, and how to break it.

It holds copies of the team's videos, private ones too: a person sees a video here when the post
that brought it is theirs to see, by the one function that decides that (appliance/access.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, get, post, route
from litestar.datastructures import State
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template
from litestar.types import ASGIApp

from appliance import access
from appliance.access import Scope
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Account, Post, PostTarget, Role
from web.auth import needs, principal
from web.practice.faults import FAULTS, Kind
from web.practice.presets import tabs
from web.sendfile import SendFile, content_disposition

if TYPE_CHECKING:
    from appliance.models import User
    from web.practice.platform import Practice
    from web.practice.store import Media

SEE = needs(Role.VIEWER, Scope.READ)
MAX_SHOWN = 100
MAX_FAULT_SECONDS = 3600.0
STATUS_WORDS = {
    "IN_PROGRESS": ("info", "spinner", "Fetching"),
    "FINISHED": ("neutral", "check", "Taken, not posted"),
    "PUBLISHED": ("ok", "check", "Posted"),
    "ERROR": ("bad", "alert", "Rejected"),
    "EXPIRED": ("neutral", "clock", "Expired"),
}

AnyRequest = Request[Any, Any, State]


@dataclass(frozen=True)
class Received:
    """One video as the pages show it."""

    post_id: str
    title: str
    caption: str
    tone: str
    icon: str
    word: str
    status: str
    created_at: datetime
    published_at: datetime | None
    size_bytes: int
    heads: int
    ranges: int
    fetch_s: float
    sha256: str
    video_id: str

    @classmethod
    def of(cls, media: Media, video_id: str) -> Received:
        tone, icon, word = STATUS_WORDS[media.status_code]
        return cls(
            post_id=media.post_id or "",
            title=media.title or "Untitled",
            caption=media.caption,
            tone=tone,
            icon=icon,
            word=word,
            status=media.status if media.status_code == "ERROR" else "",
            created_at=datetime.fromisoformat(media.created_at),
            published_at=datetime.fromisoformat(media.published_at) if media.published_at else None,
            size_bytes=media.size_bytes,
            heads=media.heads,
            ranges=media.ranges,
            fetch_s=media.fetch_s,
            sha256=media.sha256,
            video_id=video_id,
        )


@get("/", opt=SEE, sync_to_thread=True, include_in_schema=False)
def overview(request: AnyRequest) -> Template:
    practice, user = _practice(request), principal(request).user
    admin = access.at_least(user, Role.ADMIN)
    with database.connection_context():
        visible = _visible(user)
    shown = [
        Received.of(media, visible.get(media.post_id or "", ""))
        for media in practice.store.newest()
        if admin or media.post_id in visible
    ]
    context = {
        "tabs": tabs(request.app.state),
        "received": shown[:MAX_SHOWN],
        "more": max(0, len(shown) - MAX_SHOWN),
        "kinds": FAULTS if admin else {},
        "faults": practice.store.faults() if admin else {},
    }
    return Template("practice/overview.html", context=context)


@get("/v/{post_id:str}", opt=SEE, sync_to_thread=True, include_in_schema=False)
def watch(request: AnyRequest, post_id: FromPath[str]) -> Template:
    media, video_id = _find(request, post_id)
    return Template("practice/watch.html", context={"shown": Received.of(media, video_id)})


@route(
    "/v/{post_id:str}/video.mp4",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt=SEE,
    sync_to_thread=True,
    include_in_schema=False,
)
def send_file(request: AnyRequest, post_id: FromPath[str]) -> ASGIApp:
    """The platform's own copy, not the appliance's file."""
    media, _ = _find(request, post_id)
    name = content_disposition("inline", f"{media.title or 'video'}.mp4")
    return SendFile(_practice(request).store.file(media.id), "video/mp4", disposition=name)


@post("/faults", opt=needs(Role.ADMIN), sync_to_thread=True, include_in_schema=False)
def change_faults(request: AnyRequest, data: URLEncodedBody[dict[str, str]]) -> Redirect:
    """The checked ones, with their numbers; what isn't checked is cleared."""
    wanted = {
        name: _number(data.get(f"{name}_value"), kind)
        for name, kind in FAULTS.items()
        if name in data
    }
    _practice(request).set_faults(wanted)
    return Redirect("/practice", status_code=303)


@post(
    "/v/{post_id:str}/remove",
    opt=needs(Role.EDITOR),
    sync_to_thread=True,
    include_in_schema=False,
)
def remove(request: AnyRequest, post_id: FromPath[str]) -> Redirect:
    media, _ = _find(request, post_id)
    _practice(request).store.delete(media.id)
    return Redirect("/practice", status_code=303)


def _number(text: str | None, kind: Kind) -> float:
    try:
        number = float(text or "")
    except ValueError:
        return kind.default
    return min(max(number, 0.0), MAX_FAULT_SECONDS) if math.isfinite(number) else kind.default


def _practice(request: AnyRequest) -> Practice:
    practice: Practice = request.app.state.practice
    return practice


def _find(request: AnyRequest, post_id: str) -> tuple[Media, str]:
    """A posted video that this person may see, and the id of its video here ("" if it's gone).

    Raises NotFound.
    """
    user = principal(request).user
    found = _practice(request).store.get(post_id)
    with database.connection_context():
        visible = _visible(user, post_id)
    seen = post_id in visible or access.at_least(user, Role.ADMIN)
    if found is None or found.post_id != post_id or not seen:
        raise NotFound("There is no such video on the practice platform, or it was removed there.")
    return found, visible.get(post_id, "")


def _visible(user: User, post_id: str | None = None) -> dict[str, str]:
    """What this person may see: id of the post there → id of the video here."""
    targets = (
        PostTarget.select(PostTarget, Post)
        .join(Post)
        .switch(PostTarget)
        .join(Account)
        .where(
            Account.platform == "practice",
            PostTarget.remote_id.is_null(False),
            Post.id.in_(access.visible_posts(user).select(Post.id)),
        )
    )
    if post_id is not None:
        targets = targets.where(PostTarget.remote_id == post_id)
    return {str(target.remote_id): target.post.video.public_id for target in targets}
