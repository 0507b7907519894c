"""Where what was posted can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from web.practice.presets import PLATFORMS

if TYPE_CHECKING:
    from appliance.models import PostTarget


def link_of(target: PostTarget, *, base_url: str = "") -> str:
    """An address, or "" when there is none (any more). ``target`` with its account loaded.

    In practice mode it is the page of the stand-in: at the real platform, the same address would
    be nobody's video, or somebody else's. ``base_url``: goes before a path of the box.
    """
    if target.deleted_at is not None:
        return ""
    account = target.account
    if account.practice and account.platform in PLATFORMS and target.remote_id:
        return f"{base_url}/practice/of/{account.platform}/{quote(target.remote_id, safe='')}"
    return safe(target.url)


def safe(url: str | None) -> str:
    """A platform's answer becomes a link only if it leads to a page, not to a script."""
    return url if url and url.startswith(("https://", "http://", "/")) else ""
