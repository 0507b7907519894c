"""Who may see and change what: the one place that decides it.

Every query for a person starts from a ``visible_…`` query of this module; every change asks
``may`` first. What is not visible is "not found", like what does not exist.

- viewer: sees the team's videos and posts.
- editor: also uploads, edits, posts and retries what they see; deletes what is theirs; makes
  guest links, and sees their own.
- admin: everything but the owner's account.
- owner: everything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from peewee import JOIN

from appliance.db import Row
from appliance.errors import Forbidden, NotFound
from appliance.models import Event, GuestLink, Job, Post, Role, Upload, User, Video, Visibility
from appliance.states import VideoState

if TYPE_CHECKING:
    from peewee import ModelSelect

_R = TypeVar("_R", bound=Row)

_RANK = {Role.VIEWER: 0, Role.EDITOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


class Scope(StrEnum):
    """What an API token may do; a session may do all that its user's role allows."""

    READ = "read"
    UPLOAD = "upload"
    WRITE = "write"  # edit, retry, delete
    POST = "post"
    ADMIN = "admin"


def at_least(user: User, role: Role) -> bool:
    return _RANK[user.role] >= _RANK[role]


def require(user: User, role: Role) -> None:
    """Raises Forbidden when the user's role is below ``role``."""
    if not at_least(user, role):
        raise Forbidden(f"Only {role.value}s and above may do this. Ask your admin.")


def _video_is_visible(user: User) -> Any:
    """The condition on Video rows that are this user's to see (trashed ones included)."""
    if at_least(user, Role.ADMIN):
        return Video.id.is_null(False)
    return (Video.visibility == Visibility.TEAM) | (Video.owner == user)


def visible_videos(user: User, *, trashed: bool = False) -> ModelSelect[Video]:
    in_place = Video.state == VideoState.TRASHED if trashed else Video.state != VideoState.TRASHED
    return Video.select().where(_video_is_visible(user), in_place)


def visible_posts(user: User) -> ModelSelect[Post]:
    return Post.select(Post, Video).join(Video).where(_video_is_visible(user))


def visible_jobs(user: User) -> ModelSelect[Job]:
    """Admins see all jobs; others those of videos that they may see."""
    jobs = Job.select(Job, Video).join(Video, JOIN.LEFT_OUTER)
    return jobs if at_least(user, Role.ADMIN) else jobs.where(_video_is_visible(user))


def visible_uploads(user: User) -> ModelSelect[Upload]:
    uploads = Upload.select()
    return uploads if at_least(user, Role.ADMIN) else uploads.where(Upload.owner == user)


def visible_guest_links(user: User) -> ModelSelect[GuestLink]:
    """With their makers joined. Admins see all, editors their own, viewers none."""
    links = GuestLink.select(GuestLink, User).join(User, JOIN.LEFT_OUTER)
    if at_least(user, Role.ADMIN):
        return links
    return links.where(GuestLink.created_by == (user.id if at_least(user, Role.EDITOR) else 0))


def visible_events(user: User) -> ModelSelect[Event]:
    """Events in order of their numbers."""
    events = Event.select().order_by(Event.id)
    if at_least(user, Role.ADMIN):
        return events
    mine = Event.only_user.is_null() | (Event.only_user == user)
    return events.where(mine, ~Event.admins_only)


def may_see_event(role: Role, user_id: int, event: Event) -> bool:
    """The same rule as ``visible_events``, for one event in hand."""
    if _RANK[role] >= _RANK[Role.ADMIN]:
        return True
    return not event.admins_only and event.only_user_id in (None, user_id)


def get_video(user: User, public_id: str, *, trashed: bool = False) -> Video:
    """Raises NotFound for a video that doesn't exist or isn't this user's to see."""
    return _only(
        visible_videos(user, trashed=trashed).where(Video.public_id == public_id),
        "There is no such video, or it was deleted.",
    )


def get_post(user: User, public_id: str) -> Post:
    """Raises NotFound, as for videos."""
    return _only(visible_posts(user).where(Post.public_id == public_id), "There is no such post.")


def get_job(user: User, public_id: str) -> Job:
    """Raises NotFound, as for videos."""
    return _only(
        visible_jobs(user).where(Job.public_id == public_id),
        "There is no such job; finished ones are removed after a while.",
    )


def get_upload(user: User, public_id: str) -> Upload:
    """Raises NotFound, as for videos."""
    return _only(
        visible_uploads(user).where(Upload.public_id == public_id), "There is no such upload."
    )


def get_guest_link(user: User, public_id: str) -> GuestLink:
    """Raises NotFound, as for videos."""
    return _only(
        visible_guest_links(user).where(GuestLink.public_id == public_id),
        "There is no such guest link.",
    )


def _only(query: ModelSelect[_R], otherwise: str) -> _R:
    row: _R | None = query.first()
    if row is None:
        raise NotFound(otherwise)
    return row


def may_change(user: User, video: Video) -> bool:
    """Edit, retry, post: any editor who sees it."""
    return at_least(user, Role.EDITOR)


def may_delete(user: User, video: Video) -> bool:
    """Its owner, and the admins."""
    return at_least(user, Role.ADMIN) or (at_least(user, Role.EDITOR) and video.owner_id == user.id)


def may_delete_post(user: User | None, post: Post) -> bool:
    """Take it from the platform: its author, and the admins. None: the box's own shell may."""
    if user is None or at_least(user, Role.ADMIN):
        return True
    return at_least(user, Role.EDITOR) and post.author_id == user.id


def require_delete_post(user: User | None, post: Post) -> None:
    """Raises Forbidden unless ``may_delete_post``."""
    if not may_delete_post(user, post):
        raise Forbidden("Only who made this post, or an admin, may remove it. Ask your admin.")
