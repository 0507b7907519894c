"""What anything but a yes means: Instagram's table before Meta's, and said of Instagram."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.publish.graph import step_of
from tasks.publish.publisher import Failed, MustEdit, NeedsReconnect, RetryAt, Step, Unsure
from tasks.publish.publishers.instagram.errors import INSTAGRAM_ERRORS

if TYPE_CHECKING:
    from tasks.publish.graph import Reply

# "Facebook asks for a pause", but not "the password of the Facebook account".
_SPEAKER = re.compile(
    r"\bFacebook(?= (?:asks|could|doesn't|expected|had|has blocked|is out|says)\b)"
)


def step_for(reply: Reply, *, creating: bool = False) -> Step:
    """``creating``: a lost answer has to be looked after. See tasks/publish/graph.py."""
    step = step_of(reply, INSTAGRAM_ERRORS, creating=creating)
    match step:
        case RetryAt() | NeedsReconnect() | MustEdit() | Failed() | Unsure():
            return replace(step, reason=in_its_name(step.reason))
    return step


def looked_in_vain(reply: Reply) -> Step:
    """The same of a look. That the question is refused says nothing about the Reel, so it is asked
    again, unless Instagram speaks of the video itself."""
    step = step_for(reply)
    if isinstance(step, Failed | MustEdit) and step.code != "media_rejected":
        return RetryAt(None, step.reason, step.detail)
    return step


def in_its_name(sentence: str) -> str:
    """The Graph API speaks for both; people have posted to Instagram."""
    return _SPEAKER.sub("Instagram", sentence)
