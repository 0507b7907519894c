"""Tags: words that people sort videos by. Lower case, few, short; the same for everybody."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from appliance.db import transaction
from appliance.errors import InvalidInput
from appliance.models import Video, VideoTag
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peewee import ModelSelect

MAX_CHARS = 40
MAX_PER_VIDEO = 20


def clean(text: str) -> str:
    """One tag as it is kept; "" when nothing is left. Pure. Raises InvalidInput: too long."""
    word = clean_line(text.lower(), max_bytes=1000).lstrip("# ").replace(",", " ").strip()
    if len(word) > MAX_CHARS:
        raise InvalidInput(
            f"“{word[:20]}…” is too long for a tag: {MAX_CHARS} characters at most.", field="tags"
        )
    return word


def clean_all(texts: Iterable[str]) -> list[str]:
    """Each once, in order. Pure. Raises InvalidInput."""
    found = {word: None for text in texts if (word := clean(text))}
    if len(found) > MAX_PER_VIDEO:
        raise InvalidInput(f"A video has at most {MAX_PER_VIDEO} tags.", field="tags")
    return sorted(found)


def read_list(text: str) -> list[str]:
    """As people write them: "party, summer 2026". Raises InvalidInput."""
    return clean_all(text.split(","))


def put(video: Video, names: list[str]) -> None:
    """These and no others; ``names`` from ``clean_all``."""
    with transaction():
        VideoTag.delete().where(VideoTag.video == video).execute()
        for name in names:
            VideoTag.create(video=video, name=name)


def of(videos: Iterable[Video]) -> dict[int, list[str]]:
    """The tags of each video, by its row id, in alphabetical order; one query."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    ids = [video.id for video in videos]
    for row in VideoTag.select().where(VideoTag.video.in_(ids)).order_by(VideoTag.name):
        found[row.video_id].append(row.name)
    return found


def narrow(query: ModelSelect[Video], name: str) -> ModelSelect[Video]:
    """Those with the tag ``name``, however it is written; all when it is empty."""
    word = clean_line(name.lower())
    if not word:
        return query
    tagged = VideoTag.select(VideoTag.video).where(VideoTag.name == word)
    return query.where(Video.id.in_(tagged))
