"""The words people read: one catalogue, one table of states, and how amounts are written.

Everything here is pure: times come in as arguments. One word per thing, sentence case, effect
before cause; the words themselves are in English, and only ``_`` would know another language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from appliance.states import (
    AccountState,
    ApprovalState,
    JobState,
    PostState,
    RenditionState,
    TargetState,
    UploadState,
    VideoState,
)
from tasks.profiles import PROFILES

CATALOGUE: Mapping[str, str] = {}  # English sentence → other language; empty: English itself


def _(text: str, **values: object) -> str:
    """The text in the reader's language, with ``{names}`` filled in."""
    text = CATALOGUE.get(text, text)
    return text.format(**values) if values else text


@dataclass(frozen=True)
class Badge:
    """Icon and word say it; ``tone`` only adds the colour. ``state`` is for tests and scripts."""

    state: str
    tone: str  # neutral, info, ok, warn, bad, live
    icon: str
    word: str
    spins: bool = False


def _badge(state: StrEnum, tone: str, icon: str, word: str, *, spins: bool = False) -> Badge:
    return Badge(state.value, tone, icon, _(word), spins)


_WORDS: Mapping[type[StrEnum], Mapping[StrEnum, tuple[str, str, str]]] = {
    VideoState: {
        VideoState.UPLOADING: ("info", "upload", "Uploading"),
        VideoState.RECEIVED: ("neutral", "clock", "Waiting"),
        VideoState.PROCESSING: ("info", "spinner", "Processing"),
        VideoState.READY: ("ok", "check", "Ready"),
        VideoState.FAILED: ("bad", "alert", "Failed"),
        VideoState.TRASHED: ("neutral", "trash", "In the bin"),
    },
    UploadState: {
        UploadState.RECEIVING: ("info", "upload", "Uploading"),
        UploadState.FINISHING: ("info", "spinner", "Saving"),
        UploadState.COMPLETE: ("ok", "check", "Uploaded"),
        UploadState.TERMINATED: ("neutral", "x", "Cancelled"),
        UploadState.EXPIRED: ("neutral", "clock", "Expired"),
        UploadState.LOST: ("bad", "alert", "Lost"),
        UploadState.FAILED: ("bad", "alert", "Failed"),
    },
    RenditionState: {
        RenditionState.PENDING: ("neutral", "clock", "Waiting"),
        RenditionState.PROCESSING: ("info", "spinner", "Processing"),
        RenditionState.READY: ("ok", "check", "Ready"),
        RenditionState.FAILED: ("bad", "alert", "Failed"),
    },
    JobState: {
        JobState.QUEUED: ("neutral", "clock", "Waiting"),
        JobState.RUNNING: ("info", "spinner", "Running"),
        JobState.COMPLETED: ("ok", "check", "Done"),
        JobState.FAILED: ("bad", "alert", "Failed"),
        JobState.CANCELLED: ("neutral", "x", "Cancelled"),
    },
    PostState: {
        PostState.DRAFT: ("neutral", "pencil", "Draft"),
        PostState.SCHEDULED: ("live", "calendar", "Scheduled"),
        PostState.PENDING: ("neutral", "clock", "Waiting"),
        PostState.PROCESSING: ("info", "spinner", "Posting"),
        PostState.COMPLETED: ("ok", "check", "Posted"),
        PostState.PARTIAL: ("warn", "alert", "Partly posted"),
        PostState.FAILED: ("bad", "alert", "Failed"),
        PostState.CANCELLED: ("neutral", "x", "Cancelled"),
    },
    TargetState: {
        TargetState.WAITING: ("neutral", "clock", "Waiting"),
        TargetState.STAGING: ("info", "spinner", "Posting"),
        TargetState.STAGED: ("info", "spinner", "Posting"),
        TargetState.PUBLISHING: ("info", "spinner", "Posting"),
        TargetState.PUBLISHED: ("ok", "check", "Posted"),
        TargetState.FAILED: ("bad", "alert", "Failed"),
        TargetState.UNSURE: ("warn", "spinner", "Checking"),
        TargetState.NEEDS_PERSON: ("warn", "alert", "Needs attention"),
        TargetState.CANCELLED: ("neutral", "x", "Cancelled"),
    },
    ApprovalState: {
        ApprovalState.NOT_NEEDED: ("neutral", "check", "No approval needed"),
        ApprovalState.REQUESTED: ("warn", "people", "Needs approval"),
        ApprovalState.APPROVED: ("ok", "check", "Approved"),
        ApprovalState.REFUSED: ("bad", "x", "Not approved"),
    },
    AccountState: {
        AccountState.CONNECTED: ("ok", "check", "Connected"),
        AccountState.RECONNECT: ("warn", "alert", "Reconnect needed"),
        AccountState.DISABLED: ("neutral", "pause", "Switched off"),
    },
}


