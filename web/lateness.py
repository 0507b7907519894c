"""Will a video be ready when a post of it is due? A warning; the post is taken in any case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from appliance import job_history
from appliance.clock import now
from appliance.models import Account, PostTarget
from appliance.states import PostState, TargetState, VideoState
from tasks.publish import material
from tasks.publish.choice import Use
from web import words
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from appliance.models import Post, Video


@dataclass(frozen=True)
class Lateness:
    """When it will be ready, as far as anybody can tell, and that as a sentence."""

    sentence: str
    ready_from: datetime
    ready_by: datetime


def of_choice(
    video: Video, platforms: Iterable[str], publish_at: datetime | None, zone: str
) -> Lateness | None:
    """None: it is or will be ready by then, goes out at once, or nobody can tell.

    A connection must be open.
    """
    if publish_at is None:
        return None
    waits_for = {
        choice.profile
        for choice in (material.choice_of(video, platform) for platform in set(platforms))
        if choice.use is Use.WAIT
    }
    if not waits_for:
        return None
    soon = job_history.forecasts()
    ranges = [job_history.ready_range(video, profile, soon=soon) for profile in waits_for]
    known = [found for found in ranges if found is not None]
    if not known:
        return None
    first, last = max(found[0] for found in known), max(found[1] for found in known)
    if last <= publish_at:
        return None
    return Lateness(_sentence(first, last, publish_at, zone), first, last)


def _sentence(first: datetime, last: datetime, due: datetime, zone: str) -> str:
    at = now()
    about = words.clock_time(first, zone, at)
    if (end := f"{last.astimezone(ZoneInfo(zone)):%H:%M}") not in about:
        about = f"{about}–{end}"
    by = words.clock_time(due, zone, at)
    if first > due:
        late = _("This video won't be ready by {by}; about {about}.", by=by, about=about)
    else:
        late = _("This video may not be ready by {by}; about {about}.", by=by, about=about)
    return f"{late} {_('It goes out as soon as it is ready.')}"


def of_post(post: Post, zone: str) -> Lateness | None:
    """Of a post in hand (with its video joined) that waits for its time."""
    if post.state is not PostState.SCHEDULED or post.video.state is VideoState.READY:
        return None
    targets = (
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(PostTarget.post == post, PostTarget.state == TargetState.WAITING)
    )
    platforms = [target.account.platform for target in targets]
    return of_choice(post.video, platforms, post.publish_at, zone)
