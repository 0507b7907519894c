"""Which platforms there are: one line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import NotFound
from tasks.publish.publishers.facebook.publisher import FacebookPublisher
from tasks.publish.publishers.folder import FolderPublisher
from tasks.publish.publishers.instagram.publisher import InstagramPublisher
from tasks.publish.publishers.practice import PracticePublisher
from tasks.publish.publishers.youtube.publisher import YouTubePublisher

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.settings import Settings
    from tasks.publish.publisher import Capabilities, Publisher

PUBLISHERS: dict[str, Callable[[Settings], Publisher]] = {
    "practice": PracticePublisher,
    "folder": FolderPublisher,
    "youtube": YouTubePublisher,
    "facebook": FacebookPublisher,
    "instagram": InstagramPublisher,
}


def publisher_for(platform: str, settings: Settings) -> Publisher:
    """Raises NotFound for a platform that this version doesn't know."""
    if platform not in PUBLISHERS:
        raise NotFound(f"This version of the appliance can't post to “{platform}”.")
    return PUBLISHERS[platform](settings)


def capabilities_of(platform: str) -> Capabilities | None:
    """What a platform can do, without talking to it; None for an unknown one."""
    made = PUBLISHERS.get(platform)
    return None if made is None else getattr(made, "capabilities", None)
