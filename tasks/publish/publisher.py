"""What a platform must be able to do, and the words in which it answers.

A publisher talks to one platform and decides nothing about the ledger: it is given a `Target`
(frozen, loaded), does one step and answers with a `Step`. tasks/publish/machine.py turns the
answer into the next state; tasks/publish/task.py carries that out.

Two rules keep a post from going out twice:

- `save(checkpoint)` commits what is about to be done *before* each remote call that creates
  something, and again as soon as its answer is known. It raises LeaseLost when the job belongs to
  another worker by now; the publisher lets that through and calls nothing more.
- When the answer of such a call is lost (no answer, cut connection, a 5xx), the step is `Unsure`:
  the next thing is `reconcile`, which asks the platform what really happened. A publisher answers
  `RetryAt` only when it knows that nothing was created (connection refused, 401, 429, other 4xx).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from tasks.publish import counting

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


class Unit(StrEnum):
    CHARS = "chars"
    # Platforms say "characters" and don't say which. Most count like Java and JavaScript do: an
    # emoji is two or more. What passes by that passes by any count of characters.
    UTF16 = "utf16"
    BYTES = "bytes"  # of UTF-8
    TAGS = "tags"  # a list between commas, as YouTube counts one


@dataclass(frozen=True)
class FieldLimit:
    """How long a text may be, counted as the platform counts, and characters it refuses."""

    maximum: int
    unit: Unit = Unit.CHARS
    forbidden: str = ""
    required: bool = False


@dataclass(frozen=True)
class Option:
    """Something that a person decides for a post beside its texts (``PostDraft.options[name]``).

    ``choices``: (value, words); without them it is yes or no, or a line of text when the default
    is a text. ``default``: what it is when nobody said. ``hint``: what it does, and what it costs.
    """

    name: str
    label: str
    default: str | bool
    choices: tuple[tuple[str, str], ...] = ()
    hint: str = ""


# Names in ``PostDraft.options`` that mean the same for every platform; what Capabilities.options
# names is the platform's own.
FIRST_COMMENT = "first_comment"  # a text; tasks.publish asks `Publisher.comment` to put it there
COVER = "cover"  # the id of a picture (tasks/publish/covers.py) in place of the video's poster
COVER_AT_S = "cover_at_s"  # a moment of the film in place of a picture, where platforms offer that
VERSION = "version"  # the profile of the rendition that goes out, in place of the best that fits


@dataclass(frozen=True)
class Bucket:
    """An allowance of the platform: ``limit`` units within ``window_s`` seconds.

    ``post``: what one post takes of it. ``resets``: an IANA zone at whose midnight it is full
    again; "" when it slides. ``asked``: the platform itself tells how much is used (what it said
    last stands in ``Account.facts["allowances"][name]``: used, limit, at). ``shared``: all accounts
    of the platform draw on it together. ``concerns``: which posts take something of it; None: all.
    """

    name: str
    label: str
    limit: int
    window_s: float
    post: int
    resets: str = ""
    asked: bool = False
    shared: bool = False
    concerns: Callable[[PostDraft, MediaFacts], bool] | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a platform is like, as data: for the machine, the readiness card and the docs."""

    label: str
    needs_public_url: bool = False  # its fetcher comes to our public link
    can_stage: bool = False  # the slow part can be done before anybody presses Post
    staged_lifetime_s: float | None = None  # None: a staged thing stays for good
    native_scheduling: bool = False
    takes_any_media: bool = False  # also an original that no rendition could be made of
    can_delete: bool = False
    can_edit: frozenset[str] = frozenset()  # of a published post: "title", "description"
    can_comment: bool = False  # the first comment under it can be ours
    has_numbers: bool = False  # views and the like can be asked for
    title: FieldLimit | None = None
    description: FieldLimit | None = None
    max_size_bytes: int | None = None
    max_duration_s: float | None = None
    options: tuple[Option, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    # Of holding a post there until its time: how far ahead at least and at most, in seconds.
    holds_from_s: float = 0.0
    holds_to_s: float | None = None


@dataclass(frozen=True)
class PostDraft:
    """The texts for one account, overrides applied."""

    title: str
    description: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MediaFacts:
    """The file that will go out. 0 and None: not known."""

    size_bytes: int
    content_type: str = "video/mp4"
    sha256: str | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Target:
    """Everything a publisher may know about one account of one post.

    ``marker`` names this target and generation and nothing else: a publisher puts it where
    ``reconcile`` can find it again. ``file`` is always readable here; ``media_url`` is set for
    platforms that fetch (absolute, lives until the platform has finished).
    """

    marker: str
    draft: PostDraft
    media: MediaFacts
    file: Path | None
    media_url: str | None
    remote_account: str
    credentials: dict[str, Any]
    options: dict[str, Any]  # of the account
    checkpoint: dict[str, Any]
    filename: str = "video.mp4"  # a readable name for people, cleaned
    practice: bool = False  # the account is one of the stand-in on this box
    publish_at: datetime | None = None  # the platform itself shall make it public then; see Held
    ahead: bool = False  # long before it goes, as the account allows: it may lie there unpublished
    cover: Path | None = None  # JPEG, chosen for this post or the video's poster
    cover_url: str | None = None  # the same for a fetcher
    captions: Path | None = None  # WebVTT
    remote_id: str | None = None  # of a published one, for edit, delete and numbers
    unseen_only: bool = False  # delete it only if nobody else can see it; else Done
    # Count ``units`` of a bucket of the capabilities. Call it beside each call that costs.
    spend: Callable[[str, int], None] = field(default=lambda bucket, units: None)
    # The platform said of an asked-for bucket: so much is used, of so much.
    told: Callable[[str, int, int], None] = field(default=lambda bucket, used, limit: None)


@dataclass(frozen=True)
class Finding:
    """Something that ``validate`` has to say. ``must``: it can't go out like this.

    ``code``: a stable word for what it is.
    """

    field: str  # "title", "description", "first_comment", "media", or the name of an option
    message: str
    must: bool = True
    code: str = ""


# What a step answers.


@dataclass(frozen=True)
class Done:
    """It is public. ``url`` None: the platform has no page for it.

    ``note``: sentences about what didn't come along (a cover, a playlist), for the person.
    """

    remote_id: str
    url: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Staged:
    """All that is slow is done; one cheap ``go_live`` is left, possible until ``expires_at``."""

    expires_at: datetime | None = None


@dataclass(frozen=True)
class Held:
    """The platform has all of it, unseen, and makes it public itself at ``until``.

    Only when ``Target.publish_at`` is set: from ``stage`` (YouTube: uploaded with its time), or
    from ``go_live``, which is called after Staged with that same ``publish_at`` (Facebook:
    finished as scheduled). At that time ``poll`` is asked until it says Done; when it still says
    Held or Staged some minutes later, ``go_live`` is called without ``publish_at``. "Post now"
    calls ``go_live`` without ``publish_at``, too; cancel and another time call ``delete``.
    """

    until: datetime


@dataclass(frozen=True)
class WaitUntil:
    """The platform works on it: ``poll`` at ``when``. ``stage`` in words for the screen."""

    when: datetime
    stage: str = ""


@dataclass(frozen=True)
class RetryAt:
    """Nothing was created: the same step again at ``when`` (None: by backoff).

    ``counted`` False: the platform named the time (429), so this doesn't use up an attempt.
    """

    when: datetime | None
    reason: str
    detail: str = ""
    counted: bool = True


@dataclass(frozen=True)
class NeedsReconnect:
    """The platform no longer accepts our sign-in; nothing was created."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class MustEdit:
    """A person has to change text or file; nothing was created."""

    reason: str
    code: str = "must_edit"
    detail: str = ""


@dataclass(frozen=True)
class Failed:
    """The platform refuses for good; nothing is public."""

    reason: str
    code: str = "refused"
    detail: str = ""


@dataclass(frozen=True)
class Unsure:
    """From a step: the answer was lost. From ``reconcile``: the platform can't tell."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class NotThere:
    """From ``reconcile``: looked, nothing was created; start again. From ``delete``: it is gone."""


Step = (
    Done
    | Staged
    | Held
    | WaitUntil
    | RetryAt
    | NeedsReconnect
    | MustEdit
    | Failed
    | Unsure
    | NotThere
)

# Commits the whole checkpoint while the job is ours. Raises LeaseLost.
Checkpoint = Callable[[dict[str, Any]], None]


class Publisher(Protocol):
    """One platform. Steps may raise anything: the executor takes that for a lost answer."""

    capabilities: Capabilities

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        """What the platform would refuse; no remote call."""
        ...

    def stage(self, target: Target, save: Checkpoint) -> Step:
        """Bring the file to the platform, unseen. Takes up a checkpoint that is there.

        Staged | Held | WaitUntil | Done (it turned out to be public) | RetryAt | NeedsReconnect |
        MustEdit | Failed | Unsure
        """
        ...

    def poll(self, target: Target) -> Step:
        """How far is it? After ``stage`` or ``go_live`` answered WaitUntil. Creates nothing.

        Staged | Held | Done | WaitUntil | RetryAt | NeedsReconnect | MustEdit | Failed |
        NotThere (what was staged is gone: stage anew)
        """
        ...

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        """Make it public; the one call that must never happen twice.

        Done | Held | WaitUntil | RetryAt | NeedsReconnect | MustEdit | Failed | Unsure |
        NotThere (what was staged is gone: stage anew)
        """
        ...

    def reconcile(self, target: Target) -> Step:
        """After a lost answer: ask the platform what really happened. Creates nothing.

        Done | Staged | Held | WaitUntil (poll) | NotThere | RetryAt (can't be asked now) |
        NeedsReconnect | Failed | Unsure (it can't tell: a person has to look)
        """
        ...

    def edit(self, target: Target) -> Step:
        """Change the texts of what is published to those of the draft. Repeatable: the same texts
        twice are the same.

        Done | RetryAt | NeedsReconnect | MustEdit | Failed | Unsure | NotThere (it was removed)
        """
        ...

    def comment(self, target: Target, text: str) -> Step:
        """Put ``text`` under what is published. Looks first whether it is there, so a second call
        makes no second comment.

        Done (its id) | RetryAt | NeedsReconnect | MustEdit | Failed | NotThere (it was removed)
        """
        ...

    def numbers(self, target: Target) -> dict[str, int] | RetryAt | NeedsReconnect | NotThere:
        """What the platform counts of a published post: "views", "likes", "comments"."""
        ...

    def delete(self, target: Target) -> Step:
        """Remove what was staged or published. NotThere (gone) | RetryAt | NeedsReconnect | Failed.

        Platforms without ``capabilities.can_delete`` answer Failed.
        """
        ...


_MEASURES: dict[Unit, Callable[[str], int]] = {
    Unit.CHARS: len,
    Unit.UTF16: counting.count_utf16,
    Unit.BYTES: counting.count_bytes,
    Unit.TAGS: counting.count_tags,
}


def measure(text: str, unit: Unit) -> int:
    return _MEASURES[unit](text)


def check_field(
    name: str, text: str, limit: FieldLimit | None, *, called: str = ""
) -> list[Finding]:
    """The findings about one text: too long, empty, characters that the platform refuses.

    ``called``: what people know it as, when that isn't ``name``.
    """
    if limit is None:
        return []
    findings = []
    called = called or name
    if limit.required and not text.strip():
        message = f"The {called} is empty; this platform needs one."
        findings.append(Finding(name, message, code="empty"))
    length = measure(text, limit.unit)
    if length > limit.maximum:
        unit = "bytes" if limit.unit is Unit.BYTES else "characters"
        message = f"The {called} has {length} {unit}; {limit.maximum} are allowed."
        findings.append(Finding(name, message, code="too_long"))
    if bad := sorted({ch for ch in text if ch in limit.forbidden}):
        message = f"The {called} may not contain {' or '.join(bad)}."
        findings.append(Finding(name, message, code="forbidden"))
    return findings


def check_draft(draft: PostDraft, facts: MediaFacts, capabilities: Capabilities) -> list[Finding]:
    """What follows from the capabilities alone; publishers add what is theirs."""
    findings = check_field("title", draft.title, capabilities.title)
    findings += check_field("description", draft.description, capabilities.description)
    most = capabilities.max_size_bytes
    if most is not None and facts.size_bytes > most:
        findings.append(
            Finding(
                "media",
                f"The file has {facts.size_bytes / 1e6:.0f} MB; {capabilities.label} takes "
                f"{most / 1e6:.0f} MB.",
            )
        )
    longest = capabilities.max_duration_s
    if longest is not None and (facts.duration_s or 0) > longest:
        findings.append(
            Finding(
                "media",
                f"The video lasts {facts.duration_s:.0f} s; {capabilities.label} takes "
                f"{longest:.0f} s.",
            )
        )
    return findings
