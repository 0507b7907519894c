"""What the status of a container says about the post; creates nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from tasks.publish.graph_errors import Fate
from tasks.publish.publisher import (
    Done,
    Failed,
    MustEdit,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Staged,
    Step,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.instagram import metadata
from tasks.publish.publishers.instagram.after_post import CONTAINER
from tasks.publish.publishers.instagram.errors import NOT_FETCHED, row_for
from tasks.publish.publishers.instagram.held import Held, Way
from tasks.publish.publishers.instagram.look import Status, find_twins
from tasks.publish.publishers.instagram.pace import expires_at, within
from tasks.publish.remote import Answer

if TYPE_CHECKING:
    from tasks.publish.publishers.instagram.talk import Talk

# Of containers that went wrong for the same wish. Meta counts each one: 400 in 24 hours.
MAX_MADE = 3

FETCHING = "Instagram fetches and checks the video"
CHECKING = "Instagram checks the video"
LINKING = "It is public; asking Instagram for its link"
SETTLING = "The answer was lost; looking whether it is there"


def meaning_of(talk: Talk, held: Held, status: Status | NotThere) -> Step:
    if isinstance(status, NotThere):
        return _absent(talk, held)
    match status.code:
        case "PUBLISHED":
            return _public(talk, held)
        case "FINISHED":
            return _finished(talk, held)
        case "IN_PROGRESS":
            if lacks_bytes(held, status):
                return NotThere()
            if is_overdue(talk, held, status):
                return _trouble(held, status)
            return WaitUntil(talk.next_look(held), FETCHING if held.way is Way.URL else CHECKING)
        case "EXPIRED":
            return NotThere()
        case "ERROR":
            return _trouble(held, status)
    if held.publishing_at is not None:
        return Unsure("Instagram can't tell whether the Reel is public.", status.detail)
    return WaitUntil(talk.next_look(held), FETCHING)


def _finished(talk: Talk, held: Held) -> Step:
    staged = Staged(expires_at(held.began_at) if held.began_at else None)
    if held.publishing_at is None:
        return staged
    pace, at = talk.pace, now()
    if within(held.publishing_at, pace.settles_s, at):
        return WaitUntil(held.publishing_at + timedelta(seconds=pace.settles_s), SETTLING)
    twins = _twins(talk, held)
    if not isinstance(twins, list):
        return twins
    if not twins:
        return staged
    if within(held.publishing_at, pace.agrees_s, at):
        return WaitUntil(talk.next_look(held), SETTLING)
    return Unsure(
        "The account shows a Reel with this caption, and Instagram says that this one isn't "
        "published.",
        str([twin.url or twin.remote_id for twin in twins]),
    )


def _absent(talk: Talk, held: Held) -> Step:
    """Instagram doesn't find the container. It says so at times of those that are there, so
    after a call that may have published one, the account's list has to be asked. Source:
    github.com/gitroomhq/postiz-app/issues/1562."""
    if held.publishing_at is None:
        return NotThere()
    twins = _twins(talk, held)
    if not isinstance(twins, list):
        return twins
    if len(twins) == 1:
        return twins[0]
    if within(held.publishing_at, talk.pace.agrees_s, now()):
        return WaitUntil(talk.next_look(held), SETTLING)
    if twins or not metadata.caption_of(talk.target.draft):
        return Unsure("Instagram no longer knows what was to be published.")
    return NotThere()


def _public(talk: Talk, held: Held) -> Step:
    """The container says so; which Reel it became has to be found."""
    twins = _twins(talk, held, also_empty=True)
    if isinstance(twins, list) and len(twins) == 1:
        return twins[0]
    several = isinstance(twins, list) and bool(twins)
    if not several and within(held.publishing_at, talk.pace.link_s, now()):
        return WaitUntil(talk.next_look(held), LINKING)
    return Done(f"{CONTAINER}{held.container}")


def _twins(talk: Talk, held: Held, *, also_empty: bool = False) -> list[Done] | Step:
    caption = metadata.caption_of(talk.target.draft)
    since = held.began_at or held.publishing_at
    if since is None or not (caption or also_empty):
        return []
    return find_twins(talk.graph, talk.target.remote_account, caption, since)


def linked(talk: Talk, held: Held, media: str) -> Step:
    """It is public; its address may take a moment."""
    reply = talk.graph.get(f"/{media}", fields="permalink")
    url = str(reply.data.get("permalink") or "") if isinstance(reply, Answer) else ""
    if not url and within(held.publishing_at, talk.pace.link_s, now()):
        return WaitUntil(talk.next_look(held), LINKING)
    return Done(media, url or None)


def lacks_bytes(held: Held, status: Status) -> bool:
    return status.code == "IN_PROGRESS" and held.way is not Way.URL and not held.sent


def is_overdue(talk: Talk, held: Held, status: Status) -> bool:
    """Instagram has worked on it for longer than is sensible."""
    if status.code != "IN_PROGRESS" or held.publishing_at is not None or held.began_at is None:
        return False
    return (now() - held.began_at).total_seconds() > talk.pace.works_s


def _trouble(held: Held, status: Status) -> Step:
    """A container that went wrong: another one (`stage` makes it), or the end."""
    row = row_for(status.subcode)
    detail = status.detail
    if next_way(held, status) is not None:
        return NotThere()
    match row.fate if row else Fate.ANEW:
        case Fate.EDIT if row:
            return MustEdit(row.sentence, row.word, detail)
        case Fate.STOP if row:
            return Failed(row.sentence, row.word, detail)
        case Fate.RECONNECT if row:
            return NeedsReconnect(row.sentence, detail)
        case Fate.WAIT if row:
            return RetryAt(now() + timedelta(seconds=row.pause_s), row.sentence, detail, False)
    if held.made < MAX_MADE:
        return NotThere()
    what = row.sentence.removesuffix("It is handed over once more.").strip() if row else (
        "Instagram could not work on the video."
    )  # fmt: skip
    return Failed(
        f"{what} It was handed over {held.made} times. Look whether the version for posting plays, "
        "then press Retry.",
        row.word if row else "not_processed",
        detail,
    )


def next_way(held: Held, status: Status) -> Way | None:
    return held.way.next if status.subcode in NOT_FETCHED else None
