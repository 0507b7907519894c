"""Is a video ready for a platform? Ready, will be fixed automatically, or must change. Pure.

One answer for the post form, the API and the shell: what the platform's rules say of the texts and
of the very file that would go out (tasks/publish/choice.py), what is done to the video without
anybody asking, and what one press could mend.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.acceptance import has_shape, whole_faults
from tasks.profiles import PROFILES
from tasks.publish import rules
from tasks.publish.choice import Choice, Use, expect, fitting_profiles
from tasks.publish.counting import find_hashtags
from tasks.publish.publisher import MediaFacts, measure
from tasks.transcode.faults import form_faults, is_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tasks.acceptance import Delivery
    from tasks.probe.facts import Probe
    from tasks.publish.choice import Known
    from tasks.publish.publisher import FieldLimit, Finding, PostDraft


class Level(StrEnum):
    READY = "ready"
    FIXED = "fixed"  # automatically, before it goes out
    CHANGE = "change"  # somebody has to


_ORDER = (Level.READY, Level.FIXED, Level.CHANGE)


@dataclass(frozen=True)
class Fix:
    """Something that one press does. ``name``: "version:vertical", or "text:description:shorten"
    (`mend_text`); what it does is kept in the account's own texts and options."""

    name: str
    label: str


@dataclass(frozen=True)
class Item:
    """One thing to say. ``level`` READY: only good to know."""

    level: Level
    field: str
    code: str
    message: str
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True)
class Readiness:
    """``profile``: of the version that goes out, "" for the original or none. ``form``: what it
    becomes there ("a reel"), where there is a choice. ``media``: what is known of that file."""

    level: Level
    items: tuple[Item, ...]
    profile: str
    form: str
    media: MediaFacts


VERSIONS = {
    "vertical": "Make it upright",
    "reel": "Trim it to 90 s, upright",
    "instagram": "Make it smaller than 300 MB",
    "social": "Leave its shape and length",
}
_LINK_FIXES = ("own_link", "no_account_for_link", "links_in_circle")
_TEXT_FIXES = {
    "too_long": ("shorten", "Shorten it to fit"),
    "forbidden": ("clean", "Take these characters out"),
    "too_many_hashtags": ("hashtags", "Keep the first ones"),
}


def assess(
    platform: str,
    delivery: Delivery,
    choice: Choice,
    draft: PostDraft,
    validate: Callable[[PostDraft, MediaFacts], list[Finding]],
    *,
    original: Probe | None,
    known: Mapping[str, Known],
    asked: Mapping[str, Iterable[str]] | None = None,
) -> Readiness:
    """``choice``: which file goes out, of `choose`. ``validate``: the publisher's, no remote call.

    ``asked``: platform of each account of the post → platforms whose links its texts ask for; None
    when only one account is looked at.
    """
    media = media_facts(choice, original, known)
    items = _of_findings(validate(draft, media))
    of_file = any(i.field == "media" and i.level is Level.CHANGE for i in items)
    if not (of_file and choice.use is Use.NOTHING):  # then the same was said already
        items += _of_choice(choice, original, known, delivery)
    if asked is not None:
        listed = {place: set(links) for place, links in asked.items()}
        wrong = rules.check_links(platform, rules.texts_of(draft), listed)
        items += _of_findings(wrong)
    if any(i.field == "media" and i.level is Level.CHANGE for i in items):
        items = _with_versions(items, choice, delivery, original, known)
    elif (hint := _upright_hint(platform, media, choice, delivery, original, known)) is not None:
        items.append(hint)
    level = max((item.level for item in items), key=_ORDER.index, default=Level.READY)
    return Readiness(
        level=level,
        items=tuple(sorted(items, key=lambda item: -_ORDER.index(item.level))),
        profile=choice.profile,
        form=rules.form_of(platform, media, draft.options.get("kind")),
        media=media,
    )


