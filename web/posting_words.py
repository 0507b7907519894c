"""What is said about a post as a whole, while it is on its way and when it is out.

Pure; the words are those of the owner's notes. The badge of each account stands beside it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.states import PostState, TargetState
from web import words
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Part:
    """One account of a post. ``url``: "" as long as there is none."""

    platform: str
    account: str
    state: TargetState
    url: str = ""
    error: str = ""


@dataclass(frozen=True)
class Told:
    """``links``: (label, address), to follow the sentence."""

    sentence: str
    links: tuple[tuple[str, str], ...] = ()


_SHORT: Mapping[TargetState, str] = {
    TargetState.WAITING: "waiting",
    TargetState.STAGING: "sending",
    TargetState.STAGED: "prepared",
    TargetState.PUBLISHING: "posting",
    TargetState.PUBLISHED: "done",
    TargetState.FAILED: "failed",
    TargetState.UNSURE: "checking",
    TargetState.NEEDS_PERSON: "needs attention",
    TargetState.CANCELLED: "cancelled",
}

_NOT_THERE = (TargetState.FAILED, TargetState.NEEDS_PERSON)


def platform_name(platform: str) -> str:
    return _(words.PLATFORM_NAMES.get(platform, platform.title()))


def labels(parts: Sequence[Part]) -> list[str]:
    """What each is called in a sentence: its platform; with the account when that isn't enough."""
    several = Counter(part.platform for part in parts)

    def label(part: Part) -> str:
        name = platform_name(part.platform)
        return name if several[part.platform] == 1 else f"{name} ({part.account})"

    return [label(part) for part in parts]


def tell(state: PostState, parts: Sequence[Part]) -> Told:
    """The sentence on top of a post; "" for one that hasn't begun, or was called back."""
    named = list(zip(labels(parts), parts, strict=True))
    if state is PostState.PENDING:
        return Told(_("Your video is queued for posting..."))
    if state is PostState.PROCESSING:
        each = ", ".join(f"{name} {_(_SHORT[part.state])}" for name, part in named)
        return Told(_("Posting to platforms... ({each})", each=each), _links(named))
    if state is PostState.COMPLETED:
        links = _links(named)
        says = _("Posted successfully! View on:") if links else _("Posted successfully!")
        return Told(says, links)
    if state is PostState.PARTIAL:
        done = words.joined([n for n, p in named if p.state is TargetState.PUBLISHED])
        left = words.joined([n for n, p in named if p.state in _NOT_THERE])
        says = _("Posted to {done}, not to {left}.", done=done, left=left)
        return Told(says, _links(named))
    if state is PostState.FAILED:
        return Told(_("Failed to post: {error}", error=_reasons(named)))
    return Told("")


_MARKS: Mapping[TargetState, str] = {
    TargetState.PUBLISHED: "✓",
    TargetState.FAILED: "✗",
    TargetState.NEEDS_PERSON: "?",
    TargetState.CANCELLED: "–",
}


def brief(parts: Sequence[Part]) -> str:
    """Of one that is on its way, for a window's title: "Posting… (YouTube ✓, Facebook …)"."""
    named = zip(labels(parts), parts, strict=True)
    each = ", ".join(f"{name} {_MARKS.get(part.state, '…')}" for name, part in named)
    return _("Posting… ({each})", each=each)


def _links(named: Sequence[tuple[str, Part]]) -> tuple[tuple[str, str], ...]:
    return tuple((n, p.url) for n, p in named if p.url and p.state is TargetState.PUBLISHED)


def _reasons(named: Sequence[tuple[str, Part]]) -> str:
    """The reason alone when there is one account, or all have the same."""
    told = [(name, part.error) for name, part in named if part.error]
    if len({error for _name, error in told}) == 1:
        return told[0][1]
    return " ".join(f"{name}: {error}" for name, error in told) or _("no reason is known.")
