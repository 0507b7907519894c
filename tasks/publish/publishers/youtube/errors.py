"""What YouTube's refusals mean: decided by their ``reason``, by the table below. Pure.

Source: developers.google.com/youtube/v3/docs/errors and the error tables of each method.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks.publish.publisher import Failed, MustEdit, NeedsReconnect, NotThere, RetryAt, Step
from tasks.publish.remote import retry_after

if TYPE_CHECKING:
    from tasks.publish.remote import Refused

# "Daily quotas reset at midnight Pacific Time": developers.google.com/youtube/v3/getting-started.
QUOTA_ZONE = ZoneInfo("America/Los_Angeles")


class Fate(StrEnum):
    """What follows from a refusal."""

    BACKOFF = "backoff"
    QUOTA = "quota"  # tomorrow, by the Pacific
    DAY = "day"  # in 24 hours
    RECONNECT = "reconnect"
    EDIT = "edit"
    STOP = "stop"
    GONE = "gone"


@dataclass(frozen=True)
class Row:
    """``sentence``: what happened and what to do, for people. "" takes YouTube's own words.

    ``code``: a stable word for scripts; the reason when empty.
    """

    reason: str
    fate: Fate
    sentence: str
    code: str = ""
    as_of: str = "2026-11"
    source: str = "developers.google.com/youtube/v3/docs/errors"


_INSERT = "developers.google.com/youtube/v3/docs/videos/insert#errors"
_COMMENT = "developers.google.com/youtube/v3/docs/commentThreads/insert#errors"
_PLAYLIST = "developers.google.com/youtube/v3/docs/playlistItems/insert#errors"
_THUMBNAIL = "developers.google.com/youtube/v3/docs/thumbnails/set#errors"
_BY_HAND = "Do it on YouTube by hand."

ROWS: tuple[Row, ...] = (
    Row("authError", Fate.RECONNECT, "YouTube no longer accepts the sign-in."),
    Row("required", Fate.RECONNECT, "YouTube no longer accepts the sign-in."),
    Row(
        "youtubeSignupRequired",
        Fate.RECONNECT,
        "This Google account has no YouTube channel. Create one on youtube.com, then connect it "
        "again.",
    ),
    Row(
        "insufficientPermissions",
        Fate.RECONNECT,
        "The sign-in doesn't cover this. Connect the channel again and leave all boxes ticked.",
    ),
    Row(
        "insufficientScopes",
        Fate.RECONNECT,
        "The sign-in doesn't cover this. Connect the channel again and leave all boxes ticked.",
    ),
    Row(
        "quotaExceeded",
        Fate.QUOTA,
        "The Google project has used up its calls for today. It goes on after midnight Pacific "
        "time.",
    ),
    Row(
        "dailyLimitExceeded",
        Fate.QUOTA,
        "The Google project has used up its calls for today. It goes on after midnight Pacific "
        "time.",
    ),
    Row(
        "uploadLimitExceeded",
        Fate.DAY,
        "The channel has reached YouTube's own limit of uploads. It goes on in a day.",
        source=_INSERT,
    ),
    Row("rateLimitExceeded", Fate.BACKOFF, "YouTube asks for a pause."),
    Row("userRateLimitExceeded", Fate.BACKOFF, "YouTube asks for a pause."),
    Row("uploadRateLimitExceeded", Fate.BACKOFF, "YouTube asks for a pause.", source=_THUMBNAIL),
    Row(
        "accessNotConfigured",
        Fate.STOP,
        "The YouTube Data API is switched off in the Google project. Switch it on under “APIs & "
        "Services”, then press Retry.",
    ),
    Row(
        "forbiddenPrivacySetting",
        Fate.STOP,
        "YouTube doesn't allow this visibility for the channel. Choose another one.",
        source=_INSERT,
    ),
    Row(
        "forbiddenLicenseSetting",
        Fate.STOP,
        "YouTube doesn't allow this licence for the channel.",
        source=_INSERT,
    ),
    Row(
        "forbiddenEmbedSetting",
        Fate.STOP,
        "YouTube doesn't allow to change whether the video can be embedded.",
        source=_INSERT,
    ),
    Row("channelSuspended", Fate.STOP, "YouTube has suspended the channel."),
    Row("channelClosed", Fate.STOP, "The channel was closed."),
    Row("invalidTitle", Fate.EDIT, "YouTube doesn't take the title: at most 100 characters, no < "
        "or >. Change it, then press Retry.", source=_INSERT),
    Row("invalidDescription", Fate.EDIT, "YouTube doesn't take the description: at most 5000 "
        "bytes, no < or >. Change it, then press Retry.", source=_INSERT),
    Row("invalidTags", Fate.EDIT, "YouTube doesn't take the tags: 500 characters in all, no < or "
        ">. Change them, then press Retry.", source=_INSERT),
    Row("invalidCategoryId", Fate.EDIT, "YouTube doesn't know the category. Choose another one, "
        "then press Retry.", source=_INSERT),
    Row("invalidPublishAt", Fate.EDIT, "YouTube doesn't take the time at which it should make the "
        "video public. Choose another time.", source=_INSERT),
    Row("invalidVideoMetadata", Fate.EDIT, "YouTube doesn't take the texts or choices of this "
        "post. Look at them again, then press Retry.", source=_INSERT),
    Row("invalidVideoGameRating", Fate.EDIT, "", source=_INSERT),
    Row("invalidRecordingDetails", Fate.EDIT, "", source=_INSERT),
    Row("invalidFilename", Fate.EDIT, "YouTube doesn't take the name of the file. Rename it, then "
        "press Retry.", source=_INSERT),
    Row("mediaBodyRequired", Fate.EDIT, "YouTube says that the file is empty. Upload it again.",
        source=_INSERT),
    Row("defaultLanguageNotSet", Fate.EDIT, "", source=_INSERT),
    Row("videoNotFound", Fate.GONE, "The video is no longer on YouTube."),
    Row("notFound", Fate.GONE, "YouTube no longer knows it."),
    Row("commentsDisabled", Fate.STOP, "The video takes no comments.", source=_COMMENT),
    Row("commentTextTooLong", Fate.EDIT, "YouTube finds the comment too long.", source=_COMMENT),
    Row("commentTextRequired", Fate.EDIT, "The comment is empty.", source=_COMMENT),
    Row("ineligibleAccount", Fate.STOP, f"The channel may not comment. {_BY_HAND}",
        source=_COMMENT),
    Row("playlistNotFound", Fate.STOP, "There is no such playlist.", source=_PLAYLIST),
    Row("playlistItemsNotAccessible", Fate.STOP, "The playlist isn't the channel's own.",
        source=_PLAYLIST),
    Row("playlistContainsMaximumNumberOfVideos", Fate.STOP, "The playlist is full.",
        source=_PLAYLIST),
    Row("invalidImage", Fate.EDIT, "YouTube doesn't take the picture.", source=_THUMBNAIL),
    Row("mediaBodyTooLarge", Fate.EDIT, "The picture is too large for YouTube.",
        source=_THUMBNAIL),
    Row("backendError", Fate.BACKOFF, "YouTube has trouble of its own."),
    Row("internalError", Fate.BACKOFF, "YouTube has trouble of its own."),
    # Last: what many methods say when nothing above fits.
    Row("forbidden", Fate.STOP, "YouTube doesn't allow this for the channel."),
)  # fmt: skip
_BY_REASON = {row.reason: row for row in ROWS}
# For answers without a reason of the table.
_BY_STATUS = {401: "authError", 403: "forbidden", 404: "notFound", 429: "rateLimitExceeded"}


def reason_of(refused: Refused) -> str:
    """``errors[0].reason``; "" when the answer has none."""
    error = refused.data.get("error")
    errors = error.get("errors") if isinstance(error, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("reason") or "") if isinstance(first, dict) else ""


def row_of(refused: Refused) -> Row:
    """By reason, else by status; a refusal that nobody knows is for good."""
    reason = reason_of(refused)
    found = _BY_REASON.get(reason) or _BY_REASON.get(_BY_STATUS.get(refused.status, ""))
    return found or Row(reason or "refused", Fate.STOP, "")


def step_of(refused: Refused, now: datetime) -> Step:
    """The step that a refusal is. Nothing was done by the call. ``now``: aware."""
    row = row_of(refused)
    words = row.sentence or f"YouTube refused it: {refused.message}"
    code = row.code or row.reason
    match row.fate:
        case Fate.BACKOFF:
            when = retry_after(refused.headers, now)
            return RetryAt(when, words, refused.detail, counted=when is None)
        case Fate.QUOTA:
            return RetryAt(quota_reset(now), words, refused.detail, counted=False)
        case Fate.DAY:
            return RetryAt(now + timedelta(hours=24), words, refused.detail, counted=False)
        case Fate.RECONNECT:
            return NeedsReconnect(words, refused.detail)
        case Fate.EDIT:
            return MustEdit(words, code, refused.detail)
        case Fate.GONE:
            return NotThere()
        case Fate.STOP:
            return Failed(words, code, refused.detail)


def quota_reset(now: datetime) -> datetime:
    """The next midnight in California, in UTC's reckoning; days of 23 and 25 hours included."""
    there = now.astimezone(QUOTA_ZONE)
    tomorrow = (there + timedelta(days=1)).date()
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=QUOTA_ZONE)
    return midnight.astimezone(now.tzinfo)


