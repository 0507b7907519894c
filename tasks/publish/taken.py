"""Which way a post took: the version was there when it was wanted, or had to be waited for.

Pure, from what the rows say afterwards; while it happens, the log says so
(tasks/publish/dispatch.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.models import Post, PostTarget


@dataclass(frozen=True)
class Taken:
    """``fast``: nothing had to be waited for; else ``waited_s``, from the moment it was wanted."""

    fast: bool
    waited_s: float = 0.0

    @property
    def path(self) -> str:
        return "fast" if self.fast else "fallback"


def of(post: Post, target: PostTarget) -> Taken | None:
    """``target`` with its rendition loaded. None: nothing was taken yet, or the original was."""
    if target.rendition_id is None or target.rendition is None:
        return None
    ready_at = target.rendition.ready_at
    if ready_at is None:
        return None
    wanted_at = max(post.created_at, post.publish_at or post.created_at)
    waited_s = (ready_at - wanted_at).total_seconds()
    # Made anew long after it went out, by other settings: it can't have been waited for.
    if target.published_at is not None and ready_at > target.published_at:
        return Taken(fast=True)
    return Taken(fast=waited_s <= 0, waited_s=max(0.0, waited_s))
