"""What Instagram's own errors mean: one table, each row dated and sourced.

They arrive twice: as the answer to a call, and as the ``status`` of a container that went wrong
after the call was answered. They go before the Graph API's (tasks/publish/graph_errors.py); that
matters for code 4, which is a rate limit there and may be "spam" here.
"""

from __future__ import annotations

import re

from tasks.publish.graph_errors import Fate, Row, find_row

_PAGE = "developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/error-codes"
_SEEN = "seen by clients of the API; not on Meta's page"
_HOUR_S = 3600.0
_ANEW = "It is handed over once more."

# Instagram couldn't get at our link (or the cover's): the next try hands over bytes.
NOT_FETCHED = frozenset({2207003, 2207052, 2207076, 2207077})

INSTAGRAM_ERRORS: tuple[Row, ...] = (
    # The video doesn't arrive
    Row(-2, Fate.ANEW, f"Instagram took too long to fetch the video. {_ANEW}", 2207003,
        word="not_fetched", source=_PAGE),
    Row(9004, Fate.ANEW, f"Instagram could not fetch the video from its link. {_ANEW}", 2207052,
        word="not_fetched", source=_PAGE),
    Row(None, Fate.ANEW, f"Instagram could not fetch the video. {_ANEW}", 2207076,
        word="not_fetched", source=_SEEN),
    Row(None, Fate.ANEW, f"Instagram could not fetch the video. {_ANEW}", 2207077,
        word="not_fetched", source=_SEEN),
    Row(None, Fate.ANEW, f"Instagram could not work on the video. {_ANEW}", 2207082,
        word="not_processed", source=_SEEN),
    Row(None, Fate.ANEW, f"Instagram could not work on the video. {_ANEW}", 2207085,
        word="not_processed", source=_SEEN),
    # Troubles of theirs. At the publishing call nobody knows what was done.
    Row(-1, Fate.OUTAGE, "Instagram had an error of its own.", 2207001,
        word="outage", source=_PAGE),
    Row(-1, Fate.ANEW, f"Instagram could not take the video. {_ANEW}", 2207032,
        word="not_processed", source=_PAGE),
    Row(-1, Fate.ANEW, f"Instagram had trouble with the upload. {_ANEW}", 2207053,
        word="not_processed", source=_PAGE),
    # What was prepared is gone
    Row(-2, Fate.ANEW, f"Instagram no longer has what was prepared. {_ANEW}", 2207020,
        word="gone", source=_PAGE),
    Row(24, Fate.GONE, "Instagram doesn't find what was prepared.", 2207006,
        word="gone", source=_PAGE),
    Row(24, Fate.GONE, "Instagram doesn't find what was prepared, or not yet.", 2207008,
        word="gone", source=_PAGE),
    Row(9007, Fate.AGAIN, "Instagram still works on the video.", 2207027,
        word="not_ready", pause_s=5.0, source=_PAGE),
    # Allowances and rules
    Row(9, Fate.WAIT,
        "This account has reached the number of posts that Instagram takes within 24 hours.",
        2207042, word="daily_limit", pause_s=_HOUR_S, source=_PAGE),
    Row(4, Fate.STOP,
        "Instagram refused it because it took the post for spam. Wait some hours and change the "
        "text; press Retry then.",
        2207051, word="blocked", source=_PAGE),
    Row(25, Fate.STOP,
        "Instagram has restricted this account. Open the Instagram app, do what it asks, then "
        "press Retry.",
        2207050, word="restricted", source=_PAGE),
    # What a person has to change
    Row(1, Fate.EDIT,
        "The moment chosen for the cover lies outside the video. Choose an earlier one.",
        2207057, word="cover", source=_PAGE),
    Row(36004, Fate.EDIT,
        "The caption is too long for Instagram: 2200 characters are allowed. Shorten it.",
        2207010, word="caption_too_long", source=_PAGE),
    Row(100, Fate.EDIT,
        "Instagram takes at most 20 mentions and 30 hashtags in a caption. Remove some.",
        2207040, word="too_many_tags", source=_PAGE),
    Row(100, Fate.STOP,
        "Instagram doesn't take this kind of media. Look whether the version for posting plays, "
        "have it made again, then press Retry.",
        2207023, word="media_rejected", source=_PAGE),
    Row(352, Fate.STOP,
        "Instagram can't read the format of the video. Have the version for posting made again, "
        "then press Retry; the same file would be refused again.",
        2207026, word="media_rejected", source=_PAGE),
)  # fmt: skip

_SUBCODE = re.compile(r"\b(22\d{5})\b")


def subcode_in(status: str) -> int | None:
    """The subcode in the ``status`` of a container: the bare number, or a sentence around it."""
    found = _SUBCODE.search(status)
    return int(found[1]) if found else None


def row_for(subcode: int | None) -> Row | None:
    """The row of a subcode that came without its code; None: nobody has described it."""
    if subcode is None:
        return None
    by_subcode = (row for row in INSTAGRAM_ERRORS if row.subcode == subcode)
    return next(by_subcode, None) or find_row({"error_subcode": subcode})