def with_item(found: Readiness, item: Item) -> Readiness:
    """With one thing more to say."""
    items = tuple(sorted((*found.items, item), key=lambda one: -_ORDER.index(one.level)))
    return replace(found, items=items, level=max(found.level, item.level, key=_ORDER.index))


def media_facts(choice: Choice, original: Probe | None, known: Mapping[str, Known]) -> MediaFacts:
    """Of the file that goes out: the one that is there, else what it will be like."""
    probe = original
    if choice.profile:
        made = known.get(choice.profile)
        probe = made.probe if made is not None and choice.use is Use.RENDITION else None
        if probe is None and original is not None and original.video is not None:
            probe = expect(original, PROFILES[choice.profile])
    if probe is None:
        return MediaFacts(size_bytes=0)
    return MediaFacts(
        size_bytes=probe.size_bytes,
        duration_s=probe.duration_s or None,
        width=probe.video.shown_width if probe.video else None,
        height=probe.video.shown_height if probe.video else None,
    )


def _of_findings(findings: Iterable[Finding]) -> list[Item]:
    items = []
    for finding in findings:
        fixes: tuple[Fix, ...] = ()
        if finding.must and finding.code in _TEXT_FIXES and finding.field != "media":
            name, label = _TEXT_FIXES[finding.code]
            fixes = (Fix(f"text:{finding.field}:{name}", label),)
        elif finding.code in _LINK_FIXES:
            (name,) = rules.LINK.findall(finding.message)[:1]
            fixes = (Fix(f"text:{finding.field}:unlink-{name}", "Take the link out here"),)
        level = Level.CHANGE if finding.must else Level.READY
        items.append(Item(level, finding.field, finding.code, finding.message, fixes))
    return items


def _of_choice(
    choice: Choice, original: Probe | None, known: Mapping[str, Known], delivery: Delivery
) -> list[Item]:
    if choice.use in (Use.NOTHING, Use.FAILED):
        code = "no_version" if choice.use is Use.NOTHING else "version_failed"
        return [Item(Level.CHANGE, "media", code, choice.why)]
    if choice.use is Use.ORIGINAL:
        return [Item(Level.READY, "media", "original", choice.why)] if choice.why else []
    items = []
    if original is not None and original.video is not None and choice.profile:
        items = [
            Item(Level.FIXED, "media", code, message)
            for code, message in _mended(choice.profile, original, delivery)
        ]
    if choice.use is Use.WAIT:
        message = f"“{PROFILES[choice.profile].label}” has to be made first; the post waits for it."
        items.append(Item(Level.FIXED, "media", "waits", message))
    return items


def _mended(profile_name: str, original: Probe, delivery: Delivery) -> list[tuple[str, str]]:
    """(code, sentence) for what is done to the video without anybody asking."""
    place, profile = delivery.place, PROFILES[profile_name]
    video = original.video
    assert video is not None
    found = []
    if profile.shape is not None and not has_shape(
        video.shown_width, video.shown_height, profile.shape
    ):
        across, down = profile.shape
        message = (
            f"The picture isn't {across}:{down}: it is put in the middle of one that is, with "
            "itself blurred around it."
        )
        found.append(("made_upright", message))
    if is_cut(original, profile):
        assert profile.max_duration_s is not None
        found.append(("cut", f"Only the first {rules.clock(int(profile.max_duration_s))} go out."))
    faults = form_faults(original, place)
    if "there is no sound" in faults:
        found.append(("silence", "There is no sound: silence is added."))
        faults.remove("there is no sound")
    if profile_name == "instagram":
        faults += [fault for fault in whole_faults(original, place) if "B are" in fault]
    if faults:
        what = "; ".join(faults)
        found.append(("converted", f"{what[0].upper()}{what[1:]}: it is converted."))
    return found


