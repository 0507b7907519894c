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
from appliance.models import LIVE, QUEUED, Job, Priority, Rendition, Role, Video
from appliance.states import JobState, RenditionState
from tasks import pipeline, profile_choices, profiles, renditions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


@dataclass(frozen=True)
class Wish:
    """``asker``: the number of the person who pressed; they may take it back."""

    choice: Choice
    asker: int | None
    only_at_night: bool = False


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
    wish = Wish(choice, actor.id, only_at_night)
    with transaction():
        events.audit(actor, "renditions.remake", profile=profile, count=count, night=only_at_night)
        if count > AT_ONCE:
            _put_in_line_later(wish)
    if count > AT_ONCE:
        return count
    return put_in_line(wish)


def stale(choice: Choice) -> Any:
    """Query: the numbers of the stale renditions that can be made anew, oldest first."""
    conditions = [profile_choices.stale_condition(choice.profile)]
    conditions.append(profile_choices.can_be_made_anew())
    if choice.owner_id is not None:
        owned = Video.select(Video.id).where(Video.owner == choice.owner_id)
        conditions.append(Rendition.video.in_(owned))
    if choice.video_ids is not None:
        conditions.append(Rendition.video.in_(choice.video_ids))
    return Rendition.select(Rendition.id).where(*conditions).order_by(Rendition.id)


def put_in_line(wish: Wish, *, context: Context | None = None) -> int:
    """A job for each, in short transactions; how many. Repeatable: live jobs are found again."""
    done = 0
    # Looked for once: the numbers of a hundred thousand are a few megabytes.
    found = [rendition.id for rendition in stale(wish.choice)]
    for piece in _pieces(found):
        with transaction():
            recipes = {name: each.recipe for name, each in profiles.all_current().items()}
            for rendition in Rendition.select().where(Rendition.id.in_(piece)):
                if rendition.recipe == recipes[rendition.profile]:
                    continue  # made anew meanwhile
                done += _put(rendition, wish)
        if context is not None:
            context.moved()
            context.check()
    return done


def _pieces(numbers: list[int]) -> Iterator[list[int]]:
    for at in range(0, len(numbers), _PIECE):
        yield numbers[at : at + _PIECE]


def _put(rendition: Rendition, wish: Wish) -> bool:
    if rendition.state is not RenditionState.READY:
        return False
    night = wish.only_at_night
    try:
        renditions.remake(rendition, Priority.LOW, only_at_night=night, asker=wish.asker)
    except Conflict:
        return False  # not as it was sent, say; its page tells
    return True


# Many: by a job


def _put_in_line_later(wish: Wish) -> None:
    payload = {
        "profile": wish.choice.profile,
        "owner_id": wish.choice.owner_id,
        "video_ids": wish.choice.video_ids,
        "only_at_night": wish.only_at_night,
        renditions.ASKER: wish.asker,
    }
    # The same wish twice is one job.
    digest = hashlib.sha256(json.dumps(payload).encode()).hexdigest()
    jobs.create("remake", f"remake:{digest[:16]}", payload=payload)


def make_jobs(job: Job, context: Context) -> Outcome:
    """The work of a job ``remake``."""
    wanted = job.payload
    asker = wanted.get(renditions.ASKER)
    with database.connection_context():
        if _UP_TO in wanted:
            take_out(wanted["owner_id"], wanted[_UP_TO], context=context)
            return None
        ids = wanted["video_ids"]
        named = tuple(ids) if ids is not None else None
        choice = Choice(wanted["profile"], wanted["owner_id"], named)
        put_in_line(Wish(choice, asker, bool(wanted["only_at_night"])), context=context)
    return None


# And back

# In the payload of a job that takes out what was put in line: the last job that it is for.
_UP_TO = "up_to"


def cancel_remakes(actor: User) -> int:
    """Take out of the line what would be made anew: of an editor the own, of an admin all.

    An editor's own is what they asked for, and what is made of their videos. How many. What runs
    is finished, and the old files stay in use. Of many a job takes care, too.
    """
    access.require(actor, Role.EDITOR)
    owner_id = None if access.at_least(actor, Role.ADMIN) else actor.id
    with transaction():
        for job in Job.select().where(Job.kind == "remake", LIVE):
            wish = job.payload
            ours = owner_id in (None, wish.get("owner_id"), wish.get(renditions.ASKER))
            if ours and _UP_TO not in wish:
                pipeline.cancel_job(job, actor)
    count, last = int(_in_line(owner_id).count()), _last_number()
    if count == 0:
        return 0
    if count <= AT_ONCE:
        count = take_out(owner_id, last)
        events.audit(actor, "renditions.remake_cancel", count=count)
        return count
    with transaction():
        payload = {"owner_id": owner_id, _UP_TO: last}
        key = f"remake:out:{owner_id or 'all'}:{last}"
        jobs.create("remake", key, payload=payload, priority=Priority.HIGH)
        events.audit(actor, "renditions.remake_cancel", count=count)
    return count


def take_out(owner_id: int | None, last: int, *, context: Context | None = None) -> int:
    """End those up to the job ``last``, in short transactions; how many. Repeatable."""
    done = 0
    found = [job.id for job in _in_line(owner_id).where(Job.id <= last)]
    for piece in _pieces(found):
        with transaction():
            for job in Job.select().where(Job.id.in_(piece), QUEUED):
                if jobs.cancel(job) is JobState.CANCELLED:
                    pipeline.settle_cancel(Job.get_by_id(job.id))
                    done += 1
        if context is not None:
            context.moved()
            context.check()
    return done


def _in_line(owner_id: int | None) -> Any:
    """Query: the numbers of the jobs that wait to make something anew."""
    many = fn.json_extract(Job.payload, "$.remake").is_null(False)
    found = Job.select(Job.id).where(QUEUED, many)
    if owner_id is None:
        return found
    asked = fn.json_extract(Job.payload, f"$.{renditions.ASKER}") == owner_id
    own = Video.select(Video.id).where(Video.owner == owner_id)
    return found.where(asked | Job.video.in_(own))


def _last_number() -> int:
    return int(Job.select(fn.MAX(Job.id)).scalar() or 0)
