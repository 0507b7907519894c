"""How the practice platform can be told to misbehave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """``value``: what the number means, and its default; "" when there is none."""

    label: str
    hint: str
    unit: str = ""
    default: float = 0.0
    lasts: bool = False  # until it is cleared, instead of once


FAULTS: dict[str, Kind] = {
    "refuse_publish": Kind("Refuse the next post", "It is refused for good, with a reason."),
    "break_before_publish": Kind("Fail before posting", "A server error; nothing was posted."),
    "break_after_publish": Kind(
        "Post, then fail", "It is posted, but the answer is a server error."
    ),
    "lose_publish": Kind(
        "Post, then lose the answer", "It is posted, but the connection breaks before the answer."
    ),
    "lose_create": Kind(
        "Lose the answer to the hand-over", "The video is taken, but the connection breaks."
    ),
    "slow": Kind("Process slowly", "The next video takes so many seconds.", "seconds", 5.0),
    "reject_file": Kind("Reject the file", "The next video is called unfit after the fetch."),
    "fail_fetch": Kind("Fail to fetch", "The next fetch fails as if the link didn't work."),
    "throttle": Kind(
        "Ask for a pause",
        "The next call is answered “too many”, with so many seconds to wait.",
        "seconds",
        2.0,
    ),
    "expire_token": Kind(
        "Refuse the sign-in", "Each call is refused until this is cleared.", lasts=True
    ),
    "cannot_tell": Kind(
        "Not know what was posted",
        "Asked about a posted video, it can't say whether it is public, until this is cleared.",
        lasts=True,
    ),
}
