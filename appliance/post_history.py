"""Which posts somebody wants to see of the history: by account, state, person, time and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance.models import Account, Post, PostTarget, User, Video
from appliance.states import PostState, TargetState

if TYPE_CHECKING:
    from datetime import datetime

    from peewee import ModelSelect


@dataclass(frozen=True)
class Filters:
    """Everything may be left out. ``platform``: a name; ``account``, ``author``, ``video``: public
    ids; ``since`` and ``until``: aware, of the time at which a post went out or was to go out (that
    of its making when none was chosen), ``until`` not included.

    ``target_states``: what an account of the post must be in; together with ``platform`` or
    ``account``, that very one.
    """

    states: tuple[PostState, ...] = ()
    target_states: tuple[TargetState, ...] = ()
    platform: str = ""
    account: str = ""
    author: str = ""
    video: str = ""
    words: str = ""
    since: datetime | None = None
    until: datetime | None = None


def narrow(query: ModelSelect[Post], wanted: Filters) -> ModelSelect[Post]:
    """``query`` selects posts with their videos joined, as `access.visible_posts` does."""
    if wanted.states:
        query = query.where(Post.state.in_(wanted.states))
    if wanted.platform or wanted.account or wanted.target_states:
        query = query.where(Post.id.in_(_posts_with(wanted)))
    if wanted.author:
        query = query.where(Post.author.in_(_ids(User, wanted.author)))
    if wanted.video:
        query = query.where(Video.public_id == wanted.video)
    for word in wanted.words.split():
        found = Post.title.contains(word) | Post.description.contains(word)
        query = query.where(found | Video.title.contains(word))
    goes_out = fn.COALESCE(Post.publish_at, Post.created_at)
    column: Any = Post.created_at  # times are text, and what a function gives has no type
    if wanted.since is not None:
        query = query.where(goes_out >= column.db_value(wanted.since))
    if wanted.until is not None:
        query = query.where(goes_out < column.db_value(wanted.until))
    return query


def _posts_with(wanted: Filters) -> ModelSelect[PostTarget]:
    """The posts with such a target, of those that are shown: the newest generation of each."""
    later = PostTarget.alias()
    newer = later.select(later.id).where(
        later.post == PostTarget.post,
        later.account == PostTarget.account,
        later.generation > PostTarget.generation,
    )
    found = PostTarget.select(PostTarget.post).join(Account).where(~fn.EXISTS(newer))
    if wanted.platform:
        found = found.where(Account.platform == wanted.platform)
    if wanted.account:
        found = found.where(Account.public_id == wanted.account)
    if wanted.target_states:
        found = found.where(PostTarget.state.in_(wanted.target_states))
    return found


def _ids(row: Any, public_id: str) -> ModelSelect[Any]:
    found: ModelSelect[Any] = row.select(row.id).where(row.public_id == public_id)
    return found


def accounts_posted_to(query: ModelSelect[Post]) -> list[Account]:
    """The accounts that posts of ``query`` went to, or shall; for a menu to choose from."""
    ids = PostTarget.select(PostTarget.account).where(PostTarget.post.in_(query.select(Post.id)))
    rows = Account.select().where(Account.id.in_(ids))
    return list(rows.order_by(Account.platform, Account.name, Account.id))


def authors_of(query: ModelSelect[Post]) -> list[User]:
    """The people who made posts of ``query``."""
    ids = query.select(Post.author).where(Post.author.is_null(False))
    return list(User.select().where(User.id.in_(ids)).order_by(User.name, User.email))
