"""Videos as the stand-in keeps them, and as it shows them; the rules for what may be written.

Source: developers.google.com/youtube/v3/docs/videos, by platforms.md §1.3 and §1.4.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from web.practice.google.google import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of `processing` told to reject: which of the two kinds of end a reason belongs to.
FAILURES = frozenset({"codec", "conversion", "emptyFile", "invalidFile", "tooSmall"})
# What an update that leaves it out falls back to. None: it is gone.
STATUS_DEFAULTS: dict[str, Any] = {
    "privacyStatus": "public",
    "publishAt": None,
    "license": "youtube",
    "embeddable": True,
    "publicStatsViewable": True,
    "selfDeclaredMadeForKids": None,
    "containsSyntheticMedia": None,
}
SNIPPET_FIELDS = ("title", "description", "tags", "categoryId", "defaultLanguage")
CATEGORIES = {
    "1": "Film & Animation", "2": "Autos & Vehicles", "10": "Music", "15": "Pets & Animals",
    "17": "Sports", "19": "Travel & Events", "20": "Gaming", "22": "People & Blogs",
    "23": "Comedy", "24": "Entertainment", "25": "News & Politics", "26": "Howto & Style",
    "27": "Education", "28": "Science & Technology", "29": "Nonprofits & Activism",
}  # fmt: skip


def check_parts(parts: str, body: dict[str, Any]) -> list[str]:
    """Those that are to be written. Raises Refusal unless body and ``part`` name the same."""
    named = [part for part in parts.split(",") if part]
    inside = set(body) - {"id", "kind", "etag"}
    if not named:
        raise Refusal("missingRequiredParameter", "No filter or part selected.")
    if inside != set(named):
        raise Refusal("unexpectedPart", f"part={parts}, but the body has {sorted(inside)}.")
    return named


def check_snippet(snippet: dict[str, Any], *, update: bool = False) -> dict[str, Any]:
    """What is kept of a snippet. Raises Refusal."""
    title, description = snippet.get("title") or "", snippet.get("description") or ""
    if not 1 <= len(title) <= 100 or set(title) & set("<>"):
        raise Refusal("invalidTitle", "The request metadata specifies an invalid video title.")
    if len(description.encode()) > 5000 or set(description) & set("<>"):
        raise Refusal("invalidDescription", "The description is invalid.")
    tags = snippet.get("tags") or []
    total = sum(len(tag) + 2 * (" " in tag) for tag in tags) + max(0, len(tags) - 1)
    if total > 500:
        raise Refusal("invalidTags", "The request metadata specifies invalid video keywords.")
    category = snippet.get("categoryId")
    if (update and category is None) or (category is not None and category not in CATEGORIES):
        raise Refusal("invalidCategoryId", "The categoryId is invalid.")
    kept = {name: snippet[name] for name in SNIPPET_FIELDS if snippet.get(name)}
    return {"categoryId": "22", **kept}


def check_status(status: dict[str, Any], *, was_public: bool = False) -> dict[str, Any]:
    """What is kept of a status: what it doesn't name falls back. Raises Refusal."""
    named = {name: status[name] for name in STATUS_DEFAULTS if name in status}
    kept = {**STATUS_DEFAULTS, **named}
    if kept["privacyStatus"] not in ("private", "public", "unlisted"):
        raise Refusal("invalidVideoMetadata", "The privacyStatus is invalid.")
    if (at := kept["publishAt"]) is not None:
        try:
            when = datetime.fromisoformat(at)
        except ValueError:
            raise Refusal("invalidPublishAt", "publishAt is no time.") from None
        if kept["privacyStatus"] != "private" or was_public or when.tzinfo is None:
            raise Refusal("invalidPublishAt", "publishAt is only for private videos.")
    return {name: value for name, value in kept.items() if value is not None}


def as_of_now(video: dict[str, Any]) -> dict[str, Any]:
    """What time makes of a video: a held one becomes public. Locked ones stay private."""
    status = dict(video["status"])
    at = status.get("publishAt")
    if at is not None and datetime.fromisoformat(at) <= now():
        del status["publishAt"]
        status["privacyStatus"] = "public"
    if video.get("locked"):
        status["privacyStatus"] = "private"
        status.pop("publishAt", None)
    return {**video, "status": status}


def shape(video: dict[str, Any], parts: Iterable[str]) -> dict[str, Any]:
    """A video resource with these parts."""
    video = as_of_now(video)
    working = datetime.fromisoformat(video["busy_until"]) > now()
    rejected = video.get("rejected") or ""
    upload, processing = "processed", "succeeded"
    reasons: dict[str, str] = {}
    if working:
        upload, processing = "uploaded", "processing"
    elif rejected in FAILURES:
        upload, processing, reasons = "failed", "failed", {"failureReason": rejected}
    elif rejected:
        upload, processing = "rejected", "terminated"
        reasons = {"rejectionReason": rejected}
    all_parts: dict[str, Any] = {
        "snippet": {
            "publishedAt": video["uploaded_at"],
            "channelId": video["channel"],
            **video["snippet"],
        },
        "status": {"uploadStatus": upload, **reasons, **video["status"]},
        "processingDetails": {"processingStatus": processing},
        "fileDetails": {"fileSize": str(video["size_bytes"])},
        # Numbers of a stand-in: made of the id, so that they stay.
        "statistics": {
            "viewCount": str(sum(video["id"].encode()) % 100),
            "likeCount": str(len(video["id"]) % 7),
            "commentCount": "0",
        },
    }
    return {
        "kind": "youtube#video",
        "id": video["id"],
        **{part: all_parts[part] for part in parts if part in all_parts},
    }


def when_done(slow_s: float) -> str:
    return datetime.fromtimestamp(now().timestamp() + slow_s, UTC).isoformat()
