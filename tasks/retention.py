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
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import events, videos
from appliance.clock import now
from appliance.db import database
from appliance.models import (
    LIVE,
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


def removable(
    policy: Policy, at: datetime, *, query: Any = None, only: int | None = None
) -> ModelSelect[Video]:
    """The videos whose originals ``policy`` removes at ``at``. ``only``: the number of the one
    that is asked about, for which nothing is read of others. Wants a connection."""
    old = old_enough(policy, at, query=query, only=only)
    return old.where(*_unneeded(at, only))


def _unneeded(at: datetime, only: int | None) -> list[Any]:
    """The conditions that nothing needs the original of a video."""
    busy = Job.select(Job.video).where(LIVE, Job.video.is_null(False))
    posted = Post.select(Post.video).where(Post.state.not_in(list(POST_ENDED)))
    linked = PublicLink.select(PublicLink.video).where(
        PublicLink.rendition.is_null(), PublicLink.revoked_at.is_null(), PublicLink.expires_at > at
    )
    unready = Rendition.select(Rendition.video).where(
        Rendition.state.in_([state for state in RenditionState if state != RenditionState.READY])
    )
    stale = [
        _of(only, Rendition, Rendition.select(Rendition.video).where(part)) for part in _is_stale()
    ]
    damaged = Damage.select(Damage.video)
    needs = [(Job, busy), (Post, posted), (PublicLink, linked), (Rendition, unready)]
    return [
        ~Video.keep_original,
        *(Video.id.not_in(_of(only, model, rows)) for model, rows in [*needs, (Damage, damaged)]),
        Video.id.not_in(reduce(add, stale)),
    ]


def _of(only: int | None, model: Any, rows: Any) -> Any:
    return rows if only is None else rows.where(model.video == only)


def old_enough(
    policy: Policy, at: datetime, *, query: Any = None, only: int | None = None
) -> ModelSelect[Video]:
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
    # Of all videos the index is read, not row after row: a sum is no number of a row.
    number = Video.id + 0 if only is None else Video.id
    conditions = [] if only is None else [Video.id == only]
    return selected.where(
        Video.received_at.is_null(False),
        Video.original_removed_at.is_null(),
        Video.state == VideoState.READY,
        Video.ready_at <= limit,
        number.in_(_of(only, Rendition, social)),
        *conditions,
    )


def _is_stale() -> list[Any]:
    """Each a condition on renditions: it wasn't made by the profile of today, or by none of
    today's. In ranges, which an index answers: hardly ever are there any.
    """
    names = sorted(profiles.PROFILES)
    ranges = [Rendition.profile < names[0], Rendition.profile > names[-1]]
    ranges += [
        (Rendition.profile > one) & (Rendition.profile < other) for one, other in pairwise(names)
    ]
    for name in names:
        recipe = profiles.current(name).recipe
        ranges.append((Rendition.profile == name) & (Rendition.recipe < recipe))
        ranges.append((Rendition.profile == name) & (Rendition.recipe > recipe))
    return ranges


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
        video = removable(policy, now(), only=video_id).first()
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
        still = removable(policy, now(), only=video_id)
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
