"""Whether a post is wished that is on its way already: the same video to the same account.

Two tabs, two people or two programs may have the same wish without knowing of each other. The
second is told of the first, and goes out only when somebody says that it shall (``again``).
Why so: docs/decisions/0023-the-same-post-twice-is-asked-for.md. Wants a connection; called in the
transaction that makes or sends a post, it lets one of two that come at once pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance import posts
from appliance.clock import now
from appliance.errors import Conflict
from appliance.models import Account, Post, PostTarget
from appliance.states import PostState, TargetState
from tasks.publish import material

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from appliance.models import Video
    from tasks.publish.publisher import PostDraft

# It may become public yet, or may be public already.
UNDER_WAY = frozenset(
    {
        TargetState.WAITING,
        TargetState.STAGING,
        TargetState.STAGED,
        TargetState.PUBLISHING,
        TargetState.UNSURE,
        TargetState.NEEDS_PERSON,
    }
)
# For so long what is public counts as the same, if its text is.
LATELY = timedelta(hours=24)


@dataclass(frozen=True)
class Other:
    """A target of another post of the same video to the same account. ``texts``: title and text."""

    post_id: str
    account_id: str
    account_name: str
    state: TargetState
    texts: tuple[str, str]
    published_at: datetime | None = None
    is_draft: bool = False
    is_removed: bool = False

    @property
    def sentence(self) -> str:
        """What stands against posting it there now."""
        if self.state is TargetState.PUBLISHED:
            return (
                f"This video went out to “{self.account_name}” within the last 24 hours, with the "
                "same text."
            )
        if self.state is TargetState.NEEDS_PERSON:
            return (
                f"This video may be on “{self.account_name}” already: somebody has to look there "
                "first."
            )
        return f"This video is on its way to “{self.account_name}” already."


class SamePost(Conflict):
    """What was wished is on its way already. ``members``: for the problem document."""

    code = "same_post"

    def __init__(self, others: Sequence[Other]) -> None:
        self.others = list(others)
        said = " ".join(other.sentence for other in self.others)
        super().__init__(
            f"{said} Look at post {self.others[0].post_id}; to have it there twice, say “again”."
        )
        self.members: dict[str, Any] = {
            "post_id": self.others[0].post_id,
            "same": [
                {"post_id": other.post_id, "account": other.account_id, "state": str(other.state)}
                for other in self.others
            ],
        }


def is_same(other: Other, texts: tuple[str, str], at: datetime) -> bool:
    """Whether posting ``texts`` there at ``at`` would be a second post of the same.

    A draft isn't on its way, and what failed, was called back or removed isn't there.
    """
    if other.is_draft or other.is_removed:
        return False
    if other.state is TargetState.PUBLISHED:
        lately = other.published_at is not None and at - other.published_at < LATELY
        return lately and other.texts == texts
    return other.state in UNDER_WAY


def look(
    video: Video, drafts: Iterable[tuple[Account, PostDraft]], *, but: Post | None = None
) -> list[Other]:
    """What stands against posting ``drafts`` of ``video``: for each account the newest.

    ``but``: the post that is looked at; it isn't in its own way.
    """
    wished = {account.id: _texts(draft) for account, draft in drafts}
    at = now()
    found = {
        target.account_id: other
        for target in _targets(video, wished, but)
        if is_same(other := _other(target), wished[target.account_id], at)
    }
    return [found[id] for id in wished if id in found]


def refuse(targets: Sequence[PostTarget]) -> None:
    """For the targets of one post that are to be sent. Raises SamePost."""
    if not targets:
        return
    post = targets[0].post
    drafts = [(target.account, material.draft_of(target)) for target in targets]
    if others := look(post.video, drafts, but=post):
        raise SamePost(others)


def refuse_post(post: Post) -> None:
    """For all of a post. Raises SamePost."""
    refuse(posts.latest_targets(post))


def _targets(video: Video, account_ids: Iterable[int], but: Post | None) -> Iterable[PostTarget]:
    query = (
        PostTarget.select(PostTarget, Post, Account)
        .join(Post)
        .switch(PostTarget)
        .join(Account)
        .where(
            Post.video == video,
            Post.state != PostState.DRAFT,
            PostTarget.account.in_(list(account_ids)),
            PostTarget.state.in_([*UNDER_WAY, TargetState.PUBLISHED]),
        )
        .order_by(PostTarget.id)
    )
    return list(query if but is None else query.where(Post.id != but.id))


def _other(target: PostTarget) -> Other:
    return Other(
        post_id=target.post.public_id,
        account_id=target.account.public_id,
        account_name=target.account.name,
        state=target.state,
        texts=_texts(material.draft_of(target)),
        published_at=target.published_at,
        is_draft=target.post.state is PostState.DRAFT,
        is_removed=target.deleted_at is not None,
    )


def _texts(draft: PostDraft) -> tuple[str, str]:
    return draft.title.strip(), draft.description.strip()
