"""Bring the bytes to YouTube: one streamed PUT into a session, taken up again by asking it.

What is in the checkpoint: ``opened_at`` before a session is asked for, ``session`` before the
first byte goes out, ``video`` as soon as YouTube has named it. A video comes only of a session
whose bytes are all there, and of one session comes one video; so whoever has the session's address
can always ask, and whoever hasn't can have sent nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from tasks.publish.publisher import (
    Failed,
    MustEdit,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Step,
    Unsure,
)
from tasks.publish.publishers.youtube.api import Api, arrived_bytes, items_of
from tasks.publish.publishers.youtube.errors import reason_of, step_of
from tasks.publish.publishers.youtube.metadata import (
    decided,
    insert_body,
    parse_time,
    rfc3339,
)
from tasks.publish.remote import Answer, Lost, Refused, retry_after

if TYPE_CHECKING:
    from datetime import datetime

    from tasks.publish.publisher import Checkpoint, Target
    from tasks.publish.publishers.youtube.api import Reply

# How far apart YouTube's clock and ours may be.
CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True)
class There:
    """YouTube has all of it, as this video."""

    video: str


@dataclass(frozen=True)
class Arrived:
    """So many bytes are there; the rest may follow."""

    size_bytes: int


@dataclass(frozen=True)
class Gone:
    """The session is no more, and no video came of it."""


Look = There | Arrived | Gone | Step


def upload(api: Api, target: Target, save: Checkpoint, publish_at: datetime | None) -> There | Step:
    """Take up the session of the checkpoint, or begin one; until YouTube has all bytes.

    As long as bytes arrive it goes on; when a round brings nothing, the step ends Unsure.
    """
    state = dict(target.checkpoint)
    session, offset = state.get("session"), 0
    if session is not None:
        match look(api, target):
            case Gone():
                session = None
            case Arrived() as arrived:
                offset = arrived.size_bytes
            case other:
                return other
    if session is None:
        # Nobody can send a byte into a session whose address got lost: nothing comes of those.
        state = {"opened_at": rfc3339(now())}
        save(state)
        opened = _open(api, target, publish_at)
        if not isinstance(opened, str):
            return opened
        session, offset = opened, 0
        save({**state, "session": session})
    return _send(api, target, session, offset)


def look(api: Api, target: Target) -> Look:
    """What has become of the session of the checkpoint? Creates nothing."""
    session = target.checkpoint.get("session")
    if session is None:
        return Gone()
    found = _ask(api, session)
    return search(api, target) if isinstance(found, Gone) else found


def search(api: Api, target: Target) -> There | Gone | Step:
    """A session that YouTube has forgotten may have ended well. Then the video is among the
    channel's newest: by its title and size, uploaded since the session was opened."""
    since = parse_time(target.checkpoint.get("opened_at"))
    mine = api.get("channels.list", part="contentDetails", mine="true")
    if not isinstance(mine, Answer):
        return looked_in_vain(mine)
    channels = items_of(mine)
    if not channels or since is None:
        return _cannot_tell(str(mine.data))
    uploads = str(channels[0]["contentDetails"]["relatedPlaylists"]["uploads"])
    newest = api.get(
        "playlistItems.list", part="contentDetails", playlistId=uploads, maxResults="50"
    )
    if not isinstance(newest, Answer):
        return looked_in_vain(newest)
    ids = [str(item["contentDetails"]["videoId"]) for item in items_of(newest)]
    if not ids:
        return Gone()
    videos = api.get("videos.list", part="snippet,fileDetails", id=",".join(ids))
    if not isinstance(videos, Answer):
        return looked_in_vain(videos)
    alike = [video for video in items_of(videos) if _is_alike(video, target, since - CLOCKS_APART)]
    if len(alike) > 1 or any(_size_of(video) is None for video in alike):
        return _cannot_tell(str(alike))
    return There(str(alike[0]["id"])) if alike else Gone()


