"""What is brought in and what is made of it."""

from __future__ import annotations

from enum import StrEnum

from peewee import (
    SQL,
    BigIntegerField,
    BooleanField,
    CharField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    TextField,
)

from appliance.clock import now
from appliance.db import JsonField, Row, SealedField, StateField, TimeField
from appliance.ids import new_id
from appliance.models.people import User
from appliance.states import RenditionState, UploadState, VideoState


class Visibility(StrEnum):
    TEAM = "team"
    PRIVATE = "private"  # its owner and the admins


class Source(StrEnum):
    """How a video came in."""

    BROWSER = "browser"
    API = "api"
    CLI = "cli"
    RECORDING = "recording"
    GUEST = "guest"
    IMPORT = "import"


class Method(StrEnum):
    """How a rendition was made, cheapest first."""

    LEAVE = "leave"  # the original fits as it is: a hard link
    REMUX = "remux"
    AUDIO = "audio"  # video copied, audio encoded
    TRANSCODE = "transcode"


class PosterChoice(StrEnum):
    AUTO = "auto"  # the box has chosen the picture
    MOMENT = "moment"  # a person has chosen the moment, ``poster_at_s``
    CUSTOM = "custom"  # a person has brought a picture


class Video(Row):
    public_id = CharField(unique=True, default=new_id)
    owner = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="videos")
    state = StateField(VideoState, default=VideoState.UPLOADING)
    state_before_trash = CharField(null=True)
    visibility = StateField(Visibility, default=Visibility.TEAM)
    source = StateField(Source)
    guest_name = CharField(null=True)  # who sent it, as they named themselves
    guest_link_id = IntegerField(null=True, index=True)  # links are revoked, never deleted
    guest_id = CharField(null=True)  # the guest's browser, so that they see again what they sent
    title = CharField()
    description = TextField(default="")
    filename = CharField()  # as the sender named it, cleaned; text only, never part of a path
    size_bytes = BigIntegerField(default=0)
    sha256 = CharField(null=True, index=True)  # of the original
    sent_sha256 = CharField(null=True)  # what the sender says it sent; compared when we know ours
    index_moved = BooleanField(default=False)  # the browser put the index in front of the media
    duration_s = FloatField(null=True)
    width = IntegerField(null=True)  # as shown, rotation applied
    height = IntegerField(null=True)
    facts = JsonField(null=True)  # tasks.probe.facts.Probe, as plain data
    poster_version = IntegerField(default=0)  # 0: no poster yet
    poster_choice = StateField(PosterChoice, default=PosterChoice.AUTO)
    poster_at_s = FloatField(null=True)  # where in the video the poster was taken
    keep_original = BooleanField(default=False)  # whatever the policy for originals says
    original_removed_at = TimeField(null=True)  # by the policy; the renditions are what is left
    link_generation = IntegerField(default=1)  # one up: all signed links of it die
    error = TextField(null=True)
    error_detail = TextField(null=True)
    created_at = TimeField(default=now, index=True)
    received_at = TimeField(null=True)
    ready_at = TimeField(null=True)
    deleted_at = TimeField(null=True)
    owner_id: int | None

    class Meta:
        indexes = (
            # The counts of the library.
            (("state", "visibility", "owner"), False),
        )


# All that the sums of the Storage page and the policy for originals read: at a hundred thousand
# videos they must not touch the rows, which hold what was found in the files.
Video.add_index(
    Video.index(
        Video.received_at,
        Video.original_removed_at,
        Video.state,
        Video.ready_at,
        Video.keep_original,
        Video.size_bytes,
        name="video_room",
    )
)
# What arrived otherwise than it was sent: hardly ever anything.
Video.add_index(
    SQL(
        'CREATE INDEX "video_unlike_sent" ON "video" ("state")'
        ' WHERE "sha256" != LOWER("sent_sha256")'
    )
)
# The orders of the library.
Video.add_index(SQL('CREATE INDEX "video_title_lower" ON "video" (LOWER("title"), "id" DESC)'))
Video.add_index(SQL('CREATE INDEX "video_duration" ON "video" (IFNULL("duration_s", 0.0), "id")'))


