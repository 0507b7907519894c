"""The form that makes a post: what was typed, and what each account has to say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from appliance import accounts
from appliance.clock import now
from appliance.errors import InvalidInput, NotFound
from appliance.ids import new_token
from appliance.models import Rendition
from appliance.states import AccountState, RenditionState
from tasks.publish.publisher import Finding, MediaFacts, PostDraft
from tasks.publish.registry import capabilities_of, publisher_for
from web import words
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.models import Account, User, Video
    from appliance.settings import Settings


@dataclass(frozen=True)
class Typed:
    """What stands in the form. ``other``: account id → its own title and description."""

    accounts: tuple[str, ...]
    title: str
    description: str
    later: bool
    at: str  # as datetime-local writes it, in the zone of the person
    key: str
    other: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One account to choose, with what its platform would refuse."""

    id: str
    name: str
    platform: str
    platform_name: str
    badge: words.Badge
    usable: bool
    checked: bool
    findings: list[Finding]
    title: str
    description: str
    title_limit: int | None
    description_limit: int | None


def fresh(video: Video, user: User) -> Typed:
    """The form as it is opened: the only account is chosen, the next full hour offered."""
    usable = [a for a in accounts.connected() if a.state is AccountState.CONNECTED]
    hour = now().astimezone(ZoneInfo(user.time_zone)) + timedelta(hours=1)
    return Typed(
        accounts=(usable[0].public_id,) if len(usable) == 1 else (),
        title=video.title,
        description=video.description,
        later=False,
        at=f"{hour:%Y-%m-%dT%H}:00",
        key=new_token(),
    )


def read(data: Mapping[str, Any]) -> Typed:
    """From the fields of a sent form; several of one name come as a list."""
    other: dict[str, dict[str, str]] = {}
    for name, value in data.items():
        kind, _colon, account = name.partition(":")
        if kind in ("title", "description") and account and str(value).strip():
            other.setdefault(account, {})[kind] = str(value)
    return Typed(
        accounts=_several(data.get("accounts")),
        title=str(data.get("title", "")),
        description=str(data.get("description", "")),
        later=data.get("when") == "later",
        at=str(data.get("publish_at", "")),
        key=str(data.get("idempotency_key", ""))[:64],
        other=other,
    )


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(v) for v in value) if isinstance(value, list | tuple) else (str(value),)


def publish_at(typed: Typed, zone: str) -> datetime | None:
    """When it is to go out; None: now. Raises InvalidInput for what is no time, or has passed."""
    if not typed.later:
        return None
    try:
        local = datetime.fromisoformat(typed.at)
    except ValueError as exc:
        raise InvalidInput("Choose a date and a time.", field="publish_at") from exc
    when = local.replace(tzinfo=ZoneInfo(zone)) if local.tzinfo is None else local
    if when < now():
        raise InvalidInput(
            "This time has passed. Choose a later one, or post now.", field="publish_at"
        )
    return when


def choices(video: Video, typed: Typed, settings: Settings) -> list[Choice]:
    """All accounts that can be seen in the form; a connection must be open."""
    media = _media(video)
    return [_choice(account, typed, media, settings) for account in accounts.connected()]


def _choice(account: Account, typed: Typed, media: MediaFacts, settings: Settings) -> Choice:
    usable = account.state is AccountState.CONNECTED
    own = typed.other.get(account.public_id, {})
    findings: list[Finding] = []
    capabilities = capabilities_of(account.platform)
    try:
        publisher = publisher_for(account.platform, settings)
    except NotFound as exc:
        usable, findings = False, [Finding("account", exc.message)]
    else:
        draft = PostDraft(
            own.get("title") or typed.title, own.get("description") or typed.description
        )
        findings = publisher.validate(draft, media) if usable else []
    name = capabilities.label if capabilities else account.platform
    return Choice(
        id=account.public_id,
        name=account.name,
        platform=account.platform,
        platform_name=_(name),
        badge=words.badge(account.state),
        usable=usable,
        checked=usable and account.public_id in typed.accounts,
        findings=findings,
        title=own.get("title", ""),
        description=own.get("description", ""),
        title_limit=capabilities.title.maximum if capabilities and capabilities.title else None,
        description_limit=capabilities.description.maximum
        if capabilities and capabilities.description
        else None,
    )


def _media(video: Video) -> MediaFacts:
    """The file that would go out, as far as it is known: the rendition, else the original."""
    made = Rendition.get_or_none(
        Rendition.video == video,
        Rendition.profile == "social",
        Rendition.state == RenditionState.READY,
    )
    return MediaFacts(
        size_bytes=made.size_bytes if made is not None else 0,
        duration_s=video.duration_s,
        width=video.width,
        height=video.height,
    )


def limits(offered: list[Choice]) -> dict[str, int | None]:
    """The strictest limit of the chosen accounts for each text; None: no limit."""
    chosen = [choice for choice in offered if choice.checked]
    return {
        "title": min((c.title_limit for c in chosen if c.title_limit), default=None),
        "description": min(
            (c.description_limit for c in chosen if c.description_limit), default=None
        ),
    }


def say(names: list[str], when: datetime | None, zone: str) -> str:
    """What the toast says when the post is on its way."""
    if when is not None:
        return _("Scheduled for {time}", time=words.clock_time(when, zone, now()))
    if len(names) == 1:
        return _("Posting to {name}", name=names[0])
    return _("Posting to {n} accounts", n=len(names))