def versions_for(
    delivery: Delivery, original: Probe | None, known: Mapping[str, Known], *, but: str = ""
) -> list[str]:
    """The versions of a video that the place takes, apart from one."""
    wider = replace(delivery, profiles=tuple(VERSIONS))
    return [name for name in fitting_profiles(wider, original, known) if name != but]


def _with_versions(
    items: list[Item],
    choice: Choice,
    delivery: Delivery,
    original: Probe | None,
    known: Mapping[str, Known],
) -> list[Item]:
    """The ways out, on the first thing that is wrong with the file."""
    fixes = tuple(
        Fix(f"version:{name}", VERSIONS[name])
        for name in versions_for(delivery, original, known, but=choice.profile)
    )
    first = next(n for n, i in enumerate(items) if i.field == "media" and i.level is Level.CHANGE)
    return [*items[:first], replace(items[first], fixes=fixes), *items[first + 1 :]]


def _upright_hint(
    platform: str,
    media: MediaFacts,
    choice: Choice,
    delivery: Delivery,
    original: Probe | None,
    known: Mapping[str, Known],
) -> Item | None:
    """A lying picture where all that people see stands upright."""
    views = rules.rules().get(platform, {}).get("views", [])
    if not views or not media.width or not media.height or not choice.profile:
        return None
    across, down = views[0]["ratio"]
    if across >= down or media.width <= media.height:
        return None
    fitting = versions_for(delivery, original, known, but=choice.profile)
    long = (media.duration_s or 0) > 90 and "vertical" not in fitting
    name = "reel" if long else "vertical"
    if name not in fitting:
        return None
    label = rules.rules()[platform]["label"]
    message = f"The picture is wider than high; {label} shows most videos upright."
    return Item(Level.READY, "media", "lies", message, (Fix(f"version:{name}", VERSIONS[name]),))


# One press


def mend_text(platform: str, field: str, text: str, how: str) -> str:
    """The text as the fix "text:field:how" leaves it; `rules.check_texts` minds it no more."""
    limit = rules.text_limit(platform, field)
    if how == "clean" and limit is not None:
        return "".join(sign for sign in text if sign not in limit.forbidden)
    if how.startswith("unlink-"):
        without = text.replace(f"{{{how.removeprefix('unlink-')}_url}}", "")
        return re.sub(r"[ \t]{2,}", " ", without).strip()
    if how == "hashtags":
        return _keep_hashtags(platform, text)
    if how == "shorten" and limit is not None:
        return _shorten(text, limit)
    return text


def _keep_hashtags(platform: str, text: str) -> str:
    """Without the hashtags beyond those that are allowed."""
    most = rules.rules().get(platform, {}).get("hashtags", {}).get("max", 0)
    hashtags = find_hashtags(text)
    at = 0
    for number, hashtag in enumerate(hashtags):
        at = text.index(hashtag, at)
        if number < most:
            at += len(hashtag)
        else:
            text = text[:at] + text[at + len(hashtag) :]
    return re.sub(r"[ \t]+(\n|$)", r"\1", re.sub(r"[ \t]{2,}", " ", text)).strip()


def _shorten(text: str, limit: FieldLimit) -> str:
    """The longest beginning that fits with "…" after it, ended between words where that costs
    less than a quarter."""

    def fits(length: int) -> bool:
        shown = rules.with_sample_links(text[:length].rstrip() + "…")
        return measure(shown, limit.unit) <= limit.maximum

    if measure(rules.with_sample_links(text), limit.unit) <= limit.maximum:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    # Not through the middle of a link that isn't known yet, nor of an emoji of several signs.
    for variable in rules.LINK.finditer(text):
        if variable.start() < low < variable.end():
            low = variable.start()
    while 0 < low < len(text) and text[low] in "\u200d\ufe0f" or text[low - 1 : low] == "\u200d":
        low -= 1
    space = max(text.rfind(sign, 0, low + 1) for sign in " \n")
    if space > low * 3 // 4:
        low = space
    return text[:low].rstrip() + "…"
