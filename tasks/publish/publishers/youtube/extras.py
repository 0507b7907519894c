"""What comes along with a video: cover, captions, playlist, first comment.

None of it is worth failing a post for: what YouTube doesn't take becomes a sentence beside the
result. Each can be done again without harm, or is looked for first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import now
from tasks.publish.publisher import Done, NeedsReconnect, NotThere, RetryAt, Step
from tasks.publish.publishers.youtube.api import Api, items_of
from tasks.publish.publishers.youtube.errors import Fate, reason_of, row_of, step_of
from tasks.publish.publishers.youtube.metadata import caption_language, choice, playlist_id
from tasks.publish.publishers.youtube.upload import asked_in_vain
from tasks.publish.remote import Answer, Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.publish.publisher import Target
    from tasks.publish.publishers.youtube.api import Reply

# These concern the account and all that follows, so the post waits for them.
_WAITS = (Fate.QUOTA, Fate.RECONNECT)


def set_cover(api: Api, target: Target, video: str) -> str | Step:
    """ "" or a sentence about what didn't work; or the step to take first."""
    assert target.cover is not None
    cover = target.cover
    if not cover.exists():
        return "The cover isn't there any more, so YouTube chose one."
    reply = _twice(lambda: api.set_thumbnail(video, cover))
    if isinstance(reply, Refused) and reason_of(reply) == "forbidden":
        return (
            "YouTube didn't take the cover: the channel has to be verified by telephone first, "
            "on youtube.com/verify."
        )
    return _sentence("the cover", reply)


def add_captions(api: Api, target: Target, video: str) -> str | Step:
    """As `set_cover`. A second call makes no second track: YouTube refuses one of the same name."""
    assert target.captions is not None
    if not target.captions.exists():
        return "The captions aren't there any more, so the video has none."
    text = target.captions.read_text(encoding="utf-8", errors="replace")
    language = caption_language(target, text)
    reply = _twice(lambda: api.insert_captions(video, text, language))
    if isinstance(reply, Refused) and reason_of(reply) == "captionExists":
        return ""
    return _sentence("the captions", reply)


def add_to_playlist(api: Api, target: Target, video: str) -> str | Step:
    """As `set_cover`. YouTube would take a video twice, so this looks first."""
    playlist = playlist_id(choice(target, "playlist")) or ""
    for _ in range(2):
        there = api.get("playlistItems.list", part="id", playlistId=playlist, videoId=video)
        if not isinstance(there, Answer):
            return _sentence("the video into the playlist", there)
        if items_of(there):
            return ""
        about = {"kind": "youtube#video", "videoId": video}
        body = {"snippet": {"playlistId": playlist, "resourceId": about}}
        reply = api.write("playlistItems.insert", "POST", "snippet", body)
        if not isinstance(reply, Lost):
            return _sentence("the video into the playlist", reply)
    return "It isn't sure that YouTube put the video into the playlist. Have a look there."


def add_comment(api: Api, target: Target, video: str, text: str) -> Step:
    """The first comment; one of the same words by the channel itself counts as it."""
    there = api.get(
        "commentThreads.list", part="snippet", videoId=video, maxResults="100", order="time"
    )
    if not isinstance(there, Answer):
        return asked_in_vain(there)
    for thread in items_of(there):
        top = thread.get("snippet", {}).get("topLevelComment", {})
        said = top.get("snippet", {})
        author = (said.get("authorChannelId") or {}).get("value")
        words = str(said.get("textOriginal") or "").split()
        if words == text.split() and author == target.remote_account:
            return Done(str(top.get("id")))
    body = {"snippet": {"videoId": video, "topLevelComment": {"snippet": {"textOriginal": text}}}}
    reply = api.write("commentThreads.insert", "POST", "snippet", body)
    if isinstance(reply, Answer):
        return Done(str(reply.data.get("id", "")))
    # A lost answer, too: the next try looks whether it is there.
    return asked_in_vain(reply)


def _twice(do: Callable[[], Reply]) -> Reply:
    """Once more when the answer was lost; for what does no harm twice."""
    reply = do()
    return do() if isinstance(reply, Lost) else reply


def _sentence(what: str, reply: Reply) -> str | Step:
    match reply:
        case Answer():
            return ""
        case NeedsReconnect():
            return reply
        case Refused() if row_of(reply).fate in _WAITS:
            return step_of(reply, now())
        case Refused():
            step = step_of(reply, now())
            why = "" if isinstance(step, NotThere) else str(getattr(step, "reason", ""))
            return f"YouTube didn't take {what}. {why or reply.message}".strip()
        case Lost() | RetryAt():
            return f"YouTube didn't take {what}: {reply.reason}"
