"""The readiness of a post that isn't made yet: what is typed, and how the video stands now.

Used before anything is sent: by the form, by the API and the shell, and once more when the post is
made (tasks/publish/dispatch.py), so that nobody hears only at its time what was wrong all along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import videos
from appliance.errors import InvalidInput, NotFound
from appliance.states import AccountState
from storage.layout import Layout
from tasks.poster import covers
from tasks.probe.facts import Probe
from tasks.publish import material, readiness
from tasks.publish.publisher import COVER, MediaFacts
from tasks.publish.readiness import Item, Level, Readiness
from tasks.publish.registry import publisher_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.models import Account, Video
    from appliance.settings import Settings
    from tasks.publish.choice import Known
    from tasks.publish.publisher import PostDraft


@dataclass(frozen=True)
class Outlook:
    """One account of a post to be. ``versions``: what could go out instead, by profile."""

    account: Account
    draft: PostDraft
    readiness: Readiness
    versions: tuple[str, ...] = ()


def look(
    settings: Settings, video: Video, drafts: Sequence[tuple[Account, PostDraft]]
) -> list[Outlook]:
    """For all the accounts of one post together: their texts may ask for each other's links.

    No remote call. Wants a connection.
    """
    asked: dict[str, set[str]] = {}
    for account, draft in drafts:
        asked.setdefault(account.platform, set()).update(material.links_in(draft))
    original = Probe.from_dict(video.facts) if video.facts else None
    known = material.known_of(video, material.FILMS)
    return [_look(settings, video, pair, original, known, asked) for pair in drafts]


def _look(
    settings: Settings,
    video: Video,
    pair: tuple[Account, PostDraft],
    original: Probe | None,
    known: dict[str, Known],
    asked: dict[str, set[str]],
) -> Outlook:
    account, draft = pair
    if why := _unusable(account):
        return Outlook(account, draft, _cannot(why))
    try:
        publisher = publisher_for(account.platform, settings)
    except NotFound as exc:
        return Outlook(account, draft, _cannot(exc.message))
    delivery = material.delivery_of(account.platform, draft.options)
    if not videos.is_as_sent(video):
        original = None  # it is still being sent: what its first bytes said may not hold
    found = readiness.assess(
        account.platform,
        delivery,
        material.choice_of(video, account.platform, draft.options),
        draft,
        publisher.validate,
        original=original,
        known=known,
        asked=asked,
    )
    if why := _no_cover(settings, video, draft):
        found = readiness.with_item(found, Item(Level.CHANGE, COVER, "no_cover", why))
    versions = readiness.versions_for(material.delivery_of(account.platform), original, known)
    return Outlook(account, draft, found, tuple(versions))


def _no_cover(settings: Settings, video: Video, draft: PostDraft) -> str:
    """Why the chosen cover can't go out; "" when it can, or none was chosen."""
    cover = draft.options.get(COVER)
    if not cover:
        return ""
    try:
        state = covers.state_of(video, str(cover), Layout(settings.data))
    except NotFound as exc:
        return exc.message
    if state.state == "making":
        return "The cover is still being made. Try again in a moment."
    return state.error


def _unusable(account: Account) -> str:
    match account.state:
        case AccountState.RECONNECT:
            return f"“{account.name}” has to be connected again before anything can go there."
        case AccountState.DISABLED:
            return f"“{account.name}” is switched off."
    return ""


def _cannot(why: str) -> Readiness:
    item = Item(Level.CHANGE, "account", "account", why)
    return Readiness(Level.CHANGE, (item,), "", "", MediaFacts(size_bytes=0))


def worst(found: Iterable[Outlook]) -> Level:
    levels = [outlook.readiness.level for outlook in found]
    return max(levels, key=list(Level).index, default=Level.READY)


def refuse(found: Iterable[Outlook]) -> None:
    """Raises InvalidInput for the first thing that somebody has to change: then nothing is posted
    anywhere, and nothing is half posted."""
    for outlook in found:
        for item in outlook.readiness.items:
            if item.level is Level.CHANGE:
                raise InvalidInput(
                    f"{outlook.account.name}: {item.message}",
                    field="accounts" if item.field in ("media", "account") else item.field,
                    code="account_disconnected" if item.field == "account" else "must_edit",
                )
