"""Where videos go: accounts, posts, and one target for each account of a post."""

from __future__ import annotations

from peewee import BooleanField, CharField, ForeignKeyField, IntegerField, TextField

from appliance.clock import now
from appliance.db import JsonField, Row, SealedField, StateField, TimeField
from appliance.ids import new_id
from appliance.models.media import PublicLink, Rendition, Video
from appliance.models.people import User
from appliance.states import (
    AccountState,
    ApprovalState,
    ConnectionState,
    PostState,
    TargetState,
)


class Account(Row):
    """A connected channel, page or folder."""

    public_id = CharField(unique=True, default=new_id)
    platform = CharField()  # a name in tasks.publish.registry.PUBLISHERS
    name = CharField()
    remote_id = CharField()
    state = StateField(AccountState, default=AccountState.CONNECTED)
    credentials = SealedField()  # appliance.accounts opens and closes it
    options = JsonField(default=dict)
    error = TextField(null=True)
    created_by = ForeignKeyField(User, null=True, on_delete="SET NULL")
    created_at = TimeField(default=now)
    last_used_at = TimeField(null=True)
    practice = BooleanField(default=False)  # on this box's own stand-in of the platform
    facts = JsonField(default=dict)  # what the last look told: link, picture, scopes, warnings
    stage_ahead = BooleanField(default=False)  # bring files there before anybody presses Post
    expires_at = TimeField(null=True)  # when somebody has to sign in again; None: not known to end
    checked_at = TimeField(null=True)  # the last look whether the sign-in works
    failures = IntegerField(default=0)  # in a row, of the platform, whatever the post
    paused_until = TimeField(null=True)  # nothing is sent there before
    pause_reason = TextField(null=True)
    created_by_id: int | None

    class Meta:
        indexes = ((("platform", "remote_id"), True),)


class Post(Row):
    public_id = CharField(unique=True, default=new_id)
    video = ForeignKeyField(Video, on_delete="CASCADE", backref="posts")
    author = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="posts")
    state = StateField(PostState, default=PostState.PENDING, index=True)
    approval = StateField(ApprovalState, default=ApprovalState.NOT_NEEDED)
    approved_by = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="posts_approved")
    draft = JsonField(null=True)  # what the person has typed so far; DRAFT only
    title = TextField(default="")
    description = TextField(default="")
    publish_at = TimeField(null=True)  # None: as soon as it can
    time_zone = CharField(default="UTC")  # the zone in which publish_at was chosen
    late_since = TimeField(null=True)  # its time passed while the box was away; a person decides
    approval_note = TextField(default="")  # why it was refused, or what to look at
    hold_there = BooleanField(default=False)  # platforms that can keep it until its time
    error = TextField(null=True)
    created_at = TimeField(default=now, index=True)
    updated_at = TimeField(default=now)
    finished_at = TimeField(null=True)
    video_id: int
    author_id: int | None
    approved_by_id: int | None


class PostTarget(Row):
    """One account of a post. The pair can't exist twice, so a double click can't post twice.

    ``generation`` goes up only when a person says "send again" about something that may be there.
    """

    public_id = CharField(unique=True, default=new_id)
    post = ForeignKeyField(Post, on_delete="CASCADE", backref="targets")
    account = ForeignKeyField(Account, on_delete="RESTRICT", backref="targets")
    generation = IntegerField(default=1)
    state = StateField(TargetState, default=TargetState.WAITING, index=True)
    stage = CharField(default="")  # in words, for the screen
    overrides = JsonField(default=dict)  # title and description for this account alone
    checkpoint = JsonField(
        default=dict
    )  # saved before each remote call; opaque to all but the publisher
    staged_until = TimeField(null=True)  # STAGED: when the platform forgets it; None: never
    rendition = ForeignKeyField(Rendition, null=True, on_delete="SET NULL")
    public_link = ForeignKeyField(PublicLink, null=True, on_delete="SET NULL")
    remote_id = CharField(null=True)
    url = TextField(null=True)
    error = TextField(null=True)
    error_code = CharField(null=True)
    error_detail = TextField(null=True)
    created_at = TimeField(default=now)
    updated_at = TimeField(default=now)
    published_at = TimeField(null=True)
    held_until = TimeField(null=True)  # STAGED: the platform itself makes it public then
    staged_as = CharField(null=True)  # of the texts and files that were staged: another is stale
    edited_at = TimeField(null=True)  # its texts were changed there, by us
    deleted_at = TimeField(null=True)  # it was removed there, by us
    numbers = JsonField(default=dict)  # views, likes, comments: what the platform counts
    numbers_at = TimeField(null=True)
    post_id: int
    account_id: int
    rendition_id: int | None
    public_link_id: int | None

    class Meta:
        indexes = ((("post", "account", "generation"), True),)


