"""What each platform would refuse, by ``rules.json``: one file for browser, server and shell.

A rule is data: how long a text may be and in which unit, which signs and how many hashtags it may
have, how long, large and shaped a file may be. The browser's twin of this module is
web/assets/js/parts/post/rules.js; both are held to tests/tasks/publish/vectors/rules.json, words
included.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.publish.counting import find_hashtags, find_mentions
from tasks.publish.publisher import FIRST_COMMENT, FieldLimit, Finding, Unit, check_field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tasks.publish.publisher import MediaFacts, PostDraft

# "{youtube_url}" in a text of a post: the link to what it became on YouTube.
LINK = re.compile(r"\{([a-z][a-z0-9]*)_url\}")
# Two shapes that differ by less look the same (tasks/acceptance.py).
SHAPE_SLACK = 0.01


@cache
def rules() -> dict[str, dict[str, Any]]:
    """By platform. Each says ``as_of`` and ``source``: when it was read, and where."""
    loaded: dict[str, dict[str, Any]] = json.loads(
        Path(__file__).with_name("rules.json").read_text(encoding="utf-8")
    )
    return loaded


def text_limit(platform: str, field: str) -> FieldLimit | None:
    rule = rules().get(platform, {}).get("texts", {}).get(field)
    if rule is None:
        return None
    return FieldLimit(
        maximum=rule["max"],
        unit=Unit(rule["unit"]),
        forbidden=rule.get("forbidden", ""),
        required=rule.get("required", False),
    )


def check(platform: str, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
    """The findings about texts and file; a platform without rules minds nothing."""
    return check_texts(platform, texts_of(draft)) + check_media(platform, facts)


def texts_of(draft: PostDraft) -> dict[str, str]:
    """All the texts of a draft, by field; those among its options that have a rule, too."""
    texts = {"title": draft.title, "description": draft.description}
    for name in (FIRST_COMMENT, "tags"):
        if isinstance(text := draft.options.get(name), str):
            texts[name] = text
    return texts


def check_texts(platform: str, texts: Mapping[str, str]) -> list[Finding]:
    """Links that aren't known yet are counted as long as they may become."""
    found: list[Finding] = []
    whole = {field: with_sample_links(text) for field, text in texts.items()}
    of_texts = rules().get(platform, {}).get("texts", {})
    for field, rule in of_texts.items():
        if "or" in rule and not whole.get(field, "").strip():  # this one goes out instead
            whole[field] = whole.get(rule["or"], "")
    for field, rule in of_texts.items():
        if field in whole:
            called = rule.get("called", field.replace("_", " "))
            found += check_field(field, whole[field], text_limit(platform, field), called=called)
    return found + _check_counts(platform, whole)


def _check_counts(platform: str, texts: Mapping[str, str]) -> list[Finding]:
    rule = rules().get(platform, {})
    public = [texts.get("description", "")]
    if "title" in rule.get("texts", {}):
        public.insert(0, texts.get("title", ""))
    found = []
    for kind, find in (("hashtags", find_hashtags), ("mentions", find_mentions)):
        if kind not in rule:
            continue
        count = sum(len(find(text)) for text in public)
        most = rule[kind]["max"]
        if count > most:
            message = f"The text has {count} {kind}; {most} are allowed."
            if then := rule[kind].get("then"):
                message = f"The text has {count} {kind}, more than {most}. {then}"
            code = f"too_many_{kind}"
            found.append(Finding("description", message, must=rule[kind]["must"], code=code))
    return found


def check_media(platform: str, facts: MediaFacts) -> list[Finding]:
    """What the platform minds about a file. One that takes several forms minds nothing that is
    right for one of them; what isn't known of the file isn't minded."""
    rule = rules().get(platform, {})
    forms = rule.get("media", [])
    label = rule.get("label", platform)
    faults = [(form, _media_faults(form, label, facts)) for form in forms]
    found: list[Finding] = []
    if faults and all(of_form for _, of_form in faults):
        # The last form is the widest: what it minds keeps the file out.
        found = [Finding("media", message, code=code) for code, message in faults[-1][1]]
    for note in rule.get("notes", []):
        if (facts.duration_s or 0) > note["over_s"]:
            found.append(Finding("media", note["note"], must=False, code="note"))
    return found


