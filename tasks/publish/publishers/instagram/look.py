"""What Instagram knows about a container, or a Reel that is out; these calls create nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tasks.publish.publisher import Done, Step
from tasks.publish.publishers.instagram.answers import looked_in_vain
from tasks.publish.publishers.instagram.errors import subcode_in
from tasks.publish.publishers.instagram.metadata import same_text
from tasks.publish.remote import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.publish.graph import Graph

LISTED = 50
# Between our clock and Instagram's.
CLOCK_SKEW = timedelta(minutes=10)


@dataclass(frozen=True)
class Status:
    """``code``: IN_PROGRESS FINISHED ERROR EXPIRED PUBLISHED, or what nobody has described."""

    code: str
    subcode: int | None = None
    detail: str = ""


def ask_status(graph: Graph, container: str) -> Status | Step:
    reply = graph.get(f"/{container}", fields="status_code,status")
    if not isinstance(reply, Answer):
        return looked_in_vain(reply)
    said = str(reply.data.get("status") or "")
    return Status(str(reply.data.get("status_code") or ""), subcode_in(said), said)


def ask_use(graph: Graph, account: str) -> tuple[int, int] | Step:
    """Posts of the last 24 hours, as Instagram counts them, and how many it takes. (0, 0): it
    doesn't say."""
    reply = graph.get(f"/{account}/content_publishing_limit", fields="quota_usage,config")
    if not isinstance(reply, Answer):
        return looked_in_vain(reply)
    rows = reply.data.get("data")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    config = row.get("config")
    total = config.get("quota_total") if isinstance(config, dict) else None
    used = row.get("quota_usage")
    return (used, total) if isinstance(used, int) and isinstance(total, int) else (0, 0)


def find_twins(graph: Graph, account: str, caption: str, since: datetime) -> list[Done] | Step:
    """The latest Reels of the account with this caption that are not older than ``since``."""
    reply = graph.get(
        f"/{account}/media",
        fields="id,caption,timestamp,permalink,media_product_type",
        limit=str(LISTED),
    )
    if not isinstance(reply, Answer):
        return looked_in_vain(reply)
    rows = reply.data.get("data")
    return twins_among(rows if isinstance(rows, list) else [], caption, since)


def twins_among(rows: Iterable[Any], caption: str, since: datetime) -> list[Done]:
    """Pure. A container never tells the id of what it became, so the text and the time have to."""
    return [
        Done(str(row["id"]), row.get("permalink") or None)
        for row in rows
        if isinstance(row, dict)
        and row.get("id")
        and row.get("media_product_type", "REELS") == "REELS"
        and same_text(str(row.get("caption") or ""), caption)
        and (at := _time(row.get("timestamp"))) is not None
        and at >= since - CLOCK_SKEW
    ]


def _time(text: Any) -> datetime | None:
    """Written like 2026-11-21T18:00:00+0000."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