class Attempt(Row):
    """One call of a publisher for a target, for the record."""

    target = ForeignKeyField(PostTarget, on_delete="CASCADE", backref="attempts")
    step = CharField()  # stage, poll, go_live, reconcile, delete
    outcome = CharField(null=True)  # None: under way, or its answer was lost
    error = TextField(null=True)
    detail = TextField(null=True)
    needs_person = BooleanField(default=False)
    started_at = TimeField(default=now)
    ended_at = TimeField(null=True)
    target_id: int


class Connection(Row):
    """An account on its way in: from "Connect" through the platform's own pages and back.

    ``secret_hash``: of the ``state`` that the platform hands back; the way to this row. ``sealed``:
    the PKCE verifier, then the tokens until the account is made. ``account``: the one that is
    connected again. ``found``: what can be chosen from, for the screen; no secrets.
    """

    public_id = CharField(unique=True, default=new_id)
    platform = CharField()
    practice = BooleanField(default=False)
    state = StateField(ConnectionState, default=ConnectionState.WAITING)
    secret_hash = CharField(unique=True)
    sealed = SealedField()
    user = ForeignKeyField(User, on_delete="CASCADE")
    account = ForeignKeyField(Account, null=True, on_delete="SET NULL")
    found = JsonField(default=list)
    error = TextField(null=True)
    created_at = TimeField(default=now)
    updated_at = TimeField(default=now)
    expires_at = TimeField()
    user_id: int
    account_id: int | None


class QuotaUse(Row):
    """What calls have cost of a platform's allowance, as far as we count it ourselves."""

    account = ForeignKeyField(Account, on_delete="CASCADE")
    target = ForeignKeyField(PostTarget, null=True, on_delete="SET NULL")
    bucket = CharField()  # a name in the publisher's capabilities
    units = IntegerField()
    at = TimeField(default=now)
    account_id: int
    target_id: int | None

    class Meta:
        indexes = ((("account", "bucket", "at"), False),)


class Slot(Row):
    """A time of the week at which posts go out: what "the next free slot" means."""

    public_id = CharField(unique=True, default=new_id)
    weekday = IntegerField()  # 0 is Monday
    time = CharField()  # "18:00", by the clocks of the zone
    time_zone = CharField()
    created_by = ForeignKeyField(User, null=True, on_delete="SET NULL")
    created_at = TimeField(default=now)
    created_by_id: int | None

    class Meta:
        indexes = ((("weekday", "time", "time_zone"), True),)


class PostTemplate(Row):
    """Texts to begin with, for all of the team."""

    public_id = CharField(unique=True, default=new_id)
    name = CharField(unique=True)
    title = TextField(default="")
    description = TextField(default="")
    options = JsonField(default=dict)
    created_by = ForeignKeyField(User, null=True, on_delete="SET NULL")
    created_at = TimeField(default=now)
    updated_at = TimeField(default=now)
    created_by_id: int | None


class IdempotencyKey(Row):
    """The answer to a request that was sent with ``Idempotency-Key``, to be given again."""

    user = ForeignKeyField(User, on_delete="CASCADE")
    key = CharField()
    fingerprint = CharField()  # of the request: the same key for another request is an error
    answer = JsonField(null=True)
    created_at = TimeField(default=now, index=True)
    user_id: int

    class Meta:
        indexes = ((("user", "key"), True),)
