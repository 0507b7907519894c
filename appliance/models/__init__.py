"""All rows (columns, constraints, indexes); one module for each part of the story."""

from appliance.models.media import (
    Method,
    PublicLink,
    Rendition,
    Source,
    Upload,
    Video,
    Visibility,
)
from appliance.models.people import (
    ApiToken,
    AuditEntry,
    Invite,
    InviteKind,
    Role,
    Session,
    Throttle,
    User,
)
from appliance.models.posting import Account, Attempt, IdempotencyKey, Post, PostTarget
from appliance.models.work import Event, Heartbeat, Job, Priority, Setting

ALL = (
    User,
    Session,
    ApiToken,
    Invite,
    Throttle,
    AuditEntry,
    Video,
    Upload,
    Rendition,
    PublicLink,
    Account,
    Post,
    PostTarget,
    Attempt,
    IdempotencyKey,
    Job,
    Event,
    Heartbeat,
    Setting,
)

__all__ = [
    "ALL",
    "Account",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "Event",
    "Heartbeat",
    "IdempotencyKey",
    "Invite",
    "InviteKind",
    "Job",
    "Method",
    "Post",
    "PostTarget",
    "Priority",
    "PublicLink",
    "Rendition",
    "Role",
    "Session",
    "Setting",
    "Source",
    "Throttle",
    "Upload",
    "User",
    "Video",
    "Visibility",
]
