"""Record what happened, in the transaction in which it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.models import AuditEntry, Event, Video, Visibility

if TYPE_CHECKING:
    from appliance.models import User


def record(
    type: str,
    subject: str,
    *,
    video: Video | None = None,
    actor_id: int | None = None,
    only_user_id: int | None = None,
    admins_only: bool = False,
    **data: Any,
) -> int:
    """Append one event; its number. ``subject`` is "video:ID", "job:ID", …

    Events of a private video go to its owner and the admins; so do those with ``only_user_id``.
    """
    if video is not None and only_user_id is None:
        # Who may see it now: a row in hand may be as old as the encode or the upload under way.
        private = Video.visibility == Visibility.PRIVATE
        fresh = Video.select(Video.owner).where(Video.id == video.id, private).first()
        if fresh is not None:
            only_user_id, admins_only = fresh.owner_id, fresh.owner_id is None
    event = Event.create(
        type=type,
        subject=subject,
        video=video,
        actor=actor_id,
        only_user=only_user_id,
        admins_only=admins_only,
        data=data,
    )
    return int(event.id)


def audit(
    actor: User | None, action: str, subject: str = "", *, address: str = "", **detail: Any
) -> None:
    """Append to the audit trail. ``actor`` None: the box itself, or its admin's shell."""
    AuditEntry.create(
        actor=actor,
        actor_name=actor.email if actor else "appliance",
        action=action,
        subject=subject,
        address=address,
        detail=detail,
    )