class Upload(Row):
    public_id = CharField(unique=True, default=new_id)
    token_hash = CharField()
    owner = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="uploads")
    video = ForeignKeyField(Video, null=True, on_delete="SET NULL", backref="uploads")
    source = StateField(Source)
    guest_link_id = IntegerField(null=True, index=True)
    protocol = CharField(default="")  # "tus", "draft", "put" or "form": how bytes came last
    # Of a concatenation (tus 1.0.0): "partial" or "final"; ``parts``: public ids of the partials.
    concat = CharField(null=True)
    concat_said = TextField(null=True)  # of a final: the header it came with, sealed by its token
    parts = JsonField(null=True)
    state = StateField(UploadState, default=UploadState.RECEIVING, index=True)
    length = BigIntegerField(null=True)  # None: not declared yet
    expected_bytes = BigIntegerField(default=0)  # room that is kept for one of unknown length
    complete_declared = BooleanField(default=False)  # the client said that these are all the bytes
    metadata_raw = TextField(default="")  # echoed byte for byte
    filename = CharField(default="")
    content_type = CharField(default="")
    durable_offset = BigIntegerField(default=0)  # acknowledged, hence on disk
    settled_offset = BigIntegerField(default=0)  # not taken back: readers may follow so far
    rewound = IntegerField(default=0)  # how often it was taken back all the same: readers give up
    boot_id = CharField(default="")  # of the machine's start in which durable_offset was written
    sent_sha256 = CharField(null=True)  # of the whole file, as the sender says
    early_look = JsonField(null=True)  # what its first bytes tell (tasks/early_look)
    final_answer = JsonField(null=True)
    error = TextField(null=True)
    created_at = TimeField(default=now)
    touched_at = TimeField(default=now)
    touched_boot_s = FloatField(default=0.0)  # on the clock of boot_id, which nobody sets
    expires_at = TimeField()
    owner_id: int | None
    video_id: int | None


class VideoTag(Row):
    """A word that people sort videos by; lower case, cleaned."""

    video = ForeignKeyField(Video, on_delete="CASCADE", backref="tags")
    name = CharField(index=True)
    video_id: int

    class Meta:
        indexes = ((("video", "name"), True),)


class GuestLink(Row):
    """An address at which people without an account may send videos."""

    public_id = CharField(unique=True, default=new_id)
    token_hash = CharField(unique=True)
    token_sealed = SealedField()  # shown again to those who may see the link
    created_by = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="guest_links")
    title = CharField()  # what guests read first: "Send us your clip"
    note = TextField(default="")
    tag = CharField(default="")  # given to each video that comes by it
    visibility = StateField(Visibility, default=Visibility.TEAM)
    password_hash = TextField(null=True)
    max_files = IntegerField(null=True)
    max_file_bytes = BigIntegerField(null=True)
    created_at = TimeField(default=now)
    expires_at = TimeField(null=True)
    revoked_at = TimeField(null=True)
    last_used_at = TimeField(null=True)
    created_by_id: int | None


class Rendition(Row):
    public_id = CharField(unique=True, default=new_id)
    video = ForeignKeyField(Video, on_delete="CASCADE", backref="renditions")
    profile = CharField()
    recipe = CharField(default="")  # of the profile that its file was made by; another: stale
    state = StateField(RenditionState, default=RenditionState.PENDING)
    # The priority with which somebody asked for it; 0: nobody did (auto_renditions may be off).
    wanted = IntegerField(default=0)
    method = StateField(Method, null=True)
    facts = JsonField(null=True)  # probe of the result, and how long it took
    size_bytes = BigIntegerField(default=0)
    sha256 = CharField(null=True)
    # Could be the only copy: smaller than the original, and shows no less, as far as can be
    # measured; None: not compared yet.
    stands_in = BooleanField(null=True)
    error = TextField(null=True)
    error_detail = TextField(null=True)
    created_at = TimeField(default=now)
    ready_at = TimeField(null=True)
    video_id: int

    class Meta:
        indexes = (
            (("video", "profile"), True),
            # What was made by other recipes than today's, without the rows.
            (("profile", "recipe", "state", "video"), False),
        )


Rendition.add_index(
    Rendition.index(
        Rendition.state,
        Rendition.profile,
        Rendition.method,
        Rendition.recipe,
        Rendition.size_bytes,
        Rendition.ready_at,
        Rendition.stands_in,
        Rendition.video,
        name="rendition_room",
    )
)


class Damage(Row):
    """A file of a video that is not as its row says; goes when the file is right again."""

    video = ForeignKeyField(Video, on_delete="CASCADE", backref="damages")
    name = CharField()  # "original", or the profile of a rendition
    problem = CharField()  # "missing", "size" or "content"
    mending = BooleanField(default=False)  # it is being made anew from the original
    found_at = TimeField(default=now)
    video_id: int

    class Meta:
        indexes = ((("video", "name"), True),)


class PublicLink(Row):
    """A capability to fetch one file of one video, without signing in."""

    public_id = CharField(unique=True, default=new_id)
    token_hash = CharField(unique=True)
    video = ForeignKeyField(Video, on_delete="CASCADE", backref="public_links")
    rendition = ForeignKeyField(Rendition, null=True, on_delete="CASCADE")  # None: the original
    purpose = CharField()  # "post", "share"
    created_by = ForeignKeyField(User, null=True, on_delete="SET NULL")
    created_at = TimeField(default=now)
    expires_at = TimeField()
    revoked_at = TimeField(null=True)
    last_used_at = TimeField(null=True)
    video_id: int
    rendition_id: int | None
    created_by_id: int | None