# Why YouTube gave a video up. Source: developers.google.com/youtube/v3/docs/videos, status.
REJECTIONS = {
    "claim": "somebody else claims its content",
    "copyright": "it infringes a copyright",
    "duplicate": "the channel has this very video already",
    "inappropriate": "it breaks YouTube's rules",
    "legal": "of a legal complaint",
    "length": "it is longer than the channel may upload. Verify the channel on "
    "youtube.com/verify, then press Retry",
    "termsOfUse": "it breaks YouTube's terms",
    "trademark": "it infringes a trademark",
    "uploaderAccountClosed": "the account was closed",
    "uploaderAccountSuspended": "the account is suspended",
}
FAILURES = {
    "codec": "it doesn't know how the file is encoded",
    "conversion": "it could not convert the file",
    "emptyFile": "the file is empty",
    "invalidFile": "it can't read the file",
    "tooSmall": "the file is too small",
    "uploadAborted": "the upload was broken off",
}


def verdict_on(status: dict[str, object], detail: str) -> Failed | None:
    """What a ``status`` says of a video that YouTube gave up; None as long as it didn't."""
    match status.get("uploadStatus"):
        case "rejected":
            reason = str(status.get("rejectionReason") or "")
            why = REJECTIONS.get(reason, reason or "it says no more")
            return Failed(f"YouTube rejected the video, because {why}.", "rejected", detail)
        case "failed":
            reason = str(status.get("failureReason") or "")
            why = FAILURES.get(reason, reason or "it says no more")
            return Failed(
                f"YouTube could not process the video: {why}. Make it ready again, then press "
                "Retry.",
                "processing_failed",
                detail,
            )
    return None
