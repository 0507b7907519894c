"""Reel or Page video? Pure; the reason is a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.acceptance import FACEBOOK_REEL, has_shape, in_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tasks.publish.publisher import MediaFacts


class Kind(StrEnum):
    VIDEO = "video"
    REEL = "reel"


AUTO = "auto"  # the wish of who has none


@dataclass(frozen=True)
class Chosen:
    """``faults``: why a wished Reel can't be one; () when all is well."""

    kind: Kind
    why: str
    faults: tuple[str, ...] = ()


def choose_kind(facts: MediaFacts, options: Mapping[str, Any]) -> Chosen:
    """By the wish ``options["kind"]`` ("auto", "video", "reel"), and by what the file is like.

    What isn't known of a file counts as fitting a wish, and as not fitting without one.
    """
    wish = options.get("kind", AUTO)
    faults, unknown = reel_faults(facts)
    if wish == Kind.VIDEO:
        return Chosen(Kind.VIDEO, "It goes out as a Page video: that was chosen.")
    if wish == Kind.REEL:
        return Chosen(Kind.REEL, "It goes out as a Reel: that was chosen.", tuple(faults))
    if faults:
        return Chosen(Kind.VIDEO, f"It goes out as a Page video, not as a Reel: {faults[0]}.")
    if unknown:
        return Chosen(
            Kind.VIDEO, f"It goes out as a Page video: {unknown[0]} of the file isn't known."
        )
    return Chosen(
        Kind.REEL, "It goes out as a Reel: it is upright (9:16) and between 3 and 90 seconds long."
    )


def reel_faults(facts: MediaFacts) -> tuple[list[str], list[str]]:
    """What keeps a file from being a Reel, in words; and what isn't known of it."""
    place, faults, unknown = FACEBOOK_REEL, [], []
    if facts.duration_s is None:
        unknown.append("the length")
    elif not (place.min_duration_s or 0) <= facts.duration_s <= (place.max_duration_s or 0):
        faults.append(f"it lasts {in_time(facts.duration_s)}, and a Reel lasts 3 to 90 s")
    if not facts.width or not facts.height:
        unknown.append("the picture's size")
    elif place.shape is not None and not has_shape(facts.width, facts.height, place.shape):
        faults.append(f"the picture is {facts.width} × {facts.height}, and a Reel is 9:16")
    elif facts.width < (place.min_width or 0) or facts.height < (place.min_height or 0):
        faults.append(
            f"the picture is {facts.width} × {facts.height}, and a Reel has at least "
            f"{place.min_width} × {place.min_height}"
        )
    return faults, unknown
