"""Faults of the stand-ins of real platforms, in words: what people set by one press, and all of
what can be set.

The names of calls are the stand-in's own (``endpoints``); `ground.Fault` says what each kind does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from web.posting_words import platform_name
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


@dataclass(frozen=True)
class Preset:
    label: str
    hint: str
    fault: Fault


@dataclass(frozen=True)
class Platform:
    """``stand_in``: which one serves it (`web/practice/stand_ins.py`); ``calls``: how the names of
    its calls begin there, "" all."""

    name: str
    stand_in: str
    presets: Mapping[str, Preset]
    calls: str = ""
    but: str = ""
    """How the names begin that belong to another platform on the same stand-in."""

    def owns(self, endpoint: str) -> bool:
        if endpoint == "*":
            return True
        return endpoint.startswith(self.calls) and not (self.but and endpoint.startswith(self.but))


# Kind → words, and what its value is ("" none).
KINDS: Mapping[str, tuple[str, str]] = {
    "throttle": ("Ask for a pause, nothing done", "seconds"),
    "refuse": ("Refuse it for good", "the platform's name or number of the error"),
    "break_before": ("A server error, nothing done", ""),
    "lose_before": ("The connection breaks, nothing done", ""),
    "break_after": ("Do it, then a server error", ""),
    "lose": ("Do it, then lose the answer", ""),
    "late": ("Lose the answer, and do it later", "seconds"),
    "expire": ("Refuse the sign-in", ""),
    "slow": ("Process slowly", "seconds"),
    "reject": ("Reject the file while processing", "the platform's name of the reason"),
    "blind": ("Not know what was posted", ""),
    "lock_private": ("Keep what is uploaded private", ""),
}

_EXPIRE = Preset(
    "Refuse the sign-in",
    "Each call is refused until this is cleared; the account wants to be connected again.",
    Fault("*", "expire", lasts=True),
)


def _usual(begin: str, live: str, work: str, *, reject: str = "") -> dict[str, Preset]:
    """``begin``: the call that hands the video over; ``live``: the one that makes it public;
    ``work``: what the platform does with the file."""
    return {
        "throttle": Preset(
            "Ask for a pause",
            "The next hand-over is answered “too many”, with 5 seconds to wait.",
            Fault(begin, "throttle", "5"),
        ),
        "expire": _EXPIRE,
        "lose": Preset(
            "Post, then lose the answer",
            "It is posted, but the connection breaks before the answer.",
            Fault(live, "lose"),
        ),
        "slow": Preset(
            "Process slowly", "The next video takes 20 seconds.", Fault(work, "slow", "20")
        ),
        "reject": Preset(
            "Reject the file", "The next video is called unfit.", Fault(work, "reject", reject)
        ),
    }


PLATFORMS: Mapping[str, Platform] = {
    "youtube": Platform(
        "youtube",
        "google",
        {
            **_usual("videos.insert", "videos.update", "processing", reject="codec"),
            "lose_bytes": Preset(
                "Take the file, then lose the answer",
                "The upload is complete there, but nobody here heard of it.",
                Fault("upload.bytes", "lose"),
            ),
            "cut": Preset(
                "Cut the upload in the middle",
                "The connection breaks after 256 KiB; the rest follows from there.",
                Fault("upload.bytes", "lose_before", "262144"),
            ),
            "locked": Preset(
                "Lock uploads as private",
                "As YouTube does with projects that haven't passed its audit, until this is "
                "cleared.",
                Fault("videos.insert", "lock_private", lasts=True),
            ),
            "quota": Preset(
                "Use up the day's allowance",
                "The next upload is refused until the day ends in California.",
                Fault("videos.insert", "refuse", "quotaExceeded"),
            ),
        },
    ),
    "facebook": Platform(
        "facebook",
        "meta",
        {
            **_usual("reels.start", "reels.finish", "processing", reject="The file is unfit."),
            "throttle_video": Preset(
                "Ask for a pause with a Page video",
                "The next upload of a film that is no Reel is answered “too many”.",
                Fault("videos.start", "throttle", "5"),
            ),
            "lose_video": Preset(
                "Post a Page video, then lose the answer",
                "It is posted, but the connection breaks before the answer.",
                Fault("videos.finish", "lose"),
            ),
        },
        but="ig.",
    ),
    "instagram": Platform(
        "instagram",
        "meta",
        {
            **_usual("ig.create", "ig.publish", "ig.fetch"),
            "late": Preset(
                "Lose the answer, then post late",
                "The connection breaks, and the Reel is public 10 seconds after that.",
                Fault("ig.publish", "late", "10"),
            ),
            "fetch": Preset(
                "Fail to fetch",
                "The next fetch fails as if the link didn't work.",
                Fault("ig.fetch", "break_before"),
            ),
        },
        calls="ig.",
    ),
}


def tabs(there: Container[str]) -> list[tuple[str, str, str]]:
    """(name, address, words): the plain practice platform, and the stand-ins that are there."""
    found = [p.name for p in PLATFORMS.values() if p.stand_in in there]
    others = [(name, f"/practice/of/{name}", platform_name(name)) for name in found]
    return [("practice", "/practice", platform_name("practice")), *others]
