"""What belongs to a video beside itself: cover, captions, the first comment, its numbers.

A cover or captions that Facebook doesn't take never fail a post: they are tried once, and the log
says so.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from tasks.publish.graph import row_of, step_of
from tasks.publish.graph_errors import as_int
from tasks.publish.publisher import Done, Failed, NeedsReconnect, NotThere, RetryAt, Step
from tasks.publish.publishers.facebook.kind import Kind
from tasks.publish.publishers.facebook.locales import locale_of
from tasks.publish.remote import Answer

if TYPE_CHECKING:
    from tasks.publish.graph import Graph, Reply
    from tasks.publish.publisher import Target

log = logging.getLogger(__name__)

# Source: developers.facebook.com/docs/graph-api/reference/video/thumbnails, "Limitations"
MAX_COVER_BYTES = 10_000_000
COMMENTS_LOOKED_AT = "100"
_TIMING = re.compile(
    r"((?:\d+:)?\d\d:\d\d)\.(\d{3})\s+-->\s+((?:\d+:)?\d\d:\d\d)\.(\d{3}).*", re.ASCII
)


def thumb(target: Target) -> dict[str, Any] | None:
    """The cover as Page videos take it, with "finish"."""
    data = _cover(target)
    return {"thumb": ("cover.jpg", data, "image/jpeg")} if data else None


def put_on(graph: Graph, target: Target, kept: dict[str, Any]) -> None:
    """Cover and captions, as far as they don't go with "finish"."""
    video_id = kept["video_id"]
    if kept["kind"] == Kind.REEL and (data := _cover(target)):
        _try(
            "cover",
            graph.post(
                f"/{video_id}/thumbnails",
                files={"source": ("cover.jpg", data, "image/jpeg")},
                is_preferred="true",
            ),
            target,
        )
    if target.captions is not None:
        text = target.captions.read_text(encoding="utf-8", errors="replace")
        _caption(target, graph, video_id, text)


def _caption(target: Target, graph: Graph, video_id: str, text: str) -> None:
    locale = locale_of(text)
    if locale is None:
        log.warning("target %s: Facebook has no locale for its captions", target.marker)
        return
    name = f"captions.{locale}.srt"
    reply = graph.post(
        f"/{video_id}/captions",
        files={"captions_file": (name, to_srt(text).encode(), "application/octet-stream")},
        default_locale=locale,
    )
    _try("captions", reply, target)


def _try(what: str, reply: object, target: Target) -> None:
    if not isinstance(reply, Answer):
        log.warning("target %s: Facebook did not take the %s: %s", target.marker, what,
                    getattr(reply, "detail", ""))  # fmt: skip


def _cover(target: Target) -> bytes | None:
    if target.cover is None:
        return None
    try:
        data = target.cover.read_bytes()
    except OSError:
        return None
    return data if 0 < len(data) <= MAX_COVER_BYTES else None


def to_srt(vtt: str) -> str:
    """WebVTT as SubRip, which is all that Facebook takes: hours always, a comma, numbers."""
    cues: list[str] = []
    for block in re.split(r"\n\s*\n", vtt.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines):
            if found := _TIMING.fullmatch(line.strip()):
                begin, begin_ms, end, end_ms = found.groups()
                timing = f"{_hours(begin)},{begin_ms} --> {_hours(end)},{end_ms}"
                text = [re.sub(r"<[^>]*>", "", rest) for rest in lines[number + 1 :]]
                cues.append("\n".join([str(len(cues) + 1), timing, *text]))
                break
    return "\n\n".join(cues) + "\n"


def _hours(clock: str) -> str:
    return clock.zfill(8) if clock.count(":") == 2 else f"00:{clock}"


def comment(graph: Graph, video_id: str, page: str, text: str) -> Step:
    """Ours, once: what is there already is found first."""
    looked = graph.get(
        f"/{video_id}/comments",
        fields="id,message,from",
        filter="stream",
        limit=COMMENTS_LOOKED_AT,
    )
    if not isinstance(looked, Answer):
        return _comment_step(looked)
    found = looked.data.get("data")
    for entry in found if isinstance(found, list) else []:
        ours = not isinstance(entry.get("from"), dict) or entry["from"].get("id") == page
        if ours and str(entry.get("message", "")).strip() == text.strip():
            return Done(str(entry["id"]))
    reply = graph.post(f"/{video_id}/comments", message=text)
    if isinstance(reply, Answer):
        return Done(str(reply.data.get("id", "")))
    return _comment_step(reply)


def _comment_step(reply: Reply) -> Step:
    """Posting works without the right to comment, so its lack doesn't end the sign-in."""
    row = row_of(reply)
    if row is not None and row.word == "permission":
        return Failed(
            "The post is out, its first comment isn't: the app may not comment as the Page. "
            "Connect the account again and allow that.",
            row.word,
            getattr(reply, "detail", ""),
        )
    return step_of(reply, creating=False)


def numbers(graph: Graph, video_id: str) -> dict[str, int] | RetryAt | NeedsReconnect | NotThere:
    """ "views", "likes", "comments"; those that Facebook doesn't tell are left out."""
    reply = graph.get(
        f"/{video_id}",
        fields="likes.limit(0).summary(true),comments.limit(0).summary(true)",
    )
    if not isinstance(reply, Answer):
        row = row_of(reply)
        if row is not None and row.word == "permission":
            return {}  # what may not be read isn't shown
        step = step_of(reply, creating=False)
        if isinstance(step, RetryAt | NeedsReconnect | NotThere):
            return step
        return RetryAt(None, getattr(step, "reason", ""), getattr(step, "detail", ""))
    counted = {}
    for name in ("likes", "comments"):
        edge = reply.data.get(name)
        summary = edge.get("summary") if isinstance(edge, dict) else None
        total = as_int(summary.get("total_count")) if isinstance(summary, dict) else None
        if total is not None:
            counted[name] = total
    insights = graph.get(f"/{video_id}/video_insights")
    if isinstance(insights, Answer) and (views := _views(insights.data)) is not None:
        counted["views"] = views
    return counted


# A Reel counts plays, a Page video views. Source: developers.facebook.com/docs/graph-api/
# reference/video/video_insights; .../docs/video-api/guides/insights
_VIEW_METRICS = ("total_video_views", "blue_reels_play_count")


def _views(data: dict[str, Any]) -> int | None:
    entries = data.get("data")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") in _VIEW_METRICS:
            values = entry.get("values")
            first = values[0] if isinstance(values, list) and values else {}
            if (count := as_int(first.get("value"))) is not None:
                return count
    return None
