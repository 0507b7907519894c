"""``{youtube_url}`` in a text: where the same post is public elsewhere, once it is there. Pure.

A target whose texts name another platform waits for that one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from tasks.publish.publisher import PostDraft

_VARIABLE = re.compile(r"\{([a-z]+)_url\}")
_FIRST_COMMENT = "first_comment"


def platforms_in(draft: PostDraft) -> set[str]:
    """The platforms whose links stand in the texts, the first comment's among them."""
    return {name for text in _texts(draft) for name in _VARIABLE.findall(text)}


def fill(draft: PostDraft, urls: Mapping[str, str]) -> PostDraft:
    """With the links in the variables' places; those of unknown platforms stay as they are."""

    def put(text: str) -> str:
        return _VARIABLE.sub(lambda found: urls.get(found[1], found[0]), text)

    options = dict(draft.options)
    if isinstance(options.get(_FIRST_COMMENT), str):
        options[_FIRST_COMMENT] = put(options[_FIRST_COMMENT])
    return replace(
        draft, title=put(draft.title), description=put(draft.description), options=options
    )


def fault(
    needs: Mapping[str, Collection[str]],
    known: Iterable[str],
    label_of: Callable[[str], str] = str.title,
) -> str | None:
    """What is wrong with the links of a post's texts, in a sentence; None: nothing.

    ``needs``: platform of a target → platforms whose links stand in its texts. ``known``: the
    platforms that could be meant; other words in braces are just text. ``label_of``: what people
    call a platform.
    """
    meant = set(known)
    waits = {place: {name for name in names if name in meant} for place, names in needs.items()}
    for place, names in waits.items():
        for name in sorted(names):
            if name == place:
                return f"“{{{name}_url}}” can't stand in the text for {label_of(name)} itself."
            if name not in waits:
                return f"“{{{name}_url}}” needs an account of {label_of(name)} among those chosen."
    left = dict(waits)
    while ready := [place for place, names in left.items() if not names & set(left)]:
        for place in ready:
            del left[place]
    if left:
        both = " and ".join(label_of(name) for name in sorted(left))
        return f"The texts for {both} wait for each other's links."
    return None


def _texts(draft: PostDraft) -> list[str]:
    comment = draft.options.get(_FIRST_COMMENT)
    return [draft.title, draft.description, comment if isinstance(comment, str) else ""]