def asked_in_vain(reply: Reply) -> Step:
    """The step for a call that brought no answer: nothing was created by it."""
    if isinstance(reply, Lost):
        return RetryAt(retry_after(reply.headers, now()), reply.reason, reply.detail)
    if isinstance(reply, Refused):
        return step_of(reply, now())
    assert isinstance(reply, RetryAt | NeedsReconnect)
    return reply


def looked_in_vain(reply: Reply) -> Step:
    """The same of a look. That the question is refused says nothing about the video, so it is
    asked again; only YouTube's own word that there is none counts."""
    step = asked_in_vain(reply)
    if isinstance(step, Failed | MustEdit):
        return RetryAt(None, step.reason, step.detail)
    if isinstance(step, NotThere) and isinstance(reply, Refused) and not reason_of(reply):
        return RetryAt(None, "YouTube could not be asked about the video.", reply.detail)
    return step


def _open(api: Api, target: Target, publish_at: datetime | None) -> str | Step:
    notify = decided(target, "notify_subscribers")
    reply = api.open_session(insert_body(target, publish_at), notify=notify)
    if isinstance(reply, Answer):
        session = api.session_of(reply)
        if session is None:
            reason = "YouTube named an address for the upload that isn't one of its own."
            return RetryAt(None, reason, str(reply.headers.get("location")))
        return session
    # Also when the answer was lost: a session without bytes is nothing.
    step = asked_in_vain(reply)
    if isinstance(step, NotThere):
        return Failed("YouTube doesn't know the address for uploads.", "not_found", _detail(reply))
    return step


def _send(api: Api, target: Target, session: str, offset: int) -> There | Step:
    assert target.file is not None
    while True:
        reply = api.send_bytes(session, target.file, offset)
        found = _read(reply)
        if isinstance(found, RetryAt) and isinstance(reply, Lost):
            # Cut in the middle, or after all of it: the session knows.
            found = _ask(api, session)
        match found:
            case There():
                return found
            case Arrived() if found.size_bytes > offset:
                offset = found.size_bytes
            case Arrived() | Gone():
                return Unsure("The upload was cut off.", _detail(reply))
            case RetryAt() if isinstance(reply, Lost):
                return Unsure(found.reason, found.detail)
            case other:
                return other


def _ask(api: Api, session: str) -> Look:
    """How much of it is there?"""
    reply = api.ask_session(session)
    found = _read(reply)
    return looked_in_vain(reply) if isinstance(found, Failed | MustEdit) else found


def _read(reply: Reply) -> Look:
    """What a session answers, to bytes or to the question."""
    if isinstance(reply, Answer):
        id = reply.data.get("id")
        if isinstance(id, str) and id:
            return There(id)
        return _cannot_tell(str(reply.data))
    if isinstance(reply, Refused):
        arrived = arrived_bytes(reply)
        if arrived is not None:
            return Arrived(arrived)
        if reply.status in (404, 410):
            return Gone()
    return asked_in_vain(reply)


def _is_alike(video: dict[str, Any], target: Target, since: datetime) -> bool:
    snippet = video.get("snippet") or {}
    uploaded = parse_time(snippet.get("publishedAt"))
    same_title = str(snippet.get("title", "")).split() == target.draft.title.split()
    size = _size_of(video)
    return (
        same_title
        and uploaded is not None
        and uploaded >= since
        and size in (None, target.media.size_bytes)
    )


def _size_of(video: dict[str, Any]) -> int | None:
    """None: YouTube hasn't looked into the file yet."""
    text = str((video.get("fileDetails") or {}).get("fileSize", ""))
    return int(text) if text.isdecimal() else None


def _cannot_tell(detail: str) -> Unsure:
    return Unsure("YouTube doesn't tell whether the upload became a video.", detail)


def _detail(reply: Reply) -> str:
    return str(getattr(reply, "detail", ""))
