"""Make many renditions anew: those that were made by older settings of their profiles.

The old files serve until the new ones are there. All of it is work in the background: it comes
after new videos, and makes way for what people wait for. A large number is put in line by a job,
in pieces, so that neither a request nor other writers wait for it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import access, events, jobs
from appliance.db import database, transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Job, Priority, Rendition, Role, Video
from appliance.states import JobState, RenditionState, VideoState
from tasks import pipeline, profiles, renditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.models import User
    from tasks.context import Context, Outcome

# More than this a request doesn't wait for.
AT_ONCE = 100
MOST_VIDEOS = 1000
# Jobs that are made in one transaction: other writers wait for about a tenth of a second.
_PIECE = 25


@dataclass(frozen=True)
class Choice:
    """Which stale renditions. ``profile`` None: of all; ``owner_id`` None: of everybody's videos;
    ``video_ids`` None: of all videos."""

    profile: str | None = None
    owner_id: int | None = None
    video_ids: tuple[int, ...] | None = None


def remake_many(
    actor: User,
    *,
    profile: str | None = None,
    videos: Sequence[str] | None = None,
    only_at_night: bool = False,
) -> int:
    """Have stale renditions made anew: of these ``videos`` (public ids), or, None, of all that are
    the actor's to remake: an editor's own, an admin's everybody's. How many renditions.

    Raises NotFound for a video that the actor doesn't see, Forbidden, InvalidInput.
    """
    access.require(actor, Role.EDITOR)
    if profile is not None and profile not in profiles.PROFILES:
        names = ", ".join(profiles.PROFILES)
        raise InvalidInput(f"The profile is one of these: {names}.", field="profile")
    if videos is not None and len(videos) > MOST_VIDEOS:
        raise InvalidInput(f"Name at most {MOST_VIDEOS} videos at a time.", field="video_ids")
    if videos is None:
        everybody = access.at_least(actor, Role.ADMIN)
        choice = Choice(profile, None if everybody else actor.id)
    else:
        named = [access.get_video(actor, public_id) for public_id in dict.fromkeys(videos)]
        choice = Choice(profile, video_ids=tuple(video.id for video in named))
    count = int(stale(choice).count())
    if count == 0:
        return 0
    with transaction():
        events.audit(actor, "renditions.remake", profile=profile, count=count, night=only_at_night)
        if count > AT_ONCE:
            _put_in_line_later(choice, only_at_night=only_at_night)
    if count > AT_ONCE:
        return count
    return put_in_line(choice, only_at_night=only_at_night)


def stale(choice: Choice) -> Any:
    """Query: the stale renditions that can be made anew, oldest first."""
    names = [choice.profile] if choice.profile is not None else list(profiles.PROFILES)
    other: Any = None
    for name in names:
        recipe = profiles.current(name).recipe
        # Two ranges, which an index answers; "is not" would read all.
        one = (Rendition.profile == name) & (
            (Rendition.recipe < recipe) | (Rendition.recipe > recipe)
        )
        other = one if other is None else other | one
    conditions = [
        other,
        Rendition.state == RenditionState.READY,
        Video.state != VideoState.TRASHED,
        Video.original_removed_at.is_null(),
    ]
    if choice.owner_id is not None:
        conditions.append(Video.owner == choice.owner_id)
    if choice.video_ids is not None:
        conditions.append(Video.id.in_(choice.video_ids))
    return Rendition.select(Rendition).join(Video).where(*conditions).order_by(Rendition.id)


def put_in_line(choice: Choice, *, only_at_night: bool, context: Context | None = None) -> int:
    """A job for each, in short transactions; how many. Repeatable: live jobs are found again."""
    done, last = 0, 0
    while True:
        with transaction():
            rows = list(stale(choice).where(Rendition.id > last).limit(_PIECE))
            for rendition in rows:
                last = rendition.id
                try:
                    renditions.remake(rendition, Priority.LOW, only_at_night=only_at_night)
                except Conflict:
                    continue  # not as it was sent, say; its page tells
                done += 1
        if len(rows) < _PIECE:
            return done
        if context is not None:
            context.moved()
            context.check()


# Many: by a job


def _put_in_line_later(choice: Choice, *, only_at_night: bool) -> None:
    payload = {
        "profile": choice.profile,
        "owner_id": choice.owner_id,
        "video_ids": choice.video_ids,
        "only_at_night": only_at_night,
    }
    # The same wish twice is one job.
    digest = hashlib.sha256(json.dumps(payload).encode()).hexdigest()
    jobs.create("remake", f"remake:{digest[:16]}", payload=payload)


def make_jobs(job: Job, context: Context) -> Outcome:
    """The work of a job ``remake``."""
    wanted = job.payload
    ids = wanted["video_ids"]
    choice = Choice(wanted["profile"], wanted["owner_id"], tuple(ids) if ids is not None else None)
    with database.connection_context():
        put_in_line(choice, only_at_night=bool(wanted["only_at_night"]), context=context)
    return None


# And back


def cancel_remakes(actor: User) -> int:
    """Take out of the line what would be made anew: of an editor the own, of an admin all.

    How many. What runs is finished, and the old files stay in use.
    """
    access.require(actor, Role.EDITOR)
    everybody = access.at_least(actor, Role.ADMIN)
    mine: Any = Video.id.is_null(False) if everybody else Video.owner == actor.id
    done = 0
    with transaction():
        for job in Job.select().where(Job.kind == "remake", Job.state == JobState.QUEUED):
            if everybody or job.payload.get("owner_id") == actor.id:
                pipeline.cancel_job(job, actor)
    while True:
        with transaction():
            rows = list(
                Job.select(Job, Video)
                .join(Video)
                .where(
                    Job.state == JobState.QUEUED,
                    fn.json_extract(Job.payload, "$.remake").is_null(False),
                    mine,
                )
                .limit(_PIECE)
            )
            for job in rows:
                if jobs.cancel(job) is JobState.CANCELLED:
                    pipeline.settle_cancel(Job.get_by_id(job.id))
            done += len(rows)
        if len(rows) < _PIECE:
            break
    if done:
        events.audit(actor, "renditions.remake_cancel", count=done)
    return done
