"""All states, and the moves between them, in one place.

A move is a compare-and-set: ``UPDATE … WHERE state = old``. Zero rows changed means that somebody
else was first. The tables below are the only source of what may follow what; the diagrams in
docs/states.md are made from them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from appliance.errors import InvalidTransition

if TYPE_CHECKING:
    from collections.abc import Mapping


class UploadState(StrEnum):
    RECEIVING = "receiving"
    FINISHING = "finishing"  # all bytes are durable; adoption is under way or was cut short
    COMPLETE = "complete"  # adopted as the original of a video
    TERMINATED = "terminated"
    EXPIRED = "expired"
    LOST = "lost"  # fewer bytes on disk than were acknowledged: the disk or the admin took them
    FAILED = "failed"  # the client said so (upload/complete with success=false)


class VideoState(StrEnum):
    UPLOADING = "uploading"
    RECEIVED = "received"  # the original is here; nobody has looked at it yet
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"  # the original is kept and can be downloaded
    TRASHED = "trashed"


class RenditionState(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PostState(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TargetState(StrEnum):
    WAITING = "waiting"  # for its time, or for the rendition
    STAGING = "staging"
    STAGED = "staged"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    FAILED = "failed"
    UNSURE = "unsure"  # the answer was lost: the platform is asked before anything else
    NEEDS_PERSON = "needs_person"  # the platform can't tell: "it is there" or "send again"
    CANCELLED = "cancelled"


class ConnectionState(StrEnum):
    """An account that is being connected by OAuth."""

    WAITING = "waiting"  # for the person, who is at the platform
    REDEEMING = "redeeming"  # the code is back; a delivery job turns it into tokens
    CHOOSING = "choosing"  # several pages or channels: which of them?
    CONNECTED = "connected"
    FAILED = "failed"
    EXPIRED = "expired"


class ApprovalState(StrEnum):
    NOT_NEEDED = "not_needed"
    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"


class AccountState(StrEnum):
    CONNECTED = "connected"
    RECONNECT = "reconnect"  # the platform no longer accepts our sign-in
    DISABLED = "disabled"


class RunState(StrEnum):
    """A run that makes or checks backups."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class AlertState(StrEnum):
    OPEN = "open"
    CLEARED = "cleared"  # its cause is gone


UPLOAD_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    UploadState.RECEIVING: frozenset(
        {
            UploadState.FINISHING,
            UploadState.TERMINATED,
            UploadState.EXPIRED,
            UploadState.LOST,
            UploadState.FAILED,
        }
    ),
    UploadState.FINISHING: frozenset({UploadState.COMPLETE, UploadState.LOST}),
}

VIDEO_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    VideoState.UPLOADING: frozenset({VideoState.RECEIVED, VideoState.FAILED, VideoState.TRASHED}),
    VideoState.RECEIVED: frozenset({VideoState.PROCESSING, VideoState.FAILED, VideoState.TRASHED}),
    VideoState.PROCESSING: frozenset({VideoState.READY, VideoState.FAILED, VideoState.TRASHED}),
    # PROCESSING: Retry, or a profile that changed. FAILED: it isn't what was sent, says the sender.
    VideoState.READY: frozenset({VideoState.PROCESSING, VideoState.FAILED, VideoState.TRASHED}),
    VideoState.FAILED: frozenset({VideoState.PROCESSING, VideoState.UPLOADING, VideoState.TRASHED}),
    # Undo: back to where it was (Video.state_before_trash).
    VideoState.TRASHED: frozenset(
        {VideoState.RECEIVED, VideoState.PROCESSING, VideoState.READY, VideoState.FAILED}
    ),
}

RENDITION_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    RenditionState.PENDING: frozenset({RenditionState.PROCESSING, RenditionState.FAILED}),
    RenditionState.PROCESSING: frozenset(
        {RenditionState.READY, RenditionState.FAILED, RenditionState.PENDING}
    ),
    RenditionState.READY: frozenset({RenditionState.PENDING}),
    RenditionState.FAILED: frozenset({RenditionState.PENDING}),
}

JOB_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.FAILED}),
    # RUNNING → QUEUED: retry by backoff, lease lost, or the worker was told to stop.
    JobState.RUNNING: frozenset(
        {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}
    ),
    JobState.FAILED: frozenset({JobState.QUEUED}),  # somebody pressed Retry
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}

