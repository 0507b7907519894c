"""Which originals the policy removes, and how one is removed: looked at, written down, unlinked.

One selection serves the numbers on the page, the dry run and the removal itself. Spared are
videos that aren't ready, that are pinned, that are younger than the policy says (also since their
version for posting was made last), that have work or posts that aren't at their end, a link that
leads to the original, a damaged file, or a version that is missing, failed or out of date. And
those whose version for posting *is* the original: nothing would be won.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import events, videos
from appliance.clock import now
from appliance.db import database
from appliance.models import (
    Damage,
    Job,
    Method,
    Post,
    PublicLink,
    Rendition,
    Video,
)
from appliance.retention import Originals, Policy, policy_of
from appliance.states import POST_ENDED, RenditionState, VideoState
from storage import inspection, media
from storage.inspection import CONTENT, MISSING, Wrong
from tasks import damage, profiles
from tasks.profiles import SOCIAL
from tasks.renditions import LIVE
from tasks.turns import Turn, make_room

if TYPE_CHECKING:
    from datetime import datetime

    from peewee import ModelSelect

    from appliance.settings import Settings
    from storage.layout import Layout
    from tasks.context import Context, Outcome

log = logging.getLogger(__name__)

# So long after a crash the unlinking is looked for again; the daily look finds the rest.
_FINISH = timedelta(days=2)
REMOVED = "video.original_removed"


@dataclass(frozen=True)
class Freed:
    """``spared``: old enough, and kept all the same (see above)."""

    count: int = 0
    size_bytes: int = 0
    spared: int = 0


def removable(policy: Policy, at: datetime, *, query: Any = None) -> ModelSelect[Video]:
    """The videos whose originals ``policy`` removes at ``at``. Wants a connection."""
    busy = Job.select(Job.video).where(Job.state.in_(LIVE), Job.video.is_null(False))
    posted = Post.select(Post.video).where(Post.state.not_in(list(POST_ENDED)))
    linked = PublicLink.select(PublicLink.video).where(
        PublicLink.rendition.is_null(), PublicLink.revoked_at.is_null(), PublicLink.expires_at > at
    )
    unsettled = Rendition.select(Rendition.video).where(
        (Rendition.state != RenditionState.READY) | ~_is_current()
    )
    return old_enough(policy, at, query=query).where(
        ~Video.keep_original,
        Video.id.not_in(busy),
        Video.id.not_in(posted),
        Video.id.not_in(linked),
        Video.id.not_in(unsettled),
        Video.id.not_in(Damage.select(Damage.video)),
    )


def old_enough(policy: Policy, at: datetime, *, query: Any = None) -> ModelSelect[Video]:
    """Those that the words of the policy mean, whatever spares them."""
    selected: ModelSelect[Video] = Video.select() if query is None else query
    limit = at - timedelta(days=policy.after_days)
    if policy.kind is Originals.KEEP:
        return selected.where(Video.id == 0)
    social = Rendition.select(Rendition.video).where(
        Rendition.state == RenditionState.READY,
        Rendition.profile == SOCIAL.name,
        Rendition.method != Method.LEAVE,
        Rendition.ready_at <= limit,
    )
    if policy.kind is Originals.SMALLER:
        social = social.where(Rendition.stands_in)
    return selected.where(
        Video.received_at.is_null(False),
        Video.original_removed_at.is_null(),
        Video.state == VideoState.READY,
        Video.ready_at <= limit,
        Video.id.in_(social),
    )


def _is_current() -> Any:
    """The condition that a rendition was made by the profile of today."""
    return reduce(
        or_,
        (
            (Rendition.profile == name) & (Rendition.recipe == profiles.current(name).recipe)
            for name in profiles.PROFILES
        ),
    )


def would_free(policy: Policy) -> Freed:
    """What the policy would free at this moment."""
    if policy.kind is Originals.KEEP:
        return Freed()
    at = now()
    totals = Video.select(fn.COUNT(Video.id), fn.SUM(Video.size_bytes))
    rows: Any = removable(policy, at, query=totals).tuples()
    count, size_bytes = next(iter(rows))
    old = old_enough(policy, at, query=Video.select(fn.COUNT(Video.id))).scalar()
    return Freed(count, int(size_bytes or 0), int(old or 0) - count)


def would_remove(policy: Policy, how_many: int) -> list[Video]:
    """The first of them, the largest first."""
    return list(removable(policy, now()).order_by(Video.size_bytes.desc()).limit(how_many))


def is_due(settings: Settings) -> bool:
    policy = policy_of(settings).policy
    return policy.kind is not Originals.KEEP and removable(policy, now()).exists()


def retain(job: Job, context: Context) -> Outcome:
    """The job: remove what the policy removes, one after another; goes on in its next turn."""
    done, turn = Freed(), Turn()
    with database.connection_context():
        finish_removals(context.layout)
        policy = policy_of(context.settings).policy
        wanted = [row.id for row in removable(policy, now(), query=Video.select(Video.id))]
    for number, video_id in enumerate(wanted, 1):
        context.report("Removing originals", (number - 1) / len(wanted))
        size_bytes = _remove_one(video_id, policy, context)
        if size_bytes is not None:
            done = Freed(done.count + 1, done.size_bytes + size_bytes)
        if turn.is_over:
            break
    if done.count:
        log.info("the policy removed %s originals, %s bytes", done.count, done.size_bytes)
    is_done = not wanted or number == len(wanted)
    return None if is_done else make_room()


def _remove_one(video_id: int, policy: Policy, context: Context) -> int | None:
    """The bytes of the original that was removed; None: it was spared."""
    with database.connection_context():
        video = removable(policy, now()).where(Video.id == video_id).first()
        if video is None:
            return None  # something began with it meanwhile
        social = Rendition.get(Rendition.video == video, Rendition.profile == SOCIAL.name)
    if social.sha256 is None:
        return None  # nothing says what it should be
    path = context.layout.rendition(video.public_id, SOCIAL.name)
    # What would be the only copy is read in full: a disk that has changed it must not win.
    try:
        problem = "" if inspection.digest(path, context.check) == social.sha256 else CONTENT
    except FileNotFoundError:
        problem = MISSING
    if problem:
        log.error("%s: the version for posting is damaged; its original stays", video.public_id)
        wrong = Wrong(video, SOCIAL.name, problem)

        def say() -> None:
            damage.note(context.layout, wrong)

        context.record(say)
        return None
    removed = [False]

    def write() -> None:
        same = Rendition.select().where(
            Rendition.id == social.id, Rendition.sha256 == social.sha256
        )
        still = removable(policy, now()).where(Video.id == video_id)
        removed[0] = same.exists() and still.exists()
        if removed[0]:
            note_removed(video, policy)

    context.record(write)
    if not removed[0]:
        return None
    media.remove_original(context.layout, video.public_id)
    return int(video.size_bytes)


def note_removed(video: Video, policy: Policy) -> None:
    """In its row first: after a crash there is a file too much, never a row without its file."""
    Video.update(original_removed_at=now()).where(Video.id == video.id).execute()
    about: dict[str, Any] = {"size_bytes": video.size_bytes, "policy": policy.kind.value}
    videos.tell(video, REMOVED, **about)
    events.audit(None, REMOVED, f"video:{video.public_id}", **about)


def finish_removals(layout: Layout) -> int:
    """Unlink what the rows of the last days say is gone; how many a crash had left."""
    recent = Video.select(Video.public_id).where(Video.original_removed_at > now() - _FINISH)
    return sum(media.remove_original(layout, row.public_id) for row in list(recent))
