"""The events that are meant for programs elsewhere: their names, and what their bodies look like.

``GET /api/v1/events`` sends all that happens; these are kept stable, with these fields, and are
what webhooks carry. The body follows Standard Webhooks: ``{type, timestamp, data}``.
Source: standardwebhooks.com, "Payload structure". docs/events.md says what each is for.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.models import Event

# Of each event about a post; then what those about one account of it have besides.
POST_FIELDS = ("post_id", "video_id", "state")
TARGET_FIELDS = (
    *POST_FIELDS,
    "target_id",
    "account",
    "platform",
    "target_state",
    "stage",
    "url",
    "target_error",
)

# Name → (what has happened, the fields of its data).
EVENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "post.created": ("A post was made; nothing is sent yet.", POST_FIELDS),
    "post.submitted": ("A draft was sent off.", POST_FIELDS),
    "post.rescheduled": ("It goes out at another time, or now.", POST_FIELDS),
    "post.late": ("Its time passed while the box was away; a person decides.", POST_FIELDS),
    "post.approval_requested": ("It waits for somebody to approve it.", POST_FIELDS),
    "post.approval_withdrawn": ("Its author no longer asks for approval.", POST_FIELDS),
    "post.approved": ("Somebody approved it; it goes.", (*POST_FIELDS, "note")),
    "post.refused": ("Somebody refused it; `note` says why.", (*POST_FIELDS, "note")),
    "post.scheduled": ("It waits for its time.", POST_FIELDS),
    "post.pending": ("It waits to be sent.", POST_FIELDS),
    "post.processing": ("It is on its way to at least one account.", POST_FIELDS),
    "post.completed": ("It is public in each account.", POST_FIELDS),
    "post.partial": ("It is public in some accounts, and failed in others.", POST_FIELDS),
    "post.failed": ("It is public nowhere; `error` says why.", (*POST_FIELDS, "error")),
    "post.cancelled": ("It was called back before it went out.", POST_FIELDS),
    "target.waiting": ("An account waits: for its time, or for the video.", TARGET_FIELDS),
    "target.staging": ("The video is being brought there, unseen.", TARGET_FIELDS),
    "target.staged": ("All is there; one call makes it public.", TARGET_FIELDS),
    "target.publishing": ("It is being made public.", TARGET_FIELDS),
    "target.published": ("It is public at `url`.", TARGET_FIELDS),
    "target.failed": ("It failed; `target_error` says why.", TARGET_FIELDS),
    "target.unsure": ("The answer was lost; the platform is asked.", TARGET_FIELDS),
    "target.needs_person": ("The platform can't tell: somebody has to look.", TARGET_FIELDS),
    "target.cancelled": ("It was called back, or sent again as another.", TARGET_FIELDS),
    "target.edited": ("Its text was changed.", TARGET_FIELDS),
    "target.commented": ("The first comment is under it.", TARGET_FIELDS),
    "target.numbers": ("The platform told its views and likes.", TARGET_FIELDS),
    "target.removed": ("It is no longer on the platform.", TARGET_FIELDS),
}


def body_of(event: Event) -> dict[str, Any] | None:
    """What is sent about it; None: it isn't one of these."""
    if event.type not in EVENTS:
        return None
    fields = EVENTS[event.type][1]
    at = event.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {
        "type": event.type,
        "timestamp": at,
        "data": {name: event.data.get(name) for name in fields},
    }