def badge(state: StrEnum, *, number: str = "") -> Badge:
    """How a state is shown; ``number`` follows the word ("42 %", "14:00")."""
    tone, icon, word = _WORDS[type(state)][state]
    text = f"{_(word)} {number}" if number else _(word)
    return Badge(state.value, tone, icon, text, spins=icon == "spinner")


def all_badges() -> dict[str, list[Badge]]:
    """Each state of each kind, for the components page and its test."""
    return {kind.__name__: [badge(state) for state in states] for kind, states in _WORDS.items()}


PLATFORM_NAMES: Mapping[str, str] = {
    "youtube": "YouTube",
    "facebook": "Facebook",
    "instagram": "Instagram",
    "practice": "Practice",
    "folder": "Folder",
}

PROFILE_NAMES: Mapping[str, str] = {profile.name: profile.label for profile in PROFILES.values()}

METHOD_WORDS: Mapping[str, str] = {
    "leave": "Used as it is",
    "remux": "Copied",
    "audio": "Picture copied, sound encoded",
    "transcode": "Encoded",
}

# What each profile is for, in the menus that offer it.
PURPOSES: Mapping[str, str] = {
    "social": "Every platform takes it as it is. What posts are made of.",
    "preview": "Small and there first: to watch before the rest is made, and on slow lines.",
    "instagram": "For films that Instagram finds too large: it takes 300 MB and 15 minutes.",
    "vertical": "Fills a phone that is held upright: the middle of the picture, 9:16.",
    "reel": "For Facebook Reels and Shorts: upright, and no longer than they take.",
    "audio": "The sound without the picture: for podcasts and transcripts.",
    "storyboard": "Small pictures along the timeline.",
    "waveform": "How loud it is along the timeline.",
}


def profile_name(name: str) -> str:
    """What a profile is called: its own label; of one that is no more, its name."""
    return _(PROFILE_NAMES.get(name, name.title()))


def purpose(name: str) -> str:
    """What a profile is for, as a sentence; "" when there is nothing to say."""
    return _(PURPOSES[name]) if name in PURPOSES else ""


def outlook(early_look: Mapping[str, Any] | None) -> str:
    """What an early look at an upload lets expect; a refusal is told where the upload ends."""
    if early_look is None or early_look["verdict"] == "refused":
        return ""
    return _(early_look["sentence"])


def size(size_bytes: int | float) -> str:
    """Bytes for people: "940 kB", "24.1 MB", "1.25 GB" (powers of ten, like file managers)."""
    amount = float(size_bytes)
    if amount < 1000:
        return _("{n} bytes", n=int(amount)) if amount != 1 else _("1 byte")
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "kB" or amount >= 100 else _short(amount, unit)
    return _short(amount / 1000, "TB")


def _short(amount: float, unit: str) -> str:
    return f"{amount:.2f} {unit}" if amount < 10 and unit != "MB" else f"{amount:.1f} {unit}"


def duration(duration_s: float | None) -> str:
    """A length as players write it: "0:07", "12:34", "1:02:03"; "" when it isn't known."""
    if duration_s is None:
        return ""
    seconds = max(0, round(duration_s))
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def spoken_duration(duration_s: float) -> str:
    """A length for screen readers and sentences: "7 s", "12 min 34 s", "1 h 2 min"."""
    seconds = max(0, round(duration_s))
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    return f"{seconds} s"


def percent(fraction: float) -> str:
    """0 to 1 as "42 %"; 100 only when it is all done."""
    return f"{min(99, int(fraction * 100)) if fraction < 1 else 100} %"


def time_left(eta_s: float | None) -> str:
    """An estimate, rounded so that it doesn't twitch: "about 3 min left"; "" when unknown."""
    if eta_s is None or eta_s < 0:
        return ""
    if eta_s < 10:
        return _("a few seconds left")
    if eta_s < 55:
        return _("about {n} s left", n=round(eta_s / 10) * 10)
    if eta_s < 55 * 60:
        return _("about {n} min left", n=max(1, round(eta_s / 60)))
    return _("about {n} h left", n=f"{eta_s / 3600:.1f}".removesuffix(".0"))