TARGET_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    TargetState.WAITING: frozenset(
        {
            TargetState.STAGING,
            TargetState.PUBLISHING,
            TargetState.FAILED,
            TargetState.CANCELLED,
        }
    ),
    TargetState.STAGING: frozenset(
        {
            TargetState.STAGED,
            TargetState.WAITING,
            TargetState.PUBLISHED,  # it turned out to be public already
            TargetState.FAILED,
            TargetState.UNSURE,
            TargetState.CANCELLED,
        }
    ),
    # WAITING: taken back, to be staged anew. PUBLISHED, UNSURE: the platform held it till its time.
    TargetState.STAGED: frozenset(
        {
            TargetState.PUBLISHING,
            TargetState.STAGING,
            TargetState.WAITING,
            TargetState.PUBLISHED,
            TargetState.UNSURE,
            TargetState.FAILED,
            TargetState.CANCELLED,
        }
    ),
    # PUBLISHING → STAGED, WAITING: the platform said no for now, so nothing was made public.
    TargetState.PUBLISHING: frozenset(
        {
            TargetState.PUBLISHED,
            TargetState.FAILED,
            TargetState.UNSURE,
            TargetState.STAGED,
            TargetState.WAITING,
        }
    ),
    # Reconciled: it is there, it is not, or the platform can't tell.
    TargetState.UNSURE: frozenset(
        {
            TargetState.PUBLISHED,
            TargetState.FAILED,
            TargetState.NEEDS_PERSON,
            TargetState.STAGED,
            TargetState.STAGING,
            TargetState.PUBLISHING,
            TargetState.WAITING,
        }
    ),
    TargetState.NEEDS_PERSON: frozenset(
        {TargetState.PUBLISHED, TargetState.WAITING, TargetState.CANCELLED}
    ),
    TargetState.FAILED: frozenset({TargetState.WAITING}),
}

CONNECTION_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    ConnectionState.WAITING: frozenset(
        {ConnectionState.REDEEMING, ConnectionState.FAILED, ConnectionState.EXPIRED}
    ),
    ConnectionState.REDEEMING: frozenset(
        {
            ConnectionState.CHOOSING,
            ConnectionState.CONNECTED,
            ConnectionState.FAILED,
            ConnectionState.EXPIRED,
        }
    ),
    ConnectionState.CHOOSING: frozenset(
        {ConnectionState.CONNECTED, ConnectionState.FAILED, ConnectionState.EXPIRED}
    ),
}

# To NOT_NEEDED: the author took the question back, or changes what was refused.
APPROVAL_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    ApprovalState.NOT_NEEDED: frozenset({ApprovalState.REQUESTED}),
    ApprovalState.REQUESTED: frozenset(
        {ApprovalState.APPROVED, ApprovalState.REFUSED, ApprovalState.NOT_NEEDED}
    ),
    ApprovalState.REFUSED: frozenset({ApprovalState.REQUESTED, ApprovalState.NOT_NEEDED}),
}

RUN_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    RunState.RUNNING: frozenset({RunState.COMPLETED, RunState.FAILED}),
}

ALERT_MOVES: Mapping[StrEnum, frozenset[StrEnum]] = {
    AlertState.OPEN: frozenset({AlertState.CLEARED}),
    AlertState.CLEARED: frozenset({AlertState.OPEN}),  # the cause came back
}

JOB_ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
TARGET_ENDED = frozenset(
    {
        TargetState.PUBLISHED,
        TargetState.FAILED,
        TargetState.NEEDS_PERSON,
        TargetState.CANCELLED,
    }
)
OUT_OR_GOING = frozenset({TargetState.PUBLISHED, TargetState.PUBLISHING, TargetState.NEEDS_PERSON})
POST_ENDED = frozenset(
    {PostState.COMPLETED, PostState.PARTIAL, PostState.FAILED, PostState.CANCELLED}
)

MOVES: Mapping[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]] = {
    UploadState: UPLOAD_MOVES,
    VideoState: VIDEO_MOVES,
    RenditionState: RENDITION_MOVES,
    JobState: JOB_MOVES,
    TargetState: TARGET_MOVES,
    ConnectionState: CONNECTION_MOVES,
    ApprovalState: APPROVAL_MOVES,
    RunState: RUN_MOVES,
    AlertState: ALERT_MOVES,
}


def check_move(old: StrEnum, new: StrEnum) -> None:
    """Raises InvalidTransition when the tables don't allow ``old → new``."""
    if new not in MOVES[type(old)].get(old, frozenset()):
        raise InvalidTransition(f"This can't go from “{old}” to “{new}”.")


def move(
    row: type[Any], row_id: int, old: StrEnum, new: StrEnum, *also: Any, **columns: Any
) -> bool:
    """Move one row from ``old`` to ``new``; False when somebody else moved it first.

    ``also`` are further conditions (a fence, say); ``columns`` are written with the state.
    Raises InvalidTransition when the tables don't allow the move.
    """
    check_move(old, new)
    query = row.update(state=new, **columns).where(row.id == row_id, row.state == old, *also)
    return int(query.execute()) == 1


def post_state(targets: list[TargetState], *, scheduled: bool = False) -> PostState:
    """What a post is, from what its targets are (a post has no will of its own).

    ``scheduled``: its time is still to come. A target that needs a person counts as not posted.
    """
    if not targets or all(t is TargetState.CANCELLED for t in targets):
        return PostState.CANCELLED
    if all(t in TARGET_ENDED for t in targets):
        published = sum(t is TargetState.PUBLISHED for t in targets)
        wanted = sum(t is not TargetState.CANCELLED for t in targets)
        if published == wanted:
            return PostState.COMPLETED
        return PostState.PARTIAL if published else PostState.FAILED
    if scheduled and not any(t in OUT_OR_GOING for t in targets):
        return PostState.SCHEDULED  # whatever is prepared ahead
    if all(t in (TargetState.WAITING, TargetState.CANCELLED) for t in targets):
        return PostState.PENDING
    return PostState.PROCESSING
