"""Videos: the operations that need rows only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import SQL

from appliance import access, events, tags
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, Forbidden, InvalidInput, InvalidTransition
from appliance.models import Source, Video, Visibility
from appliance.states import VideoState, move
from appliance.text import clean_filename, clean_line, clean_text, title_from

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peewee import ModelSelect

    from appliance.models import User

MAX_TITLE_BYTES = 255
NOT_AS_SENT = "What arrived isn't what was sent: send the file again."


def create(
    *,
    owner: User | None,
    filename: str,
    source: Source,
    visibility: Visibility,
    size_bytes: int = 0,
    title: str | None = None,
    guest_name: str | None = None,
    guest_link_id: int | None = None,
    guest_id: str | None = None,
    sent_sha256: str | None = None,
    index_moved: bool = False,
    tag_names: Iterable[str] = (),
) -> Video:
    """A video whose bytes are still to come."""
    name = clean_filename(filename)
    with transaction():
        video = Video.create(
            owner=owner,
            source=source,
            visibility=visibility,
            filename=name,
            title=clean_line(title or "", max_bytes=MAX_TITLE_BYTES) or title_from(name),
            size_bytes=size_bytes,
            guest_name=clean_line(guest_name or "") or None,
            guest_link_id=guest_link_id,
            guest_id=guest_id,
            sent_sha256=sent_sha256,
            index_moved=index_moved,
        )
        tags.put(video, tags.clean_all(tag_names))
        by_owner = owner is not None and guest_link_id is None
        tell(video, "video.created", actor_id=owner.id if owner and by_owner else None)
    return video


def tell(video: Video, type: str, *, actor_id: int | None = None, **data: Any) -> None:
    """Record an event about a video, with the state that it has in the database now."""
    fresh = Video.get_by_id(video.id)
    events.record(
        type,
        f"video:{fresh.public_id}",
        video=fresh,
        actor_id=actor_id,
        video_id=fresh.public_id,
        state=fresh.state,
        **data,
    )


def change_state(video: Video, new: VideoState, **columns: Any) -> bool:
    """Move a video and tell of it; False when somebody else moved it first."""
    with transaction():
        if not move(Video, video.id, video.state, new, **columns):
            return False
        video.state = new
        tell(video, f"video.{new.value}")
    return True


def is_as_sent(video: Video) -> bool:
    """Whether the original is what its sender says it sent; True while one of the two is unknown.

    Both are SHA-256, in hex.
    """
    ours, theirs = video.sha256, video.sent_sha256
    return ours is None or theirs is None or ours.lower() == theirs.lower()


def check_sent_digest(video: Video) -> bool:
    """Fail a video that isn't what was sent; False: it isn't. Repeatable.

    Called whichever of the two digests becomes known last. The original stays, for whoever
    wants to see what arrived. ``tasks.pipeline.check_sent_digest`` also ends the work and the
    posts that wait for it; callers of this one leave that to the sweep.
    """
    with transaction():
        fresh = Video.get_by_id(video.id)
        if is_as_sent(fresh):
            return True
        error = {"error": NOT_AS_SENT, "error_detail": digests_of(fresh)}
        if fresh.state is VideoState.TRASHED:
            error["state_before_trash"] = VideoState.FAILED
        if fresh.state in (VideoState.FAILED, VideoState.TRASHED):
            Video.update(**error).where(Video.id == fresh.id).execute()
        else:
            change_state(fresh, VideoState.FAILED, **error)
    return False


def digests_of(video: Video) -> str:
    """Both digests, for the folded part of the screen."""
    return f"SHA-256 of what was sent: {video.sent_sha256}\nSHA-256 of what arrived: {video.sha256}"


def edit(
    video: Video,
    *,
    actor: User,
    title: str | None = None,
    description: str | None = None,
    visibility: Visibility | None = None,
    tag_names: Iterable[str] | None = None,
) -> Video:
    """Change what people wrote about a video.

    Raises InvalidInput for an empty title, and for tags that are too long or too many.
    """
    changes: dict[Any, Any] = {}
    wanted = None if tag_names is None else tags.clean_all(tag_names)
    if title is not None:
        cleaned = clean_line(title, max_bytes=MAX_TITLE_BYTES)
        if not cleaned:
            raise InvalidInput("A video needs a title.", field="title")
        changes[Video.title] = cleaned
    if description is not None:
        changes[Video.description] = clean_text(description)
    if visibility is not None:
        changes[Video.visibility] = visibility
        if visibility is Visibility.PRIVATE and video.visibility is not visibility:
            # Signed links were shown to everybody who could see it until now.
            changes[Video.link_generation] = Video.link_generation + 1
    if changes or wanted is not None:
        with transaction():
            if changes:
                Video.update(changes).where(Video.id == video.id).execute()
            if wanted is not None:
                tags.put(video, wanted)
            tell(video, "video.edited", actor_id=actor.id)
    return Video.get_by_id(video.id)


def keep_original(video: Video, *, actor: User, keep: bool) -> None:
    """Pin the original, or leave it to the policy again, which may remove it.

    Raises Forbidden, and Conflict when it was removed.
    """
    with transaction():
        fresh = Video.get_by_id(video.id)
        if keep and fresh.original_removed_at is not None:
            raise Conflict(
                "The original of this video was removed already. Upload it again to keep it.",
                code="original_removed",
            )
        if fresh.keep_original and not keep and not access.may_delete(actor, fresh):
            raise Forbidden("Only its owner and admins leave an original to the policy.")
        if fresh.keep_original != keep:
            Video.update(keep_original=keep).where(Video.id == video.id).execute()
            tell(video, "video.original_kept" if keep else "video.original_left", actor_id=actor.id)


def trash(video: Video, *, actor: User) -> None:
    """Into the bin; ``restore`` undoes it until the bin is emptied. Raises InvalidTransition."""
    with transaction():
        moved = move(
            Video,
            video.id,
            video.state,
            VideoState.TRASHED,
            state_before_trash=video.state,
            deleted_at=now(),
            link_generation=Video.link_generation + 1,
        )
        if not moved:
            raise InvalidTransition("The video changed in between; look again.")
        tell(video, "video.trashed", actor_id=actor.id)
        events.audit(actor, "video.trash", f"video:{video.public_id}")


def restore(video: Video, *, actor: User) -> None:
    """Out of the bin, to the state it had. Raises InvalidTransition."""
    before = VideoState(video.state_before_trash or VideoState.RECEIVED)
    if before is VideoState.UPLOADING:
        raise InvalidTransition("Its upload was never finished; upload the file again.")
    with transaction():
        moved = move(
            Video, video.id, VideoState.TRASHED, before, state_before_trash=None, deleted_at=None
        )
        if not moved:
            raise InvalidTransition("The video is not in the bin any more.")
        tell(video, "video.restored", actor_id=actor.id)


def forget(video: Video) -> None:
    """Remove a video whose bytes never came, and tell of it. Call it in a transaction."""
    private = video.visibility is Visibility.PRIVATE
    events.record(
        "video.deleted",
        f"video:{video.public_id}",
        only_user_id=video.owner_id if private else None,
        admins_only=private and video.owner_id is None,
        video_id=video.public_id,
    )
    video.delete_instance()


def search(
    query: ModelSelect[Video], words: str, *, newest: int | None = None
) -> ModelSelect[Video]:
    """Narrow a query on Video to those whose title, name or description has all ``words``.

    Each word matches from its beginning. FTS5's own operators are not spoken: every word is quoted.
    ``newest``: look only at so many of the latest of them, whoever may see them. Words that stand
    in every tenth title are answered in a third of the time; if too few come back, ask for all.
    """
    terms = [word.replace('"', "") for word in clean_line(words, max_bytes=200).split()]
    match = " ".join(f'"{term}"*' for term in terms if term)
    if not match:
        return query
    found = "SELECT rowid FROM video_search WHERE video_search MATCH ?"
    if newest is None:
        return query.where(Video.id.in_(SQL(f"({found})", (match,))))
    latest = SQL(f"({found} ORDER BY rowid DESC LIMIT ?)", (match, newest))
    return query.where(Video.id.in_(latest))
