"""Containers: made for a link or for bytes, and made anew when one went wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from tasks.publish.graph import row_of
from tasks.publish.publisher import (
    Failed,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Step,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.instagram import metadata
from tasks.publish.publishers.instagram.answers import step_for
from tasks.publish.publishers.instagram.errors import INSTAGRAM_ERRORS, NOT_FETCHED
from tasks.publish.publishers.instagram.held import Held, Way
from tasks.publish.publishers.instagram.look import ask_use
from tasks.publish.publishers.instagram.meaning import CHECKING, FETCHING, MAX_MADE, next_way
from tasks.publish.publishers.instagram.upload import send_bytes
from tasks.publish.remote import Answer, Refused

if TYPE_CHECKING:
    from tasks.publish.graph import Reply
    from tasks.publish.publisher import Checkpoint, Target
    from tasks.publish.publishers.instagram.look import Status
    from tasks.publish.publishers.instagram.talk import Talk

REELS, CONTAINERS = "reels", "containers"
FULL_PAUSE = timedelta(hours=1)
NO_WAY = (
    "Instagram wants to fetch the video from a public https:// address, and this box has none. "
    "Set public_url (docs/proxy.md), or connect the account through Facebook; then press Retry."
)


def make(talk: Talk, held: Held, save: Checkpoint) -> Step:
    """A new container, and the bytes into it if it doesn't fetch them."""
    if (full := _full(talk)) is not None:
        return full
    way = _possible(held.way, talk.target)
    if way is None:
        return Failed(NO_WAY, code="no_public_address")
    held = Held(
        way=way,
        made=held.made + 1,
        began_at=now(),
        fingerprint=metadata.fingerprint(talk.target.draft),
    )
    save(held.checkpoint())
    talk.target.spend(CONTAINERS, 1)
    reply = talk.graph.post(f"/{talk.target.remote_account}/media", **_form(talk.target, way))
    if isinstance(reply, Answer):
        container = str(reply.data.get("id") or "")
        if not container:
            return Unsure("Instagram's answer names no container.", str(reply.data))
        held = replace(held, container=container, uri=str(reply.data.get("uri") or ""))
        save(held.checkpoint())
        if way is Way.URL:
            return WaitUntil(talk.next_look(held), FETCHING)
        return send(talk, held, save, resumed=False)
    return _not_made(talk, held, reply, save)


def _not_made(talk: Talk, held: Held, reply: Reply, save: Checkpoint) -> Step:
    assert not isinstance(reply, Answer)
    if isinstance(reply, Refused):
        if reply.subcode in NOT_FETCHED and held.way.next is not None:
            return make(talk, replace(held, way=held.way.next), save)
        if held.way is not Way.URL and "video_url" in reply.message:
            # Accounts connected by Instagram's own login can't be sent bytes.
            return Failed(NO_WAY, code="no_public_address", detail=reply.detail)
    step = step_for(reply, creating=True)
    if isinstance(step, NotThere):
        row = row_of(reply, INSTAGRAM_ERRORS)
        return RetryAt(None, row.sentence if row else "Instagram took no video.")
    return step


def _full(talk: Talk) -> Step | None:
    """Asked while there is time: the account's day is used up, so nothing is handed over."""
    use = ask_use(talk.graph, talk.target.remote_account)
    if isinstance(use, NeedsReconnect):
        return use
    if not isinstance(use, tuple) or use[1] <= 0:
        return None  # it doesn't say; the publishing call will
    used, total = use
    talk.target.told(REELS, used, total)
    if used < total:
        return None
    return RetryAt(
        now() + FULL_PAUSE,
        f"This account has reached the {total} posts that Instagram takes within 24 hours.",
        f"quota_usage {used}, quota_total {total}",
        counted=False,
    )


def send(talk: Talk, held: Held, save: Checkpoint, *, resumed: bool) -> Step:
    assert held.container is not None
    if talk.target.file is None:
        return Failed("The file isn't there any more. Have it made again, then press Retry.")
    graph = talk.graph
    trouble = send_bytes(graph, held.container, held.uri, talk.target.file, resumed=resumed)
    if isinstance(trouble, NotThere):
        save(Held(way=held.way, made=held.made).checkpoint())
        return RetryAt(None, "Instagram could not take the video; it is handed over once more.")
    if trouble is not None:
        return trouble
    held = replace(held, sent=True)
    save(held.checkpoint())
    return WaitUntil(talk.next_look(held), CHECKING)


def _possible(way: Way, target: Target) -> Way | None:
    """This way, or the next that the box and the file allow."""
    if way is Way.URL and not metadata.can_be_fetched(target.media_url, practice=target.practice):
        way = Way.BYTES
    return None if way is not Way.URL and target.file is None else way


def _form(target: Target, way: Way) -> dict[str, str]:
    cover = target.cover_url if way is not Way.BYTES_ALONE else None
    if not metadata.can_be_fetched(cover, practice=target.practice):
        cover = None
    return metadata.container_form(
        target.draft, video_url=target.media_url if way is Way.URL else None, cover_url=cover
    )


def anew(held: Held) -> Held:
    """For another container without any trouble of the one before."""
    return Held(way=held.way)


def after_trouble(held: Held, status: Status) -> Held:
    """For the container after one that went wrong. `_trouble` ends it after some; when there is
    another call all the same, a person has pressed Retry, and counting starts anew."""
    way = next_way(held, status)
    if way is not None:
        return Held(way=way)
    return Held(way=held.way, made=held.made if held.made < MAX_MADE else 0)