def time_between(low_s: float, high_s: float) -> str:
    """How long something may take, no more exact than a guess is: "about 3–5 min", "up to 2 h"."""
    if high_s < 10:
        return _("a few seconds")
    if high_s < 55:
        low, high, unit = round(low_s / 10) * 10, max(10, round(high_s / 10) * 10), "s"
    elif high_s < 55 * 60:
        low, high, unit = round(low_s / 60), max(1, round(high_s / 60)), "min"
    else:
        halves = round(low_s / 1800) / 2, max(1.0, round(high_s / 1800) / 2)
        number = "{:g}".format
        if halves[0] == 0:
            return _("up to {n} h", n=number(halves[1]))
        same = halves[0] >= halves[1]
        text = number(halves[1]) if same else f"{number(halves[0])}–{number(halves[1])}"
        return _("about {n} h", n=text)
    if low == 0:
        return _("up to {n} {unit}", n=high, unit=unit)
    return _("about {n} {unit}", n=high if low >= high else f"{low}–{high}", unit=unit)


def ago(when: datetime, now: datetime) -> str:
    """How long ago, within a week; else the date. The future reads "in 3 min"."""
    seconds = (now - when).total_seconds()
    if seconds < -45:
        return _ahead(-seconds, when, now)
    if seconds < 45:
        return _("just now")
    if round(seconds / 60) < 60:
        return _("{n} min ago", n=max(1, round(seconds / 60)))
    if round(seconds / 3600) < 24:
        return _("{n} h ago", n=max(1, round(seconds / 3600)))
    if seconds < 7 * 24 * 3600:
        days = max(1, round(seconds / 86400))
        return _("yesterday") if days == 1 else _("{n} days ago", n=days)
    return day(when, now)


def _ahead(seconds: float, when: datetime, now: datetime) -> str:
    if round(seconds / 60) < 60:
        return _("in {n} min", n=max(1, round(seconds / 60)))
    if round(seconds / 3600) < 24:
        return _("in {n} h", n=max(1, round(seconds / 3600)))
    if seconds < 7 * 24 * 3600:
        days = max(1, round(seconds / 86400))
        return _("tomorrow") if days == 1 else _("in {n} days", n=days)
    return day(when, now)


def days(number: float) -> str:
    """ "1 day", "7 days"; parts of days in hours."""
    if number < 1:
        return _("{n} h", n=max(1, round(number * 24)))
    return _("1 day") if round(number) == 1 else _("{n} days", n=round(number))


def until(since: datetime, lasts_days: float, now: datetime) -> str:
    """When something that lasts so many days ends: "in 5 days", "within the hour"."""
    left_days = lasts_days - (now - since).total_seconds() / 86400
    return _("in {time}", time=days(left_days)) if left_days > 1 / 24 else _("within the hour")


def day(when: datetime, now: datetime) -> str:
    """A date: "14 Mar", with the year when it isn't this one."""
    text = f"{when.day} {when:%b}"
    return text if when.year == now.year else f"{text} {when.year}"


def full_time(when: datetime, zone: str) -> str:
    """The whole time in somebody's zone: "14 Mar 2026, 14:05 (Europe/Berlin)"."""
    local = when.astimezone(ZoneInfo(zone))
    return f"{local.day} {local:%b %Y, %H:%M} ({zone})"


def clock_time(when: datetime, zone: str, now: datetime) -> str:
    """When something is due: "14:05" today, "tomorrow 14:05", "14 Mar 14:05"."""
    local, today = when.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
    if local.date() == today:
        return f"{local:%H:%M}"
    if local.date() == today + timedelta(days=1):
        return _("tomorrow {time}", time=f"{local:%H:%M}")
    return f"{day(local, now.astimezone(ZoneInfo(zone)))} {local:%H:%M}"


def machine_time(when: datetime) -> str:
    """For the datetime attribute of <time>."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def took(seconds: float) -> str:
    """How long something took: "0.8 s", "12 s", "3 min 20 s"."""
    return f"{seconds:.1f} s" if seconds < 10 else spoken_duration(seconds)


def count(number: int, one: str, many: str) -> str:
    """ "1 video", "3 videos"."""
    return _(one if number == 1 else many, n=f"{number:,}".replace(",", " "))


def joined(names: list[str]) -> str:
    """ "A", "A and B", "A, B and C"."""
    if len(names) < 2:
        return "".join(names)
    return _("{some} and {last}", some=", ".join(names[:-1]), last=names[-1])
