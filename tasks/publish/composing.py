"""From what somebody writes once to what each account gets: texts and options, checked.

The result is what `appliance.posts.create` takes as ``overrides``. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.errors import InvalidInput
from appliance.post_input import clean_description, clean_title
from tasks.profiles import PROFILES
from tasks.publish.publisher import COVER, COVER_AT_S, FIRST_COMMENT, VERSION, Option, PostDraft
from tasks.publish.readiness import VERSIONS
from tasks.publish.registry import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.models import Account, Video

Changes = dict[str, Any]  # title, description, options
_MAX_OPTION_CHARS = 10_000


def options_of(platform: str) -> dict[str, Option]:
    """What can be decided for a post there beside its texts, by name: what the platform has, then
    what is the same everywhere."""
    capabilities = capabilities_of(platform)
    found = {option.name: option for option in capabilities.options} if capabilities else {}
    if capabilities is not None and capabilities.can_comment:
        found[FIRST_COMMENT] = Option(FIRST_COMMENT, "First comment", "")
    choices = (("", "The best that fits"), *((name, PROFILES[name].label) for name in VERSIONS))
    found[VERSION] = Option(VERSION, "Version", "", choices)
    found[COVER] = Option(COVER, "Cover", "")
    return found


def compose(
    accounts: Sequence[Account],
    *,
    options: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Changes]:
    """What differs for each account from the post's own title and description, by account id.

    ``options``: for all accounts; each takes of them what it knows. ``overrides``: account id or
    platform → title, description, options; those of the account win. Raises InvalidInput for an
    option that no chosen platform has, or a value that it doesn't take.
    """
    common, own = dict(options or {}), overrides or {}
    _check_names(accounts, common, own)
    composed: dict[str, Changes] = {}
    for account in accounts:
        known = options_of(account.platform)
        layers = [own.get(account.platform, {}), own.get(account.public_id, {})]
        changes: Changes = {}
        for layer in layers:
            changes |= {name: value for name, value in layer.items() if name != "options"}
        given = {name: value for name, value in common.items() if name in known}
        for layer in layers:
            given |= layer.get("options") or {}
        checked = {
            name: check_option(account.platform, known, name, value)
            for name, value in given.items()
            if value is not None
        }
        kept = {
            name: value
            for name, value in checked.items()
            if value != (known[name].default if name in known else "")
        }
        if kept:
            changes["options"] = kept
        if changes:
            composed[account.public_id] = changes
    return composed


def _check_names(
    accounts: Sequence[Account], common: Changes, own: Mapping[str, Mapping[str, Any]]
) -> None:
    meant = {a.platform for a in accounts} | {a.public_id for a in accounts}
    for name, changes in own.items():
        if name not in meant:
            raise InvalidInput(
                f"“{name[:64]}” in overrides is none of the chosen accounts or platforms.",
                field="overrides",
            )
        if not isinstance(changes.get("options", {}), dict | None):
            raise InvalidInput("“options” in overrides has the wrong type.", field="overrides")
    known = set().union(*(options_of(a.platform) for a in accounts)) if accounts else set()
    if accounts and (extra := sorted(set(common) - known)):
        raise InvalidInput(
            f"There is no option “{extra[0][:64]}” for these accounts. Those that there are: "
            f"{', '.join(sorted(known))}.",
            field="options",
        )


def check_option(platform: str, known: Mapping[str, Option], name: str, value: Any) -> str | bool:
    """The value as it is kept. Raises InvalidInput."""
    if name == COVER_AT_S:
        return str(value)[:20]
    option = known.get(name)
    if option is None:
        raise InvalidInput(
            f"{platform} has no option “{name[:64]}”. Those that there are: {', '.join(known)}.",
            field="options",
        )
    if isinstance(option.default, bool):
        if isinstance(value, bool):
            return value
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False, "": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise InvalidInput(f"“{name}” is yes or no.", field="options")
    text = str(value).strip()
    if len(text) > _MAX_OPTION_CHARS:
        raise InvalidInput(f"“{name}” is longer than {_MAX_OPTION_CHARS} characters.",
                           field="options")  # fmt: skip
    allowed = [choice for choice, _ in option.choices]
    if allowed and text not in allowed:
        raise InvalidInput(
            f"“{name}” can't be “{text[:64]}”; it is one of {', '.join(filter(None, allowed))}.",
            field="options",
        )
    return text


def drafts_of(
    video: Video,
    accounts: Sequence[Account],
    composed: Mapping[str, Changes],
    *,
    title: str | None = None,
    description: str | None = None,
) -> list[tuple[Account, PostDraft]]:
    """The texts that each account gets, cleaned as the post's will be. Raises InvalidInput."""
    shared_title = clean_title(title, field="title") or video.title
    shared_text = clean_description(description, field="description") or video.description
    drafts = []
    for account in accounts:
        changes = composed.get(account.public_id, {})
        draft = PostDraft(
            title=clean_title(changes.get("title"), field="overrides") or shared_title,
            description=clean_description(changes.get("description"), field="overrides")
            or shared_text,
            options=dict(changes.get("options", {})),
        )
        drafts.append((account, draft))
    return drafts
