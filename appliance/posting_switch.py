"""Pause all posting: one switch for the whole box, for the minute in which something is wrong.

While it is on nothing new is sent or made public; what waits keeps its place and goes on
afterwards. Kept in the row "posting" of the settings. Functions want an open connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from appliance import events, kept
from appliance.clock import now
from appliance.db import transaction
from appliance.text import clean_line

if TYPE_CHECKING:
    from appliance.models import User

NAME = "posting"
MAX_REASON_BYTES = 500


@dataclass(frozen=True)
class Pause:
    """``by``: the mail address of who has pressed it; "" from the shell of the box."""

    since: datetime
    by: str = ""
    reason: str = ""


def current() -> Pause | None:
    """The pause that holds now; None: posts go out."""
    value = kept.read(NAME)
    if not value.get("paused"):
        return None
    since = datetime.fromisoformat(value["since"])
    return Pause(since, by=str(value.get("by", "")), reason=str(value.get("reason", "")))


def is_paused() -> bool:
    return current() is not None


def pause(actor: User | None, reason: str = "") -> Pause:
    """Hold everything back from now on; a second press changes the reason alone."""
    with transaction():
        before = current()
        held = Pause(
            since=before.since if before else now(),
            by=actor.email if actor else "",
            reason=clean_line(reason, max_bytes=MAX_REASON_BYTES),
        )
        value = {"since": held.since.isoformat(), "by": held.by, "reason": held.reason}
        kept.write(NAME, {"paused": True, **value})
        events.record("posting.paused", "posting:all", reason=held.reason)
        events.audit(actor, "posting.pause", "posting:all", reason=held.reason)
    return held


def resume(actor: User | None) -> bool:
    """Let posts go again; False when they did already. Who waits: tasks/connect/flow.py rings."""
    with transaction():
        if current() is None:
            return False
        kept.write(NAME, {"paused": False})
        events.record("posting.resumed", "posting:all")
        events.audit(actor, "posting.resume", "posting:all")
    return True
