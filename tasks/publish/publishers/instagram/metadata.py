"""What is said about a Reel, and how Instagram wants to be told; pure."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.publish import rules
from tasks.publish.publisher import COVER_AT_S, Finding, Option

if TYPE_CHECKING:
    from tasks.publish.publisher import MediaFacts, PostDraft

# Source: developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/
# media, read 2026-11.
MAX_COLLABORATORS = 3
_USER_NAME = re.compile(r"[A-Za-z0-9._]{1,30}")

OPTIONS = (
    Option(
        "share_to_feed",
        "Show it in the feed, too",
        default=True,
        hint="Otherwise it is only among the account's Reels.",
    ),
    Option(
        "collaborators",
        "Collaborators",
        default="",
        hint="Up to 3 user names with commas between. They are asked to join the post.",
    ),
)


def caption_of(draft: PostDraft) -> str:
    """A Reel has one text and no title: the description, or the title when there is none."""
    return draft.description.strip() or draft.title.strip()


def shares_to_feed(draft: PostDraft) -> bool:
    said = draft.options.get("share_to_feed", True)
    return said.strip().lower() not in ("false", "off", "no", "0") if isinstance(said, str) else (
        bool(said)
    )  # fmt: skip


def collaborators_of(draft: PostDraft) -> list[str]:
    """Their user names, each once, without the @."""
    said = draft.options.get("collaborators") or ""
    names = said if isinstance(said, list) else re.split(r"[\s,;]+", str(said))
    return list(dict.fromkeys(name for raw in names if (name := str(raw).strip().lstrip("@"))))


def cover_moment_ms(draft: PostDraft) -> int | None:
    """The chosen picture of the video itself; None: none was chosen."""
    said = draft.options.get(COVER_AT_S)
    try:
        return None if said in (None, "") else round(float(said) * 1000)
    except (TypeError, ValueError):
        return None


def findings(draft: PostDraft, facts: MediaFacts) -> list[Finding]:
    """What Instagram would refuse."""
    caption = replace(draft, title="", description=caption_of(draft))
    found = rules.check("instagram", caption, facts)
    names = collaborators_of(draft)
    if len(names) > MAX_COLLABORATORS:
        found.append(
            Finding(
                "collaborators",
                f"{len(names)} collaborators are named; Instagram takes {MAX_COLLABORATORS}.",
            )
        )
    found += [
        Finding("collaborators", f"“{name}” is no user name of Instagram.")
        for name in names
        if not _USER_NAME.fullmatch(name)
    ]
    moment_ms = cover_moment_ms(draft)
    if moment_ms is not None and facts.duration_s and not 0 <= moment_ms < facts.duration_s * 1000:
        found.append(
            Finding(
                "cover",
                f"The cover's moment ({moment_ms / 1000:.1f} s) lies outside the video "
                f"({facts.duration_s:.1f} s).",
            )
        )
    return found


def container_form(
    draft: PostDraft, *, video_url: str | None, cover_url: str | None
) -> dict[str, str]:
    """The parameters of a container; without ``video_url`` one that waits for bytes.

    All of it is fixed then: another text needs another container.
    """
    form = {
        "media_type": "REELS",
        "caption": caption_of(draft),
        "share_to_feed": "true" if shares_to_feed(draft) else "false",
    }
    if video_url is not None:
        form["video_url"] = video_url
    else:
        form["upload_type"] = "resumable"
    if names := collaborators_of(draft):
        form["collaborators"] = json.dumps(names)
    if cover_url is not None:
        form["cover_url"] = cover_url  # it would win over the moment
    elif (moment_ms := cover_moment_ms(draft)) is not None:
        form["thumb_offset"] = str(moment_ms)
    return form


def fingerprint(draft: PostDraft) -> str:
    """Changes with everything that a person chose and a container has fixed."""
    form: dict[str, Any] = container_form(draft, video_url=None, cover_url=None)
    form["cover"] = draft.options.get("cover")
    return hashlib.sha256(json.dumps(form, sort_keys=True, default=str).encode()).hexdigest()[:16]


def can_be_fetched(url: str | None, *, practice: bool) -> bool:
    """Would Instagram's fetcher reach it: HTTPS, ASCII, a public host? The stand-in is here."""
    if not url or not url.isascii():
        return False
    if practice:
        return True
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https" or not host:
        return False
    try:
        return ip_address(host).is_global
    except ValueError:
        private = (".local", ".localhost", ".internal", ".lan", ".home", ".home.arpa", ".test")
        return "." in host and not host.endswith(private)


def same_text(one: str, other: str) -> bool:
    """The same caption, as far as a platform may have tidied it."""
    return _tidied(one) == _tidied(other)


def _tidied(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
