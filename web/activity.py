"""What happened to a video, newest first: who, what, when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import access
from appliance.models import Event, User
from web import words
from web.words import _

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import Video

FIRST, MORE, MOST = 12, 50, 1000
# What is worth a line: event type → words. Those of renditions name the version.
WORDS = {
    "video.created": "Upload began",
    "video.received": "All of the file arrived",
    "video.ready": "Ready",
    "video.failed": "Failed",
    "video.edited": "Title or description changed",
    "video.poster_chosen": "Another poster chosen",
    "video.poster": "New poster",
    "video.original_removed": "Original removed by the policy, to save space",
    "video.damaged": "A file was found missing or damaged",
    "video.original_kept": "Original is kept for good",
    "video.original_left": "Original may be removed by the policy again",
    "video.trashed": "Moved to the bin",
    "video.restored": "Taken out of the bin",
    "rendition.asked": "{name} asked for",
    "rendition.ready": "{name} made",
    "rendition.failed": "{name} failed",
    "rendition.removed": "{name} deleted",
    "post.created": "Post made",
    "post.completed": "Posted",
    "post.partial": "Posted in part",
    "post.failed": "Post failed",
    "post.cancelled": "Post cancelled",
}
ANEW = "{name} made anew"


@dataclass(frozen=True)
class Happening:
    at: datetime
    words: str
    who: str
    tone: str = ""


@dataclass(frozen=True)
class Activity:
    """``more``: how many to ask for to see further ones; 0: these are all."""

    items: list[Happening]
    more: int


def load(user: User, video: Video, number: int = FIRST) -> Activity:
    """The newest ``number`` that this person may see."""
    number = max(FIRST, min(number, MOST))
    rows = list(
        access.visible_events(user)
        .where(Event.video == video, Event.type.in_(list(WORDS)))
        .order_by(Event.id.desc())
        .limit(number + 1)
    )
    people = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({r.actor_id for r in rows if r.actor_id}))
    }
    # Guests have no row; what they do with a video is to bring it.
    by_guest = {"video.created": video.guest_name or ""}
    first = _first_of_each(video) if any(r.type == "rendition.ready" for r in rows) else {}
    items = [
        Happening(
            row.at,
            _sentence(row, first),
            people.get(row.actor_id or 0, "") or by_guest.get(row.type, ""),
            "bad" if row.type.endswith(".failed") else "",
        )
        for row in rows[:number]
    ]
    return Activity(items, min(number + MORE, MOST) if len(rows) > number < MOST else 0)


def _first_of_each(video: Video) -> dict[str, int]:
    """Profile → the event of the first time that it was made."""
    found: dict[str, int] = {}
    made: Any = (
        Event.select(Event.id, Event.data)
        .where(Event.video == video, Event.type == "rendition.ready")
        .order_by(Event.id)
        .limit(MOST)
    )
    for row in made:
        found.setdefault(row.data.get("profile", ""), row.id)
    return found


def _sentence(row: Event, first: dict[str, int]) -> str:
    if not row.type.startswith("rendition."):
        return _(WORDS[row.type])
    profile = str(row.data.get("profile", ""))
    again = row.type == "rendition.ready" and first.get(profile, row.id) != row.id
    return _(ANEW if again else WORDS[row.type], name=words.profile_name(profile))
