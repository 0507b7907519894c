"""How platforms count: characters, bytes, tags, hashtags and mentions. Pure.

Its twin is web/assets/js/parts/post/counting.js; tests/tasks/publish/vectors/rules.json holds both
to the same answers.
"""

from __future__ import annotations

import re

# What a hashtag may go on with: everything but blanks and ASCII signs other than "_". Wider than
# any platform's own: what isn't counted here is surely none there.
_TAG = r"[^\s!-/:-@\[-^`{-~]+"
_HASHTAG = re.compile(rf"[#＃]{_TAG}", re.ASCII)
# Of "a#b" and of an entity such as "&#39;" nobody thinks as hashtags.
_BEFORE_HASHTAG = re.compile(r"[0-9A-Za-z_&/]")
_MENTION = re.compile(r"(?<![0-9A-Za-z_.])@[0-9A-Za-z_.]+")


def count_utf16(text: str) -> int:
    """As Java, JavaScript and so most platforms count: an emoji is two, or more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def count_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def split_tags(text: str) -> list[str]:
    """Tags as people write them, between commas."""
    return [tag for part in text.split(",") if (tag := part.strip())]


def count_tags(text: str) -> int:
    """As YouTube counts a list of tags: the commas between them, and two for the quotes around one
    with a blank. Source: developers.google.com/youtube/v3/docs/videos, ``snippet.tags[]``."""
    tags = split_tags(text)
    return sum(count_utf16(t) + 2 * (" " in t) for t in tags) + max(0, len(tags) - 1)


def find_hashtags(text: str) -> list[str]:
    """Each as it stands in the text, "#" included."""
    found, last_end = [], -1
    for match in _HASHTAG.finditer(text):
        start = match.start()
        free = start == 0 or not _BEFORE_HASHTAG.match(text[start - 1])
        if free or start == last_end:  # "#a#b" are two
            found.append(match.group())
            last_end = match.end()
    return found


def find_mentions(text: str) -> list[str]:
    """ "@name", but not the middle of an address."""
    return _MENTION.findall(text)