def form_of(platform: str, facts: MediaFacts, wish: object = None) -> str:
    """ "a reel": the first form that takes the file; "" when the platform has but one, or the
    file isn't known well enough. ``wish``: the option "kind" of the post, which decides where it
    names a form."""
    rule = rules().get(platform, {})
    for form in rule.get("media", []):
        if form.get("as") == f"a {wish}":
            return str(form["as"])
    if not (facts.width and facts.height and facts.duration_s):
        return ""
    for form in rule.get("media", []):
        if "as" in form and not _media_faults(form, rule["label"], facts):
            return str(form["as"])
    return ""


def _media_faults(form: Mapping[str, Any], label: str, facts: MediaFacts) -> list[tuple[str, str]]:
    """(code, sentence) for each fault."""
    found = []
    seconds, size = facts.duration_s or 0.0, facts.size_bytes
    width, height = facts.width or 0, facts.height or 0
    if size > form.get("max_bytes", math.inf):
        have, most = math.ceil(size / 1e6), form["max_bytes"] // 1_000_000
        found.append(("too_large", f"The file has {have} MB; {label} takes {most} MB."))
    if seconds > form.get("max_duration_s", math.inf):
        have_s, most_s = clock(math.ceil(seconds)), clock(form["max_duration_s"])
        message = f"The video lasts {have_s}; {label} takes at most {most_s}."
        found.append(("too_long_video", message))
    if 0 < seconds < form.get("min_duration_s", 0):
        have_s, least_s = clock(math.floor(seconds)), clock(form["min_duration_s"])
        message = f"The video lasts {have_s}; {label} takes no shorter one than {least_s}."
        found.append(("too_short_video", message))
    if not width or not height:
        return found
    across, down = form.get("shape", (width, height))
    if abs(width * down - height * across) > SHAPE_SLACK * height * across:
        found.append(("wrong_shape", f"The picture isn't {across}:{down}."))
    ratio = width / height
    if not form.get("min_ratio", 0) <= ratio <= form.get("max_ratio", math.inf):
        message = f"{width} × {height} are too long a strip for {label}."
        found.append(("wrong_shape", message))
    if width < form.get("min_width", 0) or height < form.get("min_height", 0):
        least = f"{form['min_width']} × {form['min_height']}"
        message = f"{width} × {height} are too few pixels; {label} wants {least}."
        found.append(("too_small", message))
    return found


def clock(seconds: int) -> str:
    """ "1:30", "1:02:00"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def links_in(text: str) -> list[str]:
    """The platforms whose links a text asks for, each once."""
    return list(dict.fromkeys(LINK.findall(text)))


def with_sample_links(text: str) -> str:
    """With links as long as they may become in the place of those that aren't known yet."""
    return LINK.sub(lambda match: rules().get(match[1], {}).get("link", match[0]), text)


def check_links(
    platform: str, texts: Mapping[str, str], asked: Mapping[str, Collection[str]]
) -> list[Finding]:
    """What is wrong with the links that the texts for ``platform`` ask for.

    ``asked``: each platform that the post goes to → the platforms whose links *its* texts ask for.
    """
    found = []
    for field, text in texts.items():
        for other in links_in(text):
            if (finding := _check_link(field, platform, other, asked)) is not None:
                found.append(finding)
    return found


def _check_link(
    field: str, platform: str, other: str, asked: Mapping[str, Collection[str]]
) -> Finding | None:
    name = f"{{{other}_url}}"
    rule = rules().get(other, {})
    if "link" not in rule:
        message = f"There is no link {name}: it goes out as it stands here."
        return Finding(field, message, must=False, code="unknown_link")
    label = rule["label"]
    if other == platform:
        message = f"{name} isn't known before the post is out, so its own text can't have it."
        return Finding(field, message, code="own_link")
    if other not in asked:
        message = f"{name} needs {label} among the accounts."
        return Finding(field, message, code="no_account_for_link")
    if leads_to(other, platform, asked):
        message = f"{name} waits for {label}, and {label} waits for this one. Take one link out."
        return Finding(field, message, code="links_in_circle")
    return None


def leads_to(start: str, end: str, asked: Mapping[str, Iterable[str]]) -> bool:
    """Whether the posts on ``start`` wait, directly or not, for the link to ``end``."""
    seen: set[str] = set()
    open_ = [start]
    while open_:
        for after in asked.get(open_.pop(), ()):
            if after == end:
                return True
            if after not in seen:
                seen.add(after)
                open_.append(after)
    return False
