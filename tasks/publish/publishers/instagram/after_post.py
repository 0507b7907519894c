"""What can be done with a Reel that is out: a comment under it, and its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.publish.publisher import Done, NeedsReconnect, NotThere, RetryAt, Step
from tasks.publish.publishers.instagram.answers import step_for
from tasks.publish.publishers.instagram.metadata import same_text
from tasks.publish.remote import Answer, Lost

if TYPE_CHECKING:
    from tasks.publish.graph import Graph
    from tasks.publish.publisher import Target

# Before the id in ``remote_id`` when Instagram says that a container is public, but not as what.
CONTAINER = "container:"
UNKNOWN = "Instagram hasn't told which Reel it is; open the account to see it."


def comment(graph: Graph, target: Target, text: str) -> Step:
    media = target.remote_id or ""
    if not media or media.startswith(CONTAINER):
        return RetryAt(None, UNKNOWN)
    listed = graph.get(f"/{media}/comments", fields="id,text", limit="50")
    if not isinstance(listed, Answer):
        return step_for(listed)
    rows = listed.data.get("data")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and same_text(str(row.get("text") or ""), text):
            return Done(str(row.get("id")))
    reply = graph.post(f"/{media}/comments", message=text)
    if isinstance(reply, Answer) and reply.data.get("id"):
        return Done(str(reply.data["id"]))
    if isinstance(reply, Lost | Answer):
        # The next try looks first.
        return RetryAt(None, "The answer to the comment was lost.", str(reply))
    return step_for(reply)


def numbers(graph: Graph, target: Target) -> dict[str, int] | RetryAt | NeedsReconnect | NotThere:
    """ "likes", "comments", and "views" where the app may read insights.

    Source: developers.facebook.com/docs/instagram-platform/reference/instagram-media and
    …/insights, read 2026-11: ``views`` took the place of ``plays`` and ``video_views``.
    """
    media = target.remote_id or ""
    if not media or media.startswith(CONTAINER):
        return RetryAt(None, UNKNOWN)
    reply = graph.get(f"/{media}", fields="like_count,comments_count")
    if not isinstance(reply, Answer):
        step = step_for(reply)
        if isinstance(step, RetryAt | NeedsReconnect | NotThere):
            return step
        return RetryAt(None, getattr(step, "reason", "Instagram didn't tell."))
    names = {"likes": "like_count", "comments": "comments_count"}
    found = {
        name: count
        for name, field in names.items()
        if isinstance(count := reply.data.get(field), int)
    }
    # Another permission, which not every app has; without it the rest still counts.
    insights = graph.get(f"/{media}/insights", metric="views")
    if isinstance(insights, Answer) and (views := _first_value(insights.data)) is not None:
        found["views"] = views
    return found


def _first_value(data: dict[str, object]) -> int | None:
    """``{"data": [{"name": "views", "values": [{"value": 1}]}]}``, or empty when there are none."""
    rows = data.get("data")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    values = row.get("values")
    first = values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else {}
    value = first.get("value")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
