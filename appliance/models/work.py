"""Work that takes time, and what the box says about itself."""

from __future__ import annotations

from enum import IntEnum

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
from appliance.db import JsonField, Row, StateField, TimeField
from appliance.ids import new_id
from appliance.models.media import Rendition, Video
from appliance.models.people import User
from appliance.models.posting import Post, PostTarget
from appliance.states import JobState


class Priority(IntEnum):
    LOW = 10
    NORMAL = 50
    SOON = 70  # small things that people look at first; called "normal" outside
    HIGH = 90


class Job(Row):
    """One row of work; the truth. The queue only rings the bell (docs/decisions/0003)."""

    public_id = CharField(unique=True, default=new_id)
    kind = CharField(index=True)
    queue = CharField()
    key = CharField()  # names the work: of two live jobs with the same key the second is the first
    video = ForeignKeyField(Video, null=True, on_delete="CASCADE", backref="jobs")
    rendition = ForeignKeyField(Rendition, null=True, on_delete="CASCADE", backref="jobs")
    post = ForeignKeyField(Post, null=True, on_delete="CASCADE", backref="jobs")
    target = ForeignKeyField(PostTarget, null=True, on_delete="CASCADE", backref="jobs")
    payload = JsonField(default=dict)
    state = StateField(JobState, default=JobState.QUEUED)
    priority = IntegerField(default=int(Priority.NORMAL))
    attempts = IntegerField(default=0)  # errors so far
    max_attempts = IntegerField(default=3)
    crashes = IntegerField(default=0)  # leases lost so far
    stalls = IntegerField(default=0)  # how often it was ended because nothing moved
    fence = IntegerField(default=0)  # one up by each claim; writes of an older claim are refused
    run_after = TimeField(null=True)
    only_at_night = BooleanField(default=False)  # claimed only within `night_hours`
    # What it takes while it runs, so that no more is started than the machine carries.
    cores = FloatField(default=0.0)
    memory_mib = IntegerField(default=0)
    room_bytes = BigIntegerField(default=0)  # what it will leave on the disk, about
    work = FloatField(default=0.0)  # how much of it there is, in the unit of JobSample
    lease_owner = CharField(null=True)
    lease_until = FloatField(null=True)  # clock.boottime_s
    lease_boot = CharField(null=True)
    cancel_requested = BooleanField(default=False)
    stage = CharField(default="")
    progress = FloatField(default=0.0)  # 0 to 1, never backwards on one way to the end
    eta_s = FloatField(null=True)
    error = TextField(null=True)
    error_code = CharField(null=True)
    detail = TextField(null=True)  # the end of ffmpeg's words, a platform's raw answer
    created_at = TimeField(default=now, index=True)
    started_at = TimeField(null=True)
    finished_at = TimeField(null=True)
    video_id: int | None
    rendition_id: int | None
    post_id: int | None
    target_id: int | None

    class Meta:
        indexes = (
            # What runs, and the numbers of the Jobs page, without the rows.
            (("state", "finished_at", "kind", "error_code", "video"), False),
        )


# Word for word as in the partial indexes: SQLite doesn't look into parameters for them.
QUEUED = Job.state == SQL("'queued'")
LIVE = Job.state.in_([SQL("'queued'"), SQL("'running'")])

# At most one live job for a key: what makes "triggered twice" harmless.
Job.add_index(
    Job.index(Job.key, unique=True, name="job_live_key").where(
        SQL("state IN ('queued', 'running')")
    )
)
# The lines, each in the order in which it is worked off.
Job.add_index(
    SQL(
        'CREATE INDEX "job_line" ON "job" ("queue", "priority" DESC, "id", "run_after",'
        ' "only_at_night") WHERE "state" = \'queued\''
    )
)


class JobRun(Row):
    """One claim of one job: who worked on it, and how that ended. Goes with its job."""

    job = ForeignKeyField(Job, on_delete="CASCADE", backref="runs")
    fence = IntegerField()
    worker = CharField()
    started_at = TimeField(default=now)
    ended_at = TimeField(null=True)
    outcome = CharField(default="")  # appliance.job_log.Ending; "" while it runs
    stage = CharField(default="")  # in which it ended
    progress = FloatField(default=0.0)
    error = TextField(null=True)
    error_code = CharField(null=True)
    detail = TextField(null=True)
    job_id: int


class JobSample(Row):
    """How long one completed job took, for guesses about the next ones. Outlives its job."""

    at = TimeField(default=now)
    kind = CharField()
    profile = CharField(default="")
    work = FloatField()  # in the unit of its kind: pixels to encode, bytes to read, seconds
    seconds = FloatField()

    class Meta:
        indexes = ((("kind", "profile"), False),)


class JobDay(Row):
    """How many jobs of a kind ended on a day (UTC), and how long they took. Outlives the jobs."""

    day = CharField()  # "2026-11-21"
    kind = CharField()
    completed = IntegerField(default=0)
    failed = IntegerField(default=0)
    cancelled = IntegerField(default=0)
    seconds = FloatField(default=0.0)  # of the completed, in sum

    class Meta:
        indexes = ((("day", "kind"), True),)


class Event(Row):
    """What happened, in order; feeds the live pages, the activity lists and later webhooks.

    Who may see it is decided when it is written: everybody of the team, or one user and the
    admins (``only_user``), or the admins alone (``admins_only``).
    """

    at = TimeField(default=now, index=True)
    type = CharField()  # "video.ready", "job.progress", …
    subject = CharField()  # "video:ID"
    actor = ForeignKeyField(User, null=True, on_delete="SET NULL", backref="events_caused")
    video = ForeignKeyField(Video, null=True, on_delete="CASCADE", backref="events")
    only_user = ForeignKeyField(User, null=True, on_delete="CASCADE", backref="events_for")
    admins_only = BooleanField(default=False)
    data = JsonField(default=dict)
    actor_id: int | None
    video_id: int | None
    only_user_id: int | None


class Heartbeat(Row):
    process = CharField(unique=True)  # "web", "worker-media", …
    pid = IntegerField()
    boot_id = CharField()
    beat_boottime_s = FloatField()
    beat_at = TimeField(default=now)
    started_at = TimeField(default=now)
    info = JsonField(default=dict)


class Setting(Row):
    """What is changed on the Settings pages, as opposed to appliance/settings.py."""

    name = CharField(unique=True)
    value = JsonField()
    updated_at = TimeField(default=now)
