"""The form that makes a post: what was typed, and what each account has to say about it.

One text for all; each account may have a title, a text and options of its own. The fields of one
account have its id in their names: ``title:ID``, ``description:ID``, ``option:ID:NAME``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from appliance import accounts, posts
from appliance.clock import now
from appliance.ids import is_id, new_token
from appliance.states import AccountState
from tasks.publish import composing, outlook, readiness, rules, same_post
from tasks.publish.publisher import (
    COVER,
    FIRST_COMMENT,
    VERSION,
    MediaFacts,
    Option,
    PostDraft,
    measure,
)
from tasks.publish.readiness import Level, Readiness
from tasks.publish.registry import capabilities_of
from web import when_form, words
from web.post_previews import Preview, previews_of
from web.rows import poster_url
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from appliance.models import Account, Post, PostTemplate, User, Video
    from appliance.settings import Settings
    from tasks.publish.same_post import Other
    from web.when_form import When

TEXTS = ("title", "description")


@dataclass(frozen=True)
class Typed:
    """What stands in the form. ``other``: account id → its own title, description, options."""

    accounts: tuple[str, ...]
    title: str
    description: str
    comment: str
    when: When
    key: str
    other: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    draft: bool = False  # "Keep as draft" was pressed
    draft_id: str = ""  # the draft that is written on; "": a new post
    again: bool = False  # "Post it again all the same" was pressed

    def options_of(self, account_id: str) -> dict[str, Any]:
        return dict(self.other.get(account_id, {}).get("options", {}))

    def with_own(self, account_id: str, **changes: Any) -> Typed:
        """With other texts, or further options, for one account."""
        own = dict(self.other.get(account_id, {}))
        if options := changes.pop("options", None):
            own["options"] = {**own.get("options", {}), **options}
        other = {**self.other, account_id: {**own, **changes}}
        return replace(self, other=other)


@dataclass(frozen=True)
class OptionField:
    """An option of an account as a field. ``kind``: yes_no, choice, text."""

    option: Option
    kind: str
    value: str | bool


@dataclass(frozen=True)
class Choice:
    """One account to choose, with what is said about the post there."""

    id: str
    name: str
    platform: str
    platform_name: str
    badge: words.Badge
    usable: bool
    checked: bool
    readiness: Readiness
    badge_of_readiness: words.Badge
    has_title: bool
    title: str
    description: str
    options: list[OptionField]
    cover: str
    can_comment: bool
    comment: str
    previews: list[Preview]
    same: Other | None
    """The post of this video that is on its way there, or was posted lately with the same text."""

    @property
    def is_own(self) -> bool:
        """Whether anything differs from the rest: then its fields are shown at once."""
        defaults = all(shown.value == shown.option.default for shown in self.options)
        return bool(self.title or self.description or self.cover or self.comment) or not defaults


@dataclass(frozen=True)
class Counter:
    """ "YouTube: 12 of 100" below a text."""

    platform: str
    label: str
    used: int
    most: int | None

    @property
    def too_long(self) -> bool:
        return self.most is not None and self.used > self.most


def fresh(video: Video, user: User, *, at: str = "") -> Typed:
    """The form as it is opened: the only account is chosen, the next full hour offered."""
    usable = [a for a in accounts.connected() if a.state is AccountState.CONNECTED]
    return Typed(
        accounts=(usable[0].public_id,) if len(usable) == 1 else (),
        title=video.title,
        description=video.description,
        comment="",
        when=when_form.fresh(user, at=at),
        key=new_token(),
    )


def of_draft(post: Post, user: User) -> Typed:
    """The form as a draft was left. A connection must be open."""
    targets = posts.latest_targets(post)
    own = {t.account.public_id: dict(t.overrides) for t in targets if t.overrides}
    said = {changes.get("options", {}).get(FIRST_COMMENT) for changes in own.values()} - {None}
    comment = ""
    if len(said) == 1:  # the same for all that can: it is the common one
        comment = str(said.pop())
        for changes in own.values():
            rest = {k: v for k, v in changes.get("options", {}).items() if k != FIRST_COMMENT}
            changes["options"] = rest
    if post.publish_at is None:
        when = when_form.fresh(user)
    else:
        when = when_form.of_moment(post.publish_at, post.time_zone)
    return Typed(
        accounts=tuple(target.account.public_id for target in targets),
        title=post.title,
        description=post.description,
        comment=comment,
        when=replace(when, hold_there=post.hold_there),
        key=new_token(),
        other=own,
        draft_id=post.public_id,
    )


def read(data: Mapping[str, Any], user: User) -> Typed:
    """From the fields of a sent form; several of one name come as a list."""
    other: dict[str, dict[str, Any]] = {}
    for name, value in data.items():
        kind, _colon, rest = name.partition(":")
        account, _colon, option = rest.partition(":")
        value = _last(value)
        if kind in TEXTS and account and value.strip():
            other.setdefault(account, {})[kind] = value
        elif kind == "option" and account and option and value:
            other.setdefault(account, {}).setdefault("options", {})[option] = value
    return Typed(
        accounts=_several(data.get("accounts")),
        title=str(data.get("title", "")),
        description=str(data.get("description", "")),
        comment=str(data.get("comment", "")),
        when=when_form.read(data, user),
        key=str(data.get("idempotency_key", ""))[:64],
        other=other,
        draft="draft" in data,
        draft_id=str(data.get("draft_id", ""))[:64],
        again=data.get("again") == "yes",
    )


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(v) for v in value) if isinstance(value, list | tuple) else (str(value),)


def _last(value: Any) -> str:
    """Of a box to tick, the hidden "no" comes before the "yes"."""
    return str(value[-1]) if isinstance(value, list | tuple) else str(value)


def composed_of(typed: Typed, chosen: list[Account]) -> dict[str, composing.Changes]:
    """What differs for each account. Raises InvalidInput."""
    ids = {account.public_id for account in chosen}
    common: dict[str, Any] = {}
    if typed.comment.strip() and any(_can_comment(a) for a in chosen):
        common[FIRST_COMMENT] = typed.comment
    own = {id: dict(changes) for id, changes in typed.other.items() if id in ids}
    return composing.compose(chosen, options=common, overrides=own)


def choices(
    video: Video, typed: Typed, settings: Settings, *, shown: list[Account]
) -> list[Choice]:
    """All accounts that can be seen in the form; a connection must be open."""
    usable = [a for a in shown if a.state is AccountState.CONNECTED]
    chosen = [a for a in usable if a.public_id in typed.accounts]
    drafts = [(account, _draft(typed, account, video)) for account in chosen]
    found = {one.account.public_id: one for one in outlook.look(settings, video, drafts)}
    same = {other.account_id: other for other in same_post.look(video, drafts)}
    return [
        _choice(video, account, typed, found.get(account.public_id), same.get(account.public_id))
        for account in shown
    ]


def _draft(typed: Typed, account: Account, video: Video) -> PostDraft:
    """As it will go out, of what may still be wrong; what is wrong is what the form says."""
    own = typed.other.get(account.public_id, {})
    options = dict(own.get("options", {}))
    if typed.comment.strip() and _can_comment(account):
        options.setdefault(FIRST_COMMENT, typed.comment)
    return PostDraft(
        own.get("title") or typed.title or video.title,
        own.get("description") or typed.description or video.description,
        {name: value for name, value in options.items() if value != ""},
    )


def _can_comment(account: Account) -> bool:
    capabilities = capabilities_of(account.platform)
    return capabilities is not None and capabilities.can_comment


_NOTHING = Readiness(Level.READY, (), "", "", MediaFacts(size_bytes=0))


def _choice(
    video: Video,
    account: Account,
    typed: Typed,
    found: outlook.Outlook | None,
    same: Other | None,
) -> Choice:
    own = typed.other.get(account.public_id, {})
    usable = account.state is AccountState.CONNECTED
    capabilities = capabilities_of(account.platform)
    ready = found.readiness if found is not None else _NOTHING
    options = typed.options_of(account.public_id)
    cover = str(options.get(COVER) or "")
    return Choice(
        id=account.public_id,
        name=account.name,
        platform=account.platform,
        platform_name=_(capabilities.label if capabilities else account.platform),
        badge=words.badge(account.state),
        usable=usable,
        checked=found is not None,
        readiness=ready,
        badge_of_readiness=level_badge(ready.level),
        has_title="title" in rules.rules().get(account.platform, {}).get("texts", {"title": {}}),
        title=own.get("title", ""),
        description=own.get("description", ""),
        options=_fields(account.platform, options, found),
        cover=cover,
        can_comment=_can_comment(account),
        comment=str(options.get(FIRST_COMMENT) or ""),
        previews=previews_of(
            account.platform, ready.media, cover_url(video, cover) or poster_url(video), video
        )
        if found is not None
        else [],
        same=same,
    )


def cover_url(video: Video, cover: str) -> str:
    """Where the browser finds a chosen cover; "" without one."""
    return f"/media/{video.public_id}/cover-{cover}.jpg?v=1" if is_id(cover) else ""


def _fields(
    platform: str, values: Mapping[str, Any], found: outlook.Outlook | None
) -> list[OptionField]:
    shown = []
    for option in composing.options_of(platform).values():
        if option.name in (COVER, FIRST_COMMENT):
            continue  # they have fields of their own
        if option.name == VERSION:
            able = ("", values.get(VERSION, ""), *(found.versions if found is not None else ()))
            option = replace(option, choices=tuple(c for c in option.choices if c[0] in able))
            if len(option.choices) < 2:
                continue
        kind = "yes_no" if isinstance(option.default, bool) else "text"
        value: str | bool = values.get(option.name, option.default)
        if kind == "yes_no":
            value = value if isinstance(value, bool) else str(value).lower() in ("yes", "true")
        shown.append(OptionField(option, "choice" if option.choices else kind, value))
    return shown


def level_badge(level: Level) -> words.Badge:
    tone, icon, word = {
        Level.READY: ("ok", "check", _("Ready")),
        Level.FIXED: ("info", "retry", _("Will be fixed")),
        Level.CHANGE: ("bad", "alert", _("Must change")),
    }[level]
    return words.Badge(level.value, tone, icon, word)


def counters(typed: Typed, offered: list[Choice], name: str) -> list[Counter]:
    """For each chosen platform that takes the shared text ``name``."""
    text = {"title": typed.title, "description": typed.description, FIRST_COMMENT: typed.comment}
    found = {}
    for choice in offered:
        limit = rules.text_limit(choice.platform, name)
        if not choice.checked or limit is None:
            continue
        used = measure(rules.with_sample_links(text[name]), limit.unit)
        found[choice.platform] = Counter(choice.platform, choice.platform_name, used, limit.maximum)
    return list(found.values())


def variables(offered: list[Choice]) -> list[tuple[str, str]]:
    """The links that texts may hold: (variable, platform), of the chosen accounts."""
    found = {c.platform: c.platform_name for c in offered if c.checked}
    return [
        (f"{{{platform}_url}}", name)
        for platform, name in found.items()
        if "link" in rules.rules().get(platform, {}) and len(found) > 1
    ]


def from_template(typed: Typed, template: PostTemplate, texts: tuple[str, str]) -> Typed:
    """The form with the texts and options of a template in the place of what stood there."""
    title, description = texts
    comment = str(template.options.get(FIRST_COMMENT) or "")
    filled = replace(
        typed,
        title=title or typed.title,
        description=description or typed.description,
        comment=comment or typed.comment,
    )
    rest = {name: value for name, value in template.options.items() if name != FIRST_COMMENT}
    for account in accounts.connected():
        known = composing.options_of(account.platform)
        if options := {name: value for name, value in rest.items() if name in known}:
            filled = filled.with_own(account.public_id, options=options)
    return filled


def mended(typed: Typed, account: Account, fix: str, video: Video) -> Typed:
    """The form after one press on a fix of an account; as it is for an unknown one."""
    kind, _colon, rest = fix.partition(":")
    if kind == "version" and rest in readiness.VERSIONS:
        return typed.with_own(account.public_id, options={VERSION: rest})
    if kind == COVER:  # back to the poster
        return typed.with_own(account.public_id, options={COVER: ""})
    field_name, _colon, how = rest.partition(":")
    draft = _draft(typed, account, video)
    texts = rules.texts_of(draft)
    if kind != "text" or field_name not in texts:
        return typed
    text = readiness.mend_text(account.platform, field_name, texts[field_name], how)
    if field_name in TEXTS:
        return typed.with_own(account.public_id, **{field_name: text})
    return typed.with_own(account.public_id, options={field_name: text})


def say(names: list[str], when: datetime | None, zone: str) -> str:
    """What the toast says when the post is on its way."""
    if when is not None:
        return _("Scheduled for {time}", time=words.clock_time(when, zone, now()))
    if len(names) == 1:
        return _("Posting to {name}", name=names[0])
    return _("Posting to {n} accounts", n=len(names))
