"""Who uses the box: users, their sessions, tokens and invites; and what they did."""

from __future__ import annotations

from enum import StrEnum

from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    ForeignKeyField,
    IntegerField,
    TextField,
)

from appliance.clock import now
from appliance.db import JsonField, Row, StateField, TimeField
from appliance.ids import new_id


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


class InviteKind(StrEnum):
    SETUP = "setup"  # the first admin; printed by the first start
    INVITE = "invite"
    RESET = "reset"  # a new password for somebody who is here already


class User(Row):
    public_id = CharField(unique=True, default=new_id)
    email = CharField(unique=True)  # lower case
    name = CharField(default="")
    role = StateField(Role)
    password_hash = TextField(null=True)  # None: invited by the CLI, has set none yet
    time_zone = CharField(default="UTC")
    theme = CharField(default="system")
    shortcuts = BooleanField(default=True)
    quota_bytes = BigIntegerField(null=True)  # None: the setting user_quota; -1: no limit
    created_at = TimeField(default=now)
    last_seen_at = TimeField(null=True)
    deactivated_at = TimeField(null=True)


class Session(Row):
    token_hash = CharField(unique=True)
    user = ForeignKeyField(User, on_delete="CASCADE", backref="sessions")
    created_at = TimeField(default=now)
    last_seen_at = TimeField(default=now)
    expires_at = TimeField()
    address = CharField(default="")
    agent = CharField(default="")
    user_id: int


class ApiToken(Row):
    public_id = CharField(unique=True, default=new_id)
    user = ForeignKeyField(User, on_delete="CASCADE", backref="api_tokens")
    name = CharField()
    prefix = CharField()  # the first characters, so that a person can tell tokens apart
    token_hash = CharField(unique=True)
    scopes = JsonField(default=list)
    created_at = TimeField(default=now)
    last_used_at = TimeField(null=True)
    expires_at = TimeField(null=True)
    revoked_at = TimeField(null=True)
    user_id: int


class Invite(Row):
    public_id = CharField(unique=True, default=new_id)
    kind = StateField(InviteKind)
    token_hash = CharField(unique=True)
    role = StateField(Role)
    email = CharField(default="")
    user = ForeignKeyField(User, null=True, on_delete="CASCADE")  # RESET: whose password
    created_by = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="invites_made")
    created_at = TimeField(default=now)
    expires_at = TimeField()
    used_at = TimeField(null=True)
    revoked_at = TimeField(null=True)
    user_id: int | None
    created_by_id: int | None


class Throttle(Row):
    """Wrong passwords (and the like) for one account or one address."""

    key = CharField(unique=True)
    failures = IntegerField(default=0)
    last_at = TimeField(default=now)


class AuditEntry(Row):
    at = TimeField(default=now, index=True)
    actor = ForeignKeyField(User, null=True, on_delete="SET NULL")
    actor_name = CharField(default="")  # kept when the user is gone
    action = CharField()
    subject = CharField(default="")
    detail = JsonField(default=dict)
    address = CharField(default="")
    actor_id: int | None
