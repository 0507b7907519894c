"""What is written about a video, and what may be chosen. Pure.

Source: developers.google.com/youtube/v3/docs/videos, by platforms.md §1.3.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tasks.publish.counting import split_tags
from tasks.publish.publisher import Finding, Option

if TYPE_CHECKING:
    from tasks.publish.publisher import MediaFacts, PostDraft, Target

# Those of videoCategories.list that are assignable; the same in all regions that were looked at.
CATEGORIES = {
    "22": "People & Blogs",
    "1": "Film & Animation",
    "2": "Autos & Vehicles",
    "10": "Music",
    "15": "Pets & Animals",
    "17": "Sports",
    "19": "Travel & Events",
    "20": "Gaming",
    "23": "Comedy",
    "24": "Entertainment",
    "25": "News & Politics",
    "26": "Howto & Style",
    "27": "Education",
    "28": "Science & Technology",
    "29": "Nonprofits & Activism",
}
PRIVACY = {
    "public": "Public",
    "unlisted": "Unlisted: whoever has the link",
    "private": "Private: only the channel itself",
}

OPTIONS = (
    Option("privacy", "Who can see it", "public", tuple(PRIVACY.items())),
    Option(
        "made_for_kids",
        "Made for children",
        False,
        hint="YouTube wants to know. Comments and some other things are off for such videos.",
    ),
    Option(
        "synthetic_media",
        "Altered or made by AI, and looks real",
        False,
        hint="YouTube shows a note under such videos.",
    ),
    Option("category", "Category", "22", tuple(CATEGORIES.items())),
    Option("tags", "Tags", "", hint="Between commas; 500 characters in all."),
    Option(
        "playlist",
        "Playlist",
        "",
        hint="The address of a playlist of the channel, or its id. Costs 50 calls of the quota.",
    ),
    Option(
        "language",
        "Language",
        "",
        hint="Of texts and captions, such as en or pt-BR.",
    ),
    Option("notify_subscribers", "Tell subscribers", True, hint="Of those who asked for it."),
)

# Square or upright, and not longer. Source: support.google.com/youtube/answer/15424877; uploads
# since 2024-10-15. The API has no field for it.
SHORT_MAX_S = 180.0

_PLAYLIST = re.compile(r"(?:https?://\S*[?&]list=)?([A-Za-z0-9_-]{10,64})(?:&\S*)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_VTT_LANGUAGE = re.compile(r"^Language: ?([A-Za-z0-9-]+)\s*$", re.MULTILINE)
_YES = frozenset({"1", "true", "yes", "on"})

# The parts of `status` that an update overwrites: what is left out is lost.
WRITABLE_STATUS = (
    "privacyStatus",
    "publishAt",
    "license",
    "embeddable",
    "publicStatsViewable",
    "selfDeclaredMadeForKids",
    "containsSyntheticMedia",
)
WRITABLE_SNIPPET = (
    "title",
    "description",
    "tags",
    "categoryId",
    "defaultLanguage",
    "defaultAudioLanguage",
)


def choice(target: Target, name: str) -> str:
    """A text that was chosen: for this post, else for the account, else the default."""
    return _chosen(target.draft.options, target.options, name)


def decided(target: Target, name: str) -> bool:
    """A yes or no that was chosen, likewise."""
    return _as_bool(_value(target.draft.options, target.options, name))


def _value(draft: dict[str, Any], account: dict[str, Any], name: str) -> Any:
    for options in (draft, account):
        if options.get(name) not in (None, ""):
            return options[name]
    return next(option.default for option in OPTIONS if option.name == name)


def _chosen(draft: dict[str, Any], account: dict[str, Any], name: str) -> str:
    return str(_value(draft, account, name)).strip()


def _as_bool(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).strip().lower() in _YES


def check_options(draft: PostDraft) -> list[Finding]:
    """What YouTube would refuse of the choices; lengths of texts are tasks/publish/rules.json's."""
    found = []
    if _chosen(draft.options, {}, "privacy") not in PRIVACY:
        found.append(Finding("privacy", "Choose who can see it: public, unlisted or private."))
    if _chosen(draft.options, {}, "category") not in CATEGORIES:
        found.append(Finding("category", "YouTube has no such category."))
    playlist = _chosen(draft.options, {}, "playlist")
    if playlist and playlist_id(playlist) is None:
        message = "This is no playlist of YouTube: paste its address, or the id in it."
        found.append(Finding("playlist", message))
    language = _chosen(draft.options, {}, "language")
    if language and not _LANGUAGE.fullmatch(language):
        found.append(Finding("language", "Languages are written like en or pt-BR."))
    return found


def playlist_id(text: str) -> str | None:
    match = _PLAYLIST.fullmatch(text)
    return match[1] if match else None


def insert_body(target: Target, publish_at: datetime | None) -> dict[str, Any]:
    """The resource of videos.insert: private until it goes live. ``publish_at``: aware."""
    snippet: dict[str, Any] = {
        "title": target.draft.title,
        "description": target.draft.description,
        "categoryId": choice(target, "category"),
    }
    if tags := split_tags(choice(target, "tags")):
        snippet["tags"] = tags
    if language := choice(target, "language"):
        snippet["defaultLanguage"] = snippet["defaultAudioLanguage"] = language
    status: dict[str, Any] = {
        "privacyStatus": "private",
        "selfDeclaredMadeForKids": decided(target, "made_for_kids"),
        "containsSyntheticMedia": decided(target, "synthetic_media"),
    }
    if publish_at is not None:
        status["publishAt"] = _whole_second(publish_at)
    return {"snippet": snippet, "status": status}


def status_for(
    current: dict[str, Any], privacy: str, publish_at: datetime | None
) -> dict[str, Any]:
    """The whole status for an update: what there is, but for who can see it.

    With ``publish_at`` it stays private until YouTube itself makes it public.
    """
    status = {name: current[name] for name in WRITABLE_STATUS if name in current}
    status.pop("publishAt", None)
    if publish_at is None:
        return {**status, "privacyStatus": privacy}
    return {**status, "privacyStatus": "private", "publishAt": _whole_second(publish_at)}


def snippet_for(current: dict[str, Any], title: str, description: str) -> dict[str, Any]:
    """The whole snippet for an update: what there is, but for the two texts."""
    snippet = {name: current[name] for name in WRITABLE_SNIPPET if name in current}
    return {**snippet, "title": title, "description": description}


def is_short(media: MediaFacts) -> bool:
    """Whether YouTube shows it as a Short. What isn't known isn't one."""
    if not media.width or not media.height or not media.duration_s:
        return False
    return media.height >= media.width and media.duration_s <= SHORT_MAX_S


def address_of(base: str, video_id: str, media: MediaFacts) -> str:
    """Where people see it. ``base``: without a slash at the end."""
    if is_short(media):
        return f"{base}/shorts/{video_id}"
    return f"{base}/watch?v={video_id}"


def caption_language(target: Target, text: str) -> str:
    """Of the captions: as chosen, else as the file itself says, else English."""
    found = _VTT_LANGUAGE.search(text.partition("\n\n")[0])
    return choice(target, "language") or (found[1] if found else "en")


def rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole_second(when: datetime) -> str:
    """The next one: nothing goes out before its time."""
    return rfc3339(when if when.microsecond == 0 else when + timedelta(seconds=1))


def parse_time(text: object) -> datetime | None:
    """A time of YouTube's; None for anything else."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
